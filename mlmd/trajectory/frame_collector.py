"""From frames to blocks: a reader that meets one frame at a time gathers them here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.trajectory.frame_block import FrameBlock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray, IntArray


MOST_FRAMES = 256
MOST_ATOMS = 2**16


class FrameCollector:
    """Frames of one file, until there are enough for a block.

    Parameters
    ----------
    numbers : (atoms,)
        Atomic numbers.
    wrapped
        As in :class:`FrameBlock`.
    masses_u : (atoms,), optional
        Masses in unified atomic mass units.
    """

    def __init__(
        self, numbers: IntArray, wrapped: bool | None, masses_u: FloatArray | None = None
    ) -> None:
        self.numbers = numbers
        self.n_frames = 0
        self._wrapped = wrapped
        self._masses_u = masses_u
        self._frames: list[dict[str, Any]] = []
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
        arrays = {key: np.array([frame[key] for frame in frames]) for key in known}
        yield FrameBlock(
            numbers=self.numbers, wrapped=self._wrapped, masses_u=self._masses_u, **arrays
        )
