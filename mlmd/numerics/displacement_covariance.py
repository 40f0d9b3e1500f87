"""How the points of one time-averaged mean squared displacement vary together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class DisplacementCovariance:
    r"""Covariance of squared displacements, for given lags and a given number of frames.

    For one coordinate with stationary Gaussian increments and the mean squared displacement
    :math:`f(t)`, the displacements over :math:`[k, k + i]` and :math:`[l, l + j]` covary by

    .. math:: C_{ij}(m) = \tfrac12 [f(m + j) + f(m - i) - f(m) - f(m + j - i)],
        \qquad m = l - k,

    (f even), their squares by :math:`2 C_{ij}(m)^2` (Isserlis), and the averages over all
    origins by :math:`\sum_{kl} 2 C_{ij}(l - k)^2 / n_i n_j`. A jump process adds its fourth
    cumulant: squares of displacements that share a jump covary by :math:`\kappa_4` times the
    overlap of the two intervals, with :math:`\kappa_4 = \Gamma \langle b^4 \rangle` for jumps
    of length b at a rate :math:`\Gamma`.

    Attributes
    ----------
    lags : (n,)
        In frames, ascending, the first at least 1.
    n_frames : int
        Length of the trajectory.
    shifts : (s,)
        Shifts between the centres of two intervals, from negative to positive.
    share : (n, n, s)
        Number of pairs of origins at each shift over the product of the numbers of origins.
    steps : (4, n, n, s)
        The four arguments of f, as indices.
    overlap : (n, n, s)
        Overlap of the two intervals in frames.

    References
    ----------
    J. T. Bullerjahn, S. von Buelow, G. Hummer, J. Chem. Phys. 153, 024116 (2020), for a random
    walk with white noise. DOI 10.1063/5.0008312
    """

    lags: IntArray
    n_frames: int
    shifts: IntArray
    share: FloatArray
    steps: IntArray
    overlap: FloatArray

    @classmethod
    def of(cls, lags: IntArray, n_frames: int, memory: int) -> DisplacementCovariance:
        """Prepare the geometry; f is a straight line beyond ``memory`` frames."""
        reach = int(lags[-1]) + 2 * memory  # beyond it no two displacements know of each other
        shifts = np.arange(-reach, reach + 1)
        i, j = lags[:, None, None], lags[None, :, None]
        m = shifts + i // 2 - j // 2
        origins_i, origins_j = n_frames - i, n_frames - j
        pairs = np.minimum(origins_i, origins_j - m) - np.maximum(0, -m)
        return cls(
            lags=lags,
            n_frames=n_frames,
            shifts=shifts,
            share=np.maximum(0, pairs) / (origins_i * origins_j),
            steps=np.abs(np.stack([m + j, m - i, m, m + j - i])),
            overlap=np.maximum(0, np.minimum(i, m + j) - np.maximum(0, m)).astype(float),
        )

    @property
    def longest_step(self) -> int:
        """Largest argument at which f is needed."""
        return int(self.steps.max())

    def of_squares(
        self, msd: FloatArray, axes: float = 1.0, fourth_cumulant: float = 0.0
    ) -> FloatArray:
        """Covariance of two squared displacements by the shift between their centres.

        Parameters
        ----------
        msd : (longest_step + 1,)
            Mean squared displacement along one axis, the first 0.
        axes
            Independent axes that the squares are averaged over.
        fourth_cumulant
            Of the average over axes, for each frame.

        Returns
        -------
        (n, n, s)
        """
        linear = msd[self.steps[0]] + msd[self.steps[1]] - msd[self.steps[2]]
        linear -= msd[self.steps[3]]
        squares: FloatArray = linear * linear
        squares *= 0.5 / axes  # 2 (linear / 2)^2
        if fourth_cumulant:
            squares += fourth_cumulant * self.overlap
        return squares

    def of_averages(self, squares: FloatArray) -> FloatArray:
        """Covariance (n, n) of the averages over all origins, from that of the squares."""
        covariance: FloatArray = np.einsum("ijs,ijs->ij", self.share, squares)
        return covariance
