"""The diffusion tensor in the laboratory frame, with errors from blocks of time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.checks import check_finite, check_trajectory
from mlmd.analysis.diffusion.cell_motion import without_cell_motion
from mlmd.analysis.diffusion.diffusivity import diffusivity
from mlmd.analysis.diffusion.drift import Drift
from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings
from mlmd.analysis.diffusion.gate import Motion
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.checks import whole_number
from mlmd.errors import InputError
from mlmd.numerics.student import student_factor
from mlmd.numerics.weighted_line import weighted_line
from mlmd.plain import plain_fields

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


_BLOCKS = (20, 4)  # as many as are taken, and as few
_REACH = 8  # last lag over the first
_ROOM = 2  # length of a block over the last lag, so that neighbours share little
_LAGS = 24
_ORIGINS = 12  # within the first lag: more are not independent


@dataclass(frozen=True, eq=False)
class DiffusionTensor:
    r"""Diffusion tensor, :math:`\langle \Delta x_i \Delta x_j \rangle \to 2 D_{ij} t`.

    Numbers are in cm^2/s and in the laboratory frame: the axes of the Cartesian coordinates, not
    the cell vectors. Standard errors come from the scatter over blocks of time; ``error_factor``
    makes 68.27 % intervals of them.

    Attributes
    ----------
    species : str
        Chemical symbol.
    tensor_cm2_s, stderr_cm2_s : (3, 3)
        The symmetric tensor and the standard error of each element.
    principal_cm2_s, principal_stderr_cm2_s : (3,)
        Eigenvalues in ascending order, and their errors at fixed axes.
    principal_axes : (3, 3)
        Eigenvectors as rows.
    D_raw_cm2_s, D_stderr_cm2_s : float
        A third of the trace.
    error_factor : float
        Student's t of 68.27 % for the number of blocks.
    block_tensors_cm2_s : (blocks, 3, 3)
        Of each block.
    fit_ps : (float, float)
        First and last lag.
    motion : Motion
        Whether the species diffuses at all.
    drift, mobile
        What was held at rest.
    source : str
        Where the trajectory came from.
    """

    species: str
    tensor_cm2_s: FloatArray
    stderr_cm2_s: FloatArray
    principal_cm2_s: FloatArray
    principal_stderr_cm2_s: FloatArray
    principal_axes: FloatArray
    D_raw_cm2_s: float
    D_stderr_cm2_s: float
    error_factor: float
    block_tensors_cm2_s: FloatArray
    fit_ps: tuple[float, float]
    motion: Motion
    drift: Drift
    mobile: str | None
    source: str

    @property
    def D_axes_cm2_s(self) -> FloatArray:
        """Diffusivity along x, y and z of the laboratory."""
        return np.diag(self.tensor_cm2_s)

    @property
    def D_axes_stderr_cm2_s(self) -> FloatArray:
        """Its standard errors."""
        return np.diag(self.stderr_cm2_s)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON."""
        return {
            "is_diffusive": self.motion.is_diffusive,
            "reason": self.motion.reason,
            **plain_fields(self, ("species", "block_tensors_cm2_s", "motion", "source")),
            "D_axes_cm2_s": self.D_axes_cm2_s.tolist(),
            "D_axes_stderr_cm2_s": self.D_axes_stderr_cm2_s.tolist(),
            "n_blocks": len(self.block_tensors_cm2_s),
        }


