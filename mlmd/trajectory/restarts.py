"""One run out of the pieces that restarts left: no frame twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.trajectory.frame_block import FrameBlock

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

PER_FRAME = (
    "positions_A",
    "cell_A",
    "time_fs",
    "step",
    "velocities_A_fs",
    "forces_eV_A",
    "stresses_eV_A3",
    "energies_eV",
)
# Of a cell vector: less than the last digit that any program writes.
SAME_PLACE = 1e-7


@dataclass(frozen=True)
class Piece:
    """Frames of one run.

    Attributes
    ----------
    block : FrameBlock
        The frames.
    source : str
        The file they are from.
    begins : bool
        Whether they are the first of a run that a restart, or another file, begins.
    repeated_time_fs : float or None
        Where the run began with a frame that the run before ended with, its time in this run.
    """

    block: FrameBlock
    source: str
    begins: bool
    repeated_time_fs: float | None = None


def frames_of(block: FrameBlock, which: slice | NDArray[Any]) -> FrameBlock:
    """Return some of the frames of a block."""
    return replace(
        block,
        **{
            name: array[which]
            for name in PER_FRAME
            if (array := getattr(block, name)) is not None
        },
    )


def without_repeats(files: Iterable[tuple[str, Iterator[FrameBlock]]]) -> Iterator[Piece]:
    """Join the frames of several files, and of restarts within a file.

    A run begins with each file and wherever the program's step number does not grow. Where it
    begins within the numbers of the run before it, both count the same steps, and those already
    seen are left out. Where the count begins anew (VASP), or there is none, the first frame is
    left out if it is the last one of the run before it.

    Parameters
    ----------
    files
        Name and blocks of each file, in the order of time.

    Raises
    ------
    InputError
        If the atoms are not the same in all.
    """
    before: FrameBlock | None = None
    first_step: int | None = None
    seen_step: int | None = None
    for source, blocks in files:
        n_repeated = 0
        begins = True
        for whole in blocks:
            _check_atoms(whole, before, source)
            for block in _split(whole, None if begins else before):
                begins = begins or _goes_back(block, before)
                repeated_time = None
                if begins:
                    shared = (
                        first_step is not None
                        and block.step is not None
                        and block.step[0] > first_step
                    )
                    if not shared:
                        seen_step = None
                        first_step = None if block.step is None else int(block.step[0])
                kept = block
                if seen_step is not None and block.step is not None:
                    kept = frames_of(block, block.step > seen_step)
                if begins and len(kept.cell_A) and before is not None and _same(before, kept):
                    if kept.time_fs is not None:
                        repeated_time = float(kept.time_fs[0])
                    kept = frames_of(kept, slice(1, None))
                n_repeated += len(block.cell_A) - len(kept.cell_A)
                if not len(kept.cell_A):
                    continue
                yield Piece(kept, source, begins and before is not None, repeated_time)
                begins = False
                before = frames_of(kept, slice(-1, None))
                if kept.step is not None:
                    seen_step = int(kept.step[-1])
        if n_repeated:
            logger.info("%s: %d frames that were there already are left out", source, n_repeated)
