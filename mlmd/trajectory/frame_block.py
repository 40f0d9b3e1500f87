"""Consecutive frames of a file as arrays: what every reader gives, before anything is joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray


@dataclass(frozen=True)
class FrameBlock:
    """A few consecutive frames, as they stand in the file.

    A reader is a generator of blocks of any length; it keeps no more than one in memory.

    Attributes
    ----------
    numbers : (atoms,)
        Atomic numbers, the same in every block of a file.
    positions_A : (frames, atoms, 3)
        Positions in angstrom.
    cell_A : (frames, 3, 3)
        Cell vectors as rows, in angstrom.
    wrapped
        True where atoms that leave the cell come back at the other side; False where the
        format says that they do not; None where it may be either.
    time_fs : (frames,), optional
        Time of each frame, where the file says it.
    step : (frames,), optional
        The program's own count of the step, where the file says it: frames of a restarted
        run that repeat one are duplicates.
    velocities_A_fs, forces_eV_A : (frames, atoms, 3), optional
        Velocities in angstrom/fs, forces in eV/angstrom.
    stresses_eV_A3 : (frames, 6), optional
        Stress in eV/angstrom^3, Voigt order xx yy zz yz xz xy, ASE's sign.
    energies_eV : (frames,), optional
        Potential energy (of the electrons' ground state and the ions), without kinetic energy
        of the ions.
    masses_u : (atoms,), optional
        Masses in unified atomic mass units, where the file says them.
    """

    numbers: IntArray
    positions_A: FloatArray
    cell_A: FloatArray
    wrapped: bool | None
    time_fs: FloatArray | None = None
    step: IntArray | None = None
    velocities_A_fs: FloatArray | None = None
    forces_eV_A: FloatArray | None = None
    stresses_eV_A3: FloatArray | None = None
    energies_eV: FloatArray | None = None
    masses_u: FloatArray | None = None