def diffusion_tensor(
    trajectory: Trajectory,
    species: str,
    *,
    fit_ps: tuple[float, float] | None = None,
    n_blocks: int | None = None,
    drift: Drift = "cell",
    mobile: str | None = None,
) -> DiffusionTensor:
    """Diffusion tensor from the products of displacements, with errors from blocks of time.

    The products are averaged over atoms and all origins, and a straight line is fitted to each
    element over ``fit_ps``, with the weights that the MSD of a walk asks for (variance as the cube
    of the lag). The same is done for the intervals whose centres lie in each block of time; the
    scatter over the blocks gives the errors.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    species
        Chemical symbol of the diffusing atoms.
    fit_ps
        First and last lag of the fit. Where not given, from the first lag at which the estimator
        "gls" finds diffusion to eight times that.
    n_blocks
        Number of blocks; where not given, as many as are twice as long as the last lag, 4
        to 20.
    drift, mobile
        As for :func:`mlmd.analysis.diffusion.diffusivity.diffusivity`.

    Raises
    ------
    InputError
        If frames are not evenly spaced, the species is absent, or the trajectory is too short
        for the fit.

    Notes
    -----
    Eigenvalues of a tensor with errors repel each other: those of isotropic motion differ by a few
    standard errors.
    """
    check_trajectory(trajectory)
    interval_ps = trajectory.uniform_interval_fs() / 1000.0
    fit_ps = DiffusivitySettings(fit_ps=fit_ps).fit_ps  # checks it
    trajectory = without_cell_motion(trajectory)
    base = diffusivity(trajectory, species, drift=drift, mobile=mobile)
    assert base.settings.fit_ps is not None
    start_ps = base.settings.fit_ps[0] if fit_ps is None else fit_ps[0]
    first = max(1, math.ceil(start_ps / interval_ps - 1e-6))
    last = None if fit_ps is None else math.floor(fit_ps[1] / interval_ps + 1e-6)
    count, lags = _plan(trajectory, first, last, n_blocks)
    walkers = Walkers.of(trajectory, species, drift, mobile)
    stride = max(1, first // _ORIGINS)
    products, counts = _products(walkers, lags, stride, count)
    check_finite(products, trajectory)
    lag_ps = lags * interval_ps
    whole = np.einsum("bl,blij->lij", counts / counts.sum(axis=0), products)
    mean = _tensor(lag_ps, whole)
    blocks = np.array([_tensor(lag_ps, block) for block in products])
    stderr = blocks.std(axis=0, ddof=1) / math.sqrt(count)
    principal, vectors = np.linalg.eigh(mean)
    along = np.einsum("bij,ip,jp->bp", blocks, vectors, vectors)
    traces = np.trace(blocks, axis1=1, axis2=2) / 3.0
    return DiffusionTensor(
        species=species,
        tensor_cm2_s=mean,
        stderr_cm2_s=stderr,
        principal_cm2_s=principal,
        principal_stderr_cm2_s=along.std(axis=0, ddof=1) / math.sqrt(count),
        principal_axes=vectors.T,
        D_raw_cm2_s=float(np.trace(mean)) / 3.0,
        D_stderr_cm2_s=float(traces.std(ddof=1)) / math.sqrt(count),
        error_factor=student_factor(count - 1),
        block_tensors_cm2_s=blocks,
        fit_ps=(float(lags[0]) * interval_ps, float(lags[-1]) * interval_ps),
        motion=base.motion,
        drift=drift,
        mobile=base.settings.mobile,
        source=trajectory.source,
    )


def _plan(
    trajectory: Trajectory, first: int, last: int | None, n_blocks: int | None
) -> tuple[int, IntArray]:
    """Return the number of blocks and the lags of the fit in frames."""
    steps, (most, least) = len(trajectory) - 1, _BLOCKS
    if n_blocks is not None:
        whole_number("n_blocks", n_blocks, least=2)
    if last is None:  # shorter lags before fewer blocks, but at least a factor of two of lags
        widest = steps // (_ROOM * (n_blocks or least) + 1)
        last = max(min(_REACH * first, widest), 2 * first, first + 2)
    count = n_blocks or max(least, min(most, (steps - last) // (_ROOM * last or 1)))
    width = (steps - last) // count
    if last - first < 2 or 2 * width < last:
        raise InputError(
            f"a fit over lags of {first} to {last} frames in {count} blocks was asked of "
            f"{trajectory.source} of {len(trajectory)} frames; expected at least 3 lags, and "
            "blocks of half the last: run longer, record more often, or give fit_ps and n_blocks"
        )
    return count, np.unique(np.linspace(first, last, min(_LAGS, last - first + 1)).astype(int))


def _products(
    walkers: Walkers, lags: IntArray, stride: int, count: int
) -> tuple[FloatArray, FloatArray]:
    """Mean products of displacements (blocks, lags, 3, 3), and the origins behind each."""
    steps, longest = len(walkers) - 1, int(lags[-1])
    edges = np.linspace(longest / 2.0, steps - longest / 2.0, count + 1)
    products, counts = np.zeros((count, len(lags), 3, 3)), np.zeros((count, len(lags)))
    for column, lag in enumerate(lags):
        origins = np.arange(0, len(walkers) - lag, stride)
        blocks = np.searchsorted(edges[1:-1], origins + lag / 2.0, side="right")
        for block in range(count):
            chosen = origins[blocks == block]
            if chosen.size == 0:
                continue
            moved = (walkers.at(chosen + lag) - walkers.at(chosen)).reshape(-1, 3)
            products[block, column] = moved.T @ moved / len(moved)
            counts[block, column] = len(chosen)
    return products, counts


def _tensor(lag_ps: FloatArray, products: FloatArray) -> FloatArray:
    """Half the slopes (3, 3) of the products against the lag, in cm^2/s."""
    sigma = lag_ps**1.5
    slopes = [weighted_line(lag_ps, curve, sigma).slope for curve in products.reshape(-1, 9).T]
    return np.array(slopes).reshape(3, 3) / 2.0 * A2_PS_IN_CM2_S
