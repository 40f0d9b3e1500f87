"""What a scan says of a crystal: percolation energies, free volumes, Xi, the easiest way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.plain import plain_fields, without_nan
from mlmd.screening.landscape.path import Convention, shortest_path
from mlmd.screening.landscape.percolation import periodic_percolation

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
        Minimal percolation energy by the convention of the paper; infinite where there is no way
        up to `known_eV`. So for the next three.
    mpe_1d_eV, mpe_2d_eV, mpe_3d_eV
        Lowest energies at which an ion gets to images of itself, in one direction, two, three.
    fv_connected, fv_disconnected
        Parts of space below the threshold: reached from the site (in the box of -1...1 cells, so
        that a pocket that leads nowhere counts about once in eight), and anywhere.
    fv_error, xi_error
        How much larger the disconnected volume may be than what was found of it, and Xi by that.
    deeper_eV
        How far below an ion's own minimum another place was found; above zero the energies are
        counted from one that is not the lowest.
    known_eV
        Up to which level ways were looked for; infinite of a full scan.
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
    known_eV: float

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
    energies_eV, deeper_eV = [], 0.0
    for ion in scan.landscapes():
        ways = periodic_percolation(ion.energies, ion.start)
        energies_eV.append((ion.box.percolation_eV, ways.in_1d_eV, ways.in_2d_eV, ways.in_3d_eV))
        deeper_eV = max(deeper_eV, ion.deeper_eV)
    lowest = np.min(energies_eV, axis=0)
    lowest[lowest > scan.known_eV + _SAME_EV] = np.inf
    mpe_eV, in_1d_eV, in_2d_eV, in_3d_eV = lowest.tolist()
    volumes = scan.volumes
    return Descriptors(
        xi=volumes.xi,
        mpe_eV=mpe_eV,
        mpe_1d_eV=in_1d_eV,
        mpe_2d_eV=in_2d_eV,
        mpe_3d_eV=in_3d_eV,
        fv_connected=volumes.connected,
        fv_disconnected=volumes.disconnected,
        fv_error=volumes.missed,
        xi_error=volumes.xi_error,
        deeper_eV=deeper_eV,
        known_eV=scan.known_eV,
    )


@dataclass(frozen=True)
class Profile:
    """The easiest way of an ion out of its cell.

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


def easiest_way(scan: Scan, found: Descriptors) -> Profile | None:
    """Return the shortest way out that costs least; None where none is known.

    It leads to an image, or to a face of the box of -1...1 cells where a lazy scan has ended there.

    Parameters
    ----------
    scan
        Of a crystal.
    found
        Its descriptors.
    """
    convention: Convention = "periodic" if np.isfinite(found.mpe_1d_eV) else "paper"
    level_eV = found.mpe_1d_eV if convention == "periodic" else found.mpe_eV
    if not np.isfinite(level_eV):
        return None
    limit_eV = level_eV + _SAME_EV
    cell_A = scan.crystal.atoms.cell.array
    for ion in scan.landscapes():
        if convention == "periodic":
            own_eV = periodic_percolation(ion.energies, ion.start).in_1d_eV
        else:
            own_eV = ion.box.percolation_eV
        if own_eV <= limit_eV:
            path = shortest_path(ion.energies, cell_A, ion.start, limit_eV, convention)
            return Profile(ion.ion, tuple(path.length_A.tolist()), tuple(path.energy_eV.tolist()))
    return None
