"""Units of a LAMMPS dump, by its ``ITEM: UNITS``; https://docs.lammps.org/units.html."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ase import units

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


@dataclass(frozen=True)
class UnitStyle:
    """What one unit of a dump is; None where that is not known."""

    length_A: float = 1.0
    velocity_A_fs: float | None = None
    force_eV_A: float | None = None
    time_fs: float | None = None

    def velocities(self, values: FloatArray | None) -> FloatArray | None:
        """Return velocities in angstrom/fs."""
        if values is None or self.velocity_A_fs is None:
            return None
        return values * self.velocity_A_fs

    def forces(self, values: FloatArray | None) -> FloatArray | None:
        """Return forces in eV/angstrom."""
        if values is None or self.force_eV_A is None:
            return None
        return values * self.force_eV_A

    def times(self, value: float | None) -> float | None:
        """Return a time in fs."""
        return None if value is None or self.time_fs is None else value * self.time_fs


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
