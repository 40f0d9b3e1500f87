"""Units of a LAMMPS dump, by its ``ITEM: UNITS``; https://docs.lammps.org/units.html."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ase import units

if TYPE_CHECKING:
    from mlmd.trajectory.text.source import TextSource


@dataclass(frozen=True)
class UnitStyle:
    """What one unit of a dump is; None where that is not known."""

    length_A: float = 1.0
    velocity_A_fs: float | None = None
    force_eV_A: float | None = None
    time_fs: float | None = None


UNKNOWN = UnitStyle()
"""A dump without ``ITEM: UNITS``: angstrom, since it is so in metal and in real."""

STYLES = {
    "metal": UnitStyle(1.0, 1e-3, 1.0, 1e3),
    "real": UnitStyle(1.0, 1.0, units.kcal / units.mol, 1.0),
    # Velocities are bohr/fs: positions advance by velocity times time step, which is in fs.
    "electron": UnitStyle(units.Bohr, units.Bohr, units.Hartree / units.Bohr, 1.0),
}


def unit_style(source: TextSource, name: str) -> UnitStyle:
    """Return the style of that name, which was just read.

    Raises
    ------
    InputError
        If it has no units of length in angstrom (lj), or is for other scales.
    """
    if name not in STYLES:
        raise source.unexpected(name, f"units of atoms: {', '.join(STYLES)}")
    return STYLES[name]


def in_unit(value: Any, unit: float | None) -> Any:
    """Return a number or an array times a unit, or None where either is not known."""
    return None if value is None or unit is None else value * unit
