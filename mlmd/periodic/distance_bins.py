"""Equal bins of distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import positive_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


# More bins than any g(r) has: a mistyped width must not fill the memory.
MOST_BINS = 100_000


@dataclass(frozen=True)
class DistanceBins:
    """Bins of one width; a distance belongs to the bin whose lower edge it reaches.

    Attributes
    ----------
    width_A : float
        Width in angstrom.
    n_bins : int
        How many.
    first_edge : float
        Lower edge of the first bin, in widths: 0, or -0.5 for bins centred on a grid from 0.
    """

    width_A: float
    n_bins: int
    first_edge: float = 0.0

    @classmethod
    def covering(cls, r_max_A: float, width_A: float) -> DistanceBins:
        """Return the bins from 0 that end at `r_max_A`, or at most one bin before it.

        Raises
        ------
        InputError
            If a number is not positive or fewer than two bins fit.
        """
        r_max_A = positive_number("r_max_A", r_max_A, "A")
        width_A = positive_number("bin_A", width_A, "A")
        # Room for the rounding of 0.3 / 0.1.
        n_bins = math.floor(min(r_max_A / width_A, 1e18) * (1 + 1e-12) + 1e-9)
        if not 2 <= n_bins <= MOST_BINS:
            raise InputError(
                f"bins of {width_A:g} A up to {r_max_A:g} A were asked for, {n_bins} of them; "
                f"expected 2 to {MOST_BINS}: change bin_A or r_max_A"
            )
        return cls(width_A, n_bins)

    @property
    def edges_A(self) -> FloatArray:
        """Edges of all bins, one more than there are bins; none is below zero."""
        edges: FloatArray = (np.arange(self.n_bins + 1) + self.first_edge) * self.width_A
        return edges.clip(min=0.0)

    @property
    def centres_A(self) -> FloatArray:
        """Middles of the bins (of a first bin cut at zero: the grid point)."""
        centres: FloatArray = (np.arange(self.n_bins) + self.first_edge + 0.5) * self.width_A
        return centres

    @property
    def r_max_A(self) -> float:
        """Upper edge of the last bin."""
        return (self.n_bins + self.first_edge) * self.width_A

    def shell_volumes_A3(self) -> FloatArray:
        """Return the exact volumes of the spherical shells, in cubic angstrom."""
        volumes: FloatArray = 4.0 / 3.0 * math.pi * np.diff(self.edges_A**3)
        return volumes
