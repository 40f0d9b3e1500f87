"""How counts of pairs become g(r): exactly, or as published numbers were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlmd.checks import choice
from mlmd.periodic.distance_bins import DistanceBins

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


# Savitzky and Golay, Anal. Chem. 36, 1627 (1964): quadratic through five points.
_SAVITZKY_GOLAY = np.array([-3.0, 12.0, 17.0, 12.0, -3.0]) / 35.0


@dataclass(frozen=True)
class Convention:
    """One way to bin, normalise and smooth g(r).

    Attributes
    ----------
    name : str
        Key in :data:`CONVENTIONS`.
    bin_A, r_max_A : float or None
        Bin width and range where not given; None for half the smallest height of the cell.
    at : {"centre", "left", "grid"}
        Where in its bin a value is said to be, and its shell volume taken: at the centre with
        the exact volume; at the lower edge with 4 pi r^2 dr; or likewise with the bin centred on
        a grid that starts at 0 and includes `r_max_A`.
    excludes_itself : bool
        Whether an atom has N - 1 possible partners of its own species, or N.
    smoothing : {"savitzky_golay", "gaussian"} or None
        Applied at last.
    """

    name: str
    bin_A: float
    r_max_A: float | None
    at: Literal["centre", "left", "grid"]
    excludes_itself: bool
    smoothing: Literal["savitzky_golay", "gaussian"] | None

    def bins(self, r_max_A: float, bin_A: float) -> DistanceBins:
        """Return the histogram's bins."""
        bins = DistanceBins.covering(r_max_A, bin_A)
        return DistanceBins(bin_A, bins.n_bins + 1, -0.5) if self.at == "grid" else bins

    def r_A(self, bins: DistanceBins) -> FloatArray:
        """Return the distance that each value is said to be at, in angstrom."""
        return bins.edges_A[:-1] if self.at == "left" else bins.centres_A

    def shell_volumes_A3(self, bins: DistanceBins) -> FloatArray:
        """Return the shell volumes that counts are divided by; infinite where that gives 0."""
        if self.at == "centre":
            return bins.shell_volumes_A3()
        volumes: FloatArray = 4.0 * np.pi * self.r_A(bins) ** 2 * bins.width_A
        return np.where(volumes > 0.0, volumes, np.inf)

    def smooth(self, g: FloatArray) -> FloatArray:
        """Return g (..., bins) as smoothed by this convention."""
        if self.smoothing is None or g.shape[-1] < len(_SAVITZKY_GOLAY):
            return g
        if self.smoothing == "gaussian":
            from scipy.ndimage import gaussian_filter1d

            wide: FloatArray = gaussian_filter1d(g, sigma=2.0, axis=-1)
            return wide
        windows = np.lib.stride_tricks.sliding_window_view(g, 5, axis=-1)
        smoothed = g.copy()
        smoothed[..., 2:-2] = windows @ _SAVITZKY_GOLAY
        return smoothed


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention("exact", 0.05, None, "centre", True, None),
        Convention("zheng2024", 0.1, 10.0, "left", False, "savitzky_golay"),
        Convention("zheng2024_files", 0.1, 10.0, "grid", False, "gaussian"),
    )
}
"""Conventions by name.

``exact``
    Exact shell volumes at bin centres; an ideal gas of any number of atoms gives 1.
``zheng2024``
    That of mpmorph (H. Zheng et al., npj Comput. Mater. 10, 295 (2024), names it for its
    workflow): bins of 0.1 A, the lower edge in the shell volume, N atoms and not N - 1 about an
    atom of the same species, one pass of a 5-point Savitzky-Golay filter except at the ends.
    mpmorph sees only the nearest image of each pair; beyond half the cell, where its g(r) falls
    off, this one does not.
``zheng2024_files``
    That of the g(r) files which the paper published: points from 0 to 10 A including both, bins
    centred on them, and a Gaussian of two bins (0.2 A), cut at four of its widths and mirrored
    at the ends. Read off the files: 39 of their curves begin with the ratio exp(15/8) that one
    pair at the edge of such a Gaussian gives, and none is ever negative. It is what the fast
    g(r) of pymatgen-analysis-diffusion gives with ``sigma=0.2``.
"""


def convention_named(name: str) -> Convention:
    """Return a convention.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return CONVENTIONS[choice("convention", name, CONVENTIONS)]
