"""Consecutive frames of a file as arrays: what every reader gives, before anything is joined."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    from mlmd.arrays import FloatArray, IntArray

logger = logging.getLogger(__name__)

# Of a block; the other arrays have a row for each frame.
ONCE = ("numbers", "wrapped", "masses_u", "pbc")
# Of a block that is gathered frame by frame.
MOST_FRAMES = 256
# Who joins the blocks says what it means that they are not known.
COUNTS = frozenset({"step", "time_fs"})
MOST_ATOMS = 2**16


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
        What the format says: True where atoms that leave the cell come back at the other side,
        False where they do not, None where it may be either. The positions may show otherwise.
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
    pbc
        Which cell vectors the structure is periodic along.
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
    pbc: tuple[bool, bool, bool] = (True, True, True)

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.cell_A)

    def part(self, which: slice | NDArray[Any]) -> FrameBlock:
        """Return some of the frames."""
        arrays = {
            item.name: array[which]
            for item in fields(self)
            if item.name not in ONCE and (array := getattr(self, item.name)) is not None
        }
        return replace(self, **arrays)


class FrameCollector:
    """Frames of one file that a reader meets one at a time, until there are enough for a block.

    Parameters
    ----------
    numbers : (atoms,)
        Atomic numbers.
    wrapped
        As in :class:`FrameBlock`.
    masses_u : (atoms,), optional
        Masses in unified atomic mass units.
    pbc
        Which cell vectors the structure is periodic along.
    """

    def __init__(
        self,
        numbers: IntArray,
        wrapped: bool | None,
        masses_u: FloatArray | None = None,
        pbc: tuple[bool, bool, bool] = (True, True, True),
    ) -> None:
        self.numbers = numbers
        self.n_frames = 0
        self._wrapped = wrapped
        self._masses_u = masses_u
        self._pbc = pbc
        self._frames: list[dict[str, Any]] = []
        self._left_out: set[str] = set()
        self._enough = min(MOST_FRAMES, max(1, MOST_ATOMS // len(numbers)))

    def add(self, **arrays: ArrayLike | None) -> Iterator[FrameBlock]:
        """Take one frame, by the names of :class:`FrameBlock`; give a block if one is full."""
        self._frames.append({key: value for key, value in arrays.items() if value is not None})
        self.n_frames += 1
        if len(self._frames) >= self._enough:
            yield from self.rest()

    def rest(self) -> Iterator[FrameBlock]:
        """Give what is left as a block, if anything is; what one frame lacks, all lack."""
        frames, self._frames = self._frames, []
        if not frames:
            return
        known = [key for key in frames[0] if all(key in frame for frame in frames)]
        lacking = {key for frame in frames for key in frame} - {*known, *COUNTS, *self._left_out}
        for key in sorted(lacking):
            logger.warning("%s is left out: not every frame has it", key)
        self._left_out |= lacking
        arrays: dict[str, Any] = {key: np.array([frame[key] for frame in frames]) for key in known}
        yield FrameBlock(
            numbers=self.numbers,
            wrapped=self._wrapped,
            masses_u=self._masses_u,
            pbc=self._pbc,
            **arrays,
        )
