"""The energies of one ion on its grid, as far as a scan knows them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mlmd.screening.landscape.percolation import percolation_box

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.screening.landscape.levels import Place
    from mlmd.screening.landscape.percolation import Box


@dataclass(frozen=True, eq=False)
class Landscape:
    """What is known of the energies of an ion, or of one that symmetry makes equal to it.

    Attributes
    ----------
    ion
        Its index among the atoms of the crystal.
    energies : (n1, n2, n3)
        In eV at the points of its grid, the first at its site; infinite where it may not be, and
        where a lazy scan has not looked.
    start
        The minimum at its site, from which energies are counted.
    """

    ion: int
    energies: FloatArray
    start: Place

    @property
    def deeper_eV(self) -> float:
        """How far below its minimum another point was found."""
        return float(self.energies[self.start] - self.energies.min())

    @cached_property
    def box(self) -> Box:
        """The box around it, with its levels."""
        return percolation_box(self.energies, self.start)
