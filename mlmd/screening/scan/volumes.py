"""Free volumes of a scanned crystal, united over its ions, and Xi by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.screening.landscape.free_volumes import (
    boxed_volume,
    connected_region,
    disconnected_region,
    united_volume,
    xi,
)

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.screening.landscape.free_volumes import Region
    from mlmd.screening.scan.landscapes import Landscape


@dataclass(frozen=True)
class Volumes:
    """Free volumes of a crystal.

    Attributes
    ----------
    connected, disconnected
        Parts of space below the threshold: reached from the site, and anywhere.
    missed
        By how much `disconnected` may be larger.
    """

    connected: float
    disconnected: float
    missed: float

    @property
    def xi(self) -> float:
        """Return Xi."""
        return xi(self.connected, self.disconnected)

    @property
    def xi_error(self) -> float:
        """Return by how much Xi may be larger."""
        return xi(self.connected, self.disconnected + self.missed) - self.xi


def free_volumes(
    landscapes: Sequence[Landscape],
    sites: FloatArray,
    thresholds_eV: Sequence[float],
    boxed: bool,
    missed: float,
) -> Volumes:
    """Return free volumes united over ions, as means over thresholds.

    Parameters
    ----------
    landscapes
        Of the ions.
    sites : (ions, 3)
        Their sites in fractions of the cell.
    thresholds_eV
        Above their minima.
    boxed
        Whether what counts is the box around an ion with both of its faces, see `boxed_volume`, or
        the eight cells of it, see `united_volume`.
    missed
        Part of the points below the highest threshold that may have been missed.
    """
    starts = [one.start for one in landscapes]

    def united(regions: list[Region]) -> float:
        return boxed_volume(regions, sites, starts) if boxed else united_volume(regions, sites)

    connected, disconnected = [], []
    for level_eV in thresholds_eV:
        reached = [connected_region(one.box, one.start, level_eV) for one in landscapes]
        below = [disconnected_region(one.energies, one.start, level_eV) for one in landscapes]
        connected.append(united(reached))
        disconnected.append(united(below))
    volume = float(np.mean(disconnected))
    return Volumes(float(np.mean(connected)), volume, min(missed, 1.0 - volume))
