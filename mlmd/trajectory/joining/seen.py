"""Which frames were there before: a few atoms of each are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.frame_block import FrameBlock

MARKED_ATOMS = 6
# Twice the last digit of the coarsest of the programs' outputs (OUTCAR: 1e-5 A); the atoms of a
# run move by a hundred times more between two frames.
SAME_PLACE_A = 2e-5
# Of a cell vector, which scaled coordinates are rounded to.
SAME_PLACE = 1e-7


class SeenFrames:
    """The frames of a trajectory so far, each by where a few of its atoms are.

    Places are told modulo the cell, since a restart may put atoms back into it.

    Attributes
    ----------
    n : int
        How many there are.
    """

    def __init__(self) -> None:
        self.n = 0
        self._tolerance = 0.0
        self._rows = np.empty((0, 0), dtype=np.float32)
        self._counts = np.empty(0)
        self._read = np.empty(0, dtype=np.int64)

    @property
    def counts(self) -> FloatArray:
        """The program's count of each; NaN where it has none."""
        return self._counts[: self.n]

    @property
    def read(self) -> IntArray:
        """The number of each among all that were read."""
        return self._read[: self.n]

    @property
    def last_count(self) -> float:
        """The count of the last one; NaN where it has none."""
        return float(self._counts[self.n - 1]) if self.n else np.nan

    @property
    def last_row(self) -> FloatArray | None:
        """Places of the last one, as :meth:`rows` gives them."""
        return self._rows[self.n - 1] if self.n else None

    def rows(self, block: FrameBlock, marked: IntArray) -> FloatArray:
        """Return what frames are known by, shape (frames, 3 x marked atoms).

        Of a scaled coordinate s that is abs(2 (s mod 1) - 1): the same for all periodic images,
        and without a jump where an atom leaves the cell.
        """
        places = block.positions_A[:, marked]
        with np.errstate(all="ignore"):  # who joins the blocks refuses what is not finite
            stays = bool((block.cell_A == block.cell_A[:1]).all())
            cells = block.cell_A[:1] if stays else block.cell_A
            if (np.linalg.det(cells) != 0.0).all():
                scaled = places @ np.linalg.inv(cells)
                places = np.abs(2.0 * (scaled - np.floor(scaled)) - 1.0)
                shortest_A = np.sqrt((cells[0] ** 2).sum(axis=1)).min()
                self._tolerance = 2.0 * max(SAME_PLACE, SAME_PLACE_A / shortest_A)
            else:
                self._tolerance = SAME_PLACE_A
            return places.reshape(len(block), -1).astype(np.float32)

    def alike(self, one: FloatArray, other: FloatArray) -> FloatArray:
        """Whether places are the same, number by number."""
        return np.asarray(np.abs(one - other) <= self._tolerance)

    def differ(self, one: FloatArray, other: FloatArray) -> bool:
        """Whether most of the marked atoms are elsewhere."""
        moved = ~self.alike(one, other).reshape(-1, 3).all(axis=1)
        return bool(moved.mean() >= 0.5)

    def add(self, rows: FloatArray, counts: FloatArray | None, read: IntArray) -> None:
        """Remember frames."""
        n = self.n + len(rows)
        if n > len(self._rows):
            room = max(n, 2 * len(self._rows), 1024)
            for name, width in (("_rows", (rows.shape[1],)), ("_counts", ()), ("_read", ())):
                old = getattr(self, name)
                new = np.empty((room, *width), dtype=old.dtype)
                if self.n:
                    new[: self.n] = old[: self.n]
                setattr(self, name, new)
        self._rows[self.n : n] = rows
        self._counts[self.n : n] = np.nan if counts is None else counts
        self._read[self.n : n] = read
        self.n = n

    def cut(self, n: int) -> None:
        """Forget all but the first frames."""
        self.n = n

    def find(self, row: FloatArray) -> list[int]:
        """Return the frames that are the same as this one, in their order."""
        near = np.flatnonzero(self.alike(self._rows[: self.n, 0], row[0]))
        same = self.alike(self._rows[near], row).all(axis=1)
        return [int(i) for i in near[same]]

    def leads_back(self, rows: FloatArray, row: FloatArray) -> bool:
        """Whether a frame is an earlier one, and not because motion is periodic or turns round.

        Parameters
        ----------
        rows
            Frames between those that are remembered and this one.
        row
            This one.
        """
        before = [one for one in (self._rows[: self.n], rows) if len(one)]
        if not before:
            return False
        known = np.concatenate(before)
        near = np.flatnonzero(self.alike(known[:-2, 0], row[0]))
        for j in near[self.alike(known[near], row).all(axis=1)]:
            beside = [known[i] for i in (j - 1, j + 1) if i >= 0]
            if all(self.differ(one, known[-1]) and self.differ(one, row) for one in beside):
                return True
        return False

    def moves_at(self, i: int) -> bool:
        """Whether most of the marked atoms move in a step to a frame, or away from it."""
        beside = [j for j in (i - 1, i + 1) if 0 <= j < self.n]
        return any(self.differ(self._rows[i], self._rows[j]) for j in beside)


def marked_atoms(numbers: IntArray) -> IntArray:
    """Return the atoms that frames are known by: a few of each species."""
    species = np.unique(numbers)
    each = max(1, -(-MARKED_ATOMS // len(species)))
    found = [_spread(np.flatnonzero(numbers == one), each) for one in species]
    return np.sort(np.concatenate(found))[: 2 * MARKED_ATOMS]


def _spread(atoms: IntArray, n: int) -> IntArray:
    return np.asarray(atoms[np.unique(np.linspace(0, len(atoms) - 1, n).astype(int))])


def same_place(last: FrameBlock, block: FrameBlock) -> bool:
    """Whether the first frame of a block is the last one before, but for periodic images."""
    moved = block.positions_A[0] - last.positions_A[0]
    if not np.allclose(block.cell_A[0], last.cell_A[0], rtol=SAME_PLACE, atol=0.0):
        return False
    if np.linalg.det(block.cell_A[0]) != 0.0:
        moved = moved @ np.linalg.inv(block.cell_A[0])
        moved -= np.rint(moved)
    return bool(np.abs(moved).max() < SAME_PLACE)
