"""From blocks of frames, as readers give them, to the arrays of one trajectory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.trajectory.joining.clock import Clock
from mlmd.trajectory.joining.growing import GrowingArray, spill_largest
from mlmd.trajectory.joining.restarts import Piece, without_repeats
from mlmd.trajectory.joining.unwrapping import LongSteps, Unwrapper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.trajectory.frame_block import FrameBlock

logger = logging.getLogger(__name__)

# Of any length, energy, force and stress in these units: what exceeds it was misread.
LARGEST = 1e12
OPTIONAL = ("velocities_A_fs", "forces_eV_A", "stresses_eV_A3", "energies_eV")


def join(
    files: Iterable[tuple[str, Iterator[FrameBlock]]],
    source: str,
    timestep_fs: float | None,
    frames: slice,
    long_steps: LongSteps = "refuse",
) -> dict[str, Any]:
    """Join the frames of the files of one run.

    Memory is bounded: what is not taken is dropped as it comes, and arrays larger than
    :data:`mlmd.trajectory.joining.growing.SPILL_BYTES` grow on disk.

    Parameters
    ----------
    files
        Name and blocks of each file, in the order of time.
    source
        Name of the whole, for messages.
    timestep_fs
        Time between two frames, in fs, where the files do not say it.
    frames
        Which to take of all, as a slice of a sequence; all are unwrapped.
    long_steps
        ``"refuse"`` or ``"warn"`` where unwrapping is not certain.

    Returns
    -------
    dict
        What :class:`mlmd.Trajectory` is made of, by its names.

    Raises
    ------
    InputError
        If the atoms change, times are not known, a step is too long, or there is no frame.
    """
    # Where a negative start is depends on the end; a negative stop only cuts it off.
    from_end = frames.start is not None and frames.start < 0
    start = 0 if from_end or frames.start is None else frames.start
    every = 1 if from_end or frames.step is None else frames.step
    stop = frames.stop if not from_end and frames.stop is not None and frames.stop >= 0 else None
    columns = _Columns()
    clock, unwrapper = Clock(timestep_fs), Unwrapper(source, long_steps)
    n = 0
    first: FrameBlock | None = None
    for piece in without_repeats(files):
        first = first or piece.block
        n_block = len(piece.block)
        taken = slice(start - n if start > n else (start - n) % every, None, every)
        if stop is not None:
            taken = slice(taken.start, max(stop - n, 0), every)
        columns.append(_arrays(piece, clock, unwrapper), taken)
        n += n_block
        if stop is not None and n >= stop:
            break
    if first is None:
        raise InputError(f"{source} holds no whole frame; expected at least one")
    arrays = columns.finish()
    if from_end:
        arrays = {name: array[frames] for name, array in arrays.items()}
    elif frames.stop is not None and frames.stop < 0:
        left = len(range(start, max(n + frames.stop, 0), every))
        arrays = {name: array[:left] for name, array in arrays.items()}
    unwrapper.finish(arrays)
    cells = arrays["cell_A"]
    if len(cells) and (cells == cells[0]).all():
        arrays["cell_A"] = np.array(cells[0])
    pbc = tuple((np.array(first.pbc) | unwrapper.folded_along_open).tolist())
    once = {"numbers": first.numbers, "masses_u": first.masses_u, "pbc": pbc}
    return {"source": source, "findings": tuple(unwrapper.findings), **once, **arrays}


def _arrays(piece: Piece, clock: Clock, unwrapper: Unwrapper) -> dict[str, NDArray[Any]]:
    block = piece.block
    known = {name: array for name in OPTIONAL if (array := getattr(block, name)) is not None}
    # In this order: the times are asked for before anything long is done.
    arrays = {"time_fs": clock.times_fs(piece), "cell_A": block.cell_A, **known}
    for name, array in {**known, "cell_A": block.cell_A, "positions_A": block.positions_A}.items():
        # Also no number that is none: NaN compares as false.
        if not (np.abs(array) < LARGEST).all():
            raise InputError(
                f"{piece.source}: {name} is not finite, or not below {LARGEST:g}, in every frame"
            )
    beside = unwrapper.add(block.positions_A, block.cell_A, block.wrapped, piece.begins, block.pbc)
    return {"positions_A": block.positions_A, **beside, **arrays}


class _Columns:
    """The arrays of the trajectory as they grow; those that a frame lacks are left out."""

    def __init__(self) -> None:
        self._columns: dict[str, GrowingArray] | None = None

    def append(self, arrays: dict[str, NDArray[Any]], taken: slice) -> None:
        if self._columns is None:
            self._columns = {
                name: GrowingArray(array.shape[1:], array.dtype) for name, array in arrays.items()
            }
        for name in sorted(self._columns.keys() - arrays.keys()):
            logger.warning("%s is left out: not every frame has it", name)
            del self._columns[name]
        for name, column in self._columns.items():
            column.append(arrays[name][taken])
        spill_largest(self._columns)

    def finish(self) -> dict[str, NDArray[Any]]:
        return {name: column.finish() for name, column in (self._columns or {}).items()}
