"""What a scan says of a crystal: percolation energies, free volumes, Xi, the easiest way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.plain import plain_fields, without_nan
from mlmd.screening.landscape.free_volumes import (
    Region,
    boxed_volume,
    connected_region,
    disconnected_region,
    united_volume,
    xi,
)
from mlmd.screening.landscape.path import shortest_path
from mlmd.screening.landscape.percolation import percolation_box, periodic_percolation

if TYPE_CHECKING:
    from mlmd.screening.scan.scan import Scan

_SAME_EV = 1e-6


@dataclass(frozen=True)
class Descriptors:
    """Descriptors of a crystal, over all its mobile ions.

    Attributes
    ----------
    xi
        From 0 to 1, the higher the better; by the volumes below.
    mpe_eV
        Minimal percolation energy by the convention of the paper; infinite where there is no way,
        or a lazy scan found none up to its highest level. So for the next three.
    mpe_1d_eV, mpe_2d_eV, mpe_3d_eV
        Lowest energies at which an ion gets to images of itself, in one direction, two, three.
    fv_connected, fv_disconnected
        Parts of space below the threshold: reached from the site (in the box of -1...1 cells, so
        that a pocket that leads nowhere counts about once in eight), and anywhere.
    fv_error, xi_error
        What a lazy scan may have missed of the disconnected volume, and what that makes of Xi.
    deeper_eV
        How far below an ion's own minimum another place was found; above zero the energies are
        counted from one that is not the lowest.
    """

    xi: float
    mpe_eV: float
    mpe_1d_eV: float
    mpe_2d_eV: float
    mpe_3d_eV: float
    fv_connected: float
    fv_disconnected: float
    fv_error: float
    xi_error: float
    deeper_eV: float

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON has them: None where one is infinite."""
        plain: dict[str, Any] = without_nan(plain_fields(self))
        return plain

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Descriptors:
        """Return descriptors from :meth:`to_dict`."""
        return cls(**{key: np.inf if value is None else value for key, value in content.items()})


def describe(scan: Scan) -> Descriptors:
    """Return the descriptors of a scanned crystal.

    Percolation energies are the lowest over all ions; free volumes are united over those that the
    settings name.
    """
    thresholds_eV = scan.settings.thresholds_eV
    united = {ion.ion for ion in (scan.of_sites if scan.settings.ions == "inequivalent" else ())}
    energies_eV, deeper_eV, sites, starts = [], 0.0, [], []
    connected: list[list[Region]] = [[] for _ in thresholds_eV]
    disconnected: list[list[Region]] = [[] for _ in thresholds_eV]
    for ion in scan.landscapes():
        box = percolation_box(ion.energies, ion.start)
        ways = periodic_percolation(ion.energies, ion.start)
        energies_eV.append((box.percolation_eV, ways.in_1d_eV, ways.in_2d_eV, ways.in_3d_eV))
        deeper_eV = max(deeper_eV, ion.deeper_eV)
        if united and ion.ion not in united:
            continue
        sites.append(scan.crystal.atoms.get_scaled_positions()[ion.ion])
        starts.append(ion.start)
        for place, threshold_eV in enumerate(thresholds_eV):
            connected[place].append(connected_region(box, ion.start, threshold_eV))
            disconnected[place].append(disconnected_region(ion.energies, ion.start, threshold_eV))
    lowest = np.min(energies_eV, axis=0)
    if scan.settings.mode == "lazy":
        lowest[lowest > scan.settings.max_level_eV] = np.inf
    mpe_eV, in_1d_eV, in_2d_eV, in_3d_eV = lowest.tolist()
    places = np.array(sites)

    def volume(regions: list[Region]) -> float:
        if united:
            return boxed_volume(regions, places, starts)
        return united_volume(regions, places)

    fv_connected = float(np.mean([volume(one) for one in connected]))
    fv_disconnected = float(np.mean([volume(one) for one in disconnected]))
    value = xi(fv_connected, fv_disconnected)
    return Descriptors(
        xi=value,
        mpe_eV=mpe_eV,
        mpe_1d_eV=in_1d_eV,
        mpe_2d_eV=in_2d_eV,
        mpe_3d_eV=in_3d_eV,
        fv_connected=fv_connected,
        fv_disconnected=fv_disconnected,
        fv_error=scan.missed,
        xi_error=xi(fv_connected, fv_disconnected + scan.missed) - value,
        deeper_eV=deeper_eV,
    )


@dataclass(frozen=True)
class Profile:
    """The easiest way of an ion to an image of itself.

    Attributes
    ----------
    ion
        Its index among the atoms of the cell that was scanned.
    length_A, energy_eV
        How far it has come at each point of the grid on the way, and the energy above its site.
    """

    ion: int
    length_A: tuple[float, ...]
    energy_eV: tuple[float, ...]

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Profile:
        """Return a profile from its plain fields."""
        return cls(content["ion"], tuple(content["length_A"]), tuple(content["energy_eV"]))


def easiest_way(scan: Scan, level_eV: float) -> Profile | None:
    """Return the shortest way to an image that nowhere exceeds a level; None where none opens.

    Parameters
    ----------
    scan
        Of a crystal.
    level_eV
        The energy at which a way opens, `mpe_1d_eV` of :func:`describe`.
    """
    if not np.isfinite(level_eV):
        return None
    cell_A = scan.crystal.atoms.cell.array
    for ion in scan.landscapes():
        if periodic_percolation(ion.energies, ion.start).in_1d_eV <= level_eV + _SAME_EV:
            path = shortest_path(ion.energies, cell_A, ion.start, level_eV + _SAME_EV)
            lengths, energies = path.length_A.tolist(), path.energy_eV.tolist()
            return Profile(ion.ion, tuple(lengths), tuple(energies))
    return None
