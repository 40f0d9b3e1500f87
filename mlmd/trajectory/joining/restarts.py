"""One run out of the pieces that restarts left: no frame twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.trajectory.joining.seen import SeenFrames, marked_atoms, same_place

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.frame_block import FrameBlock

logger = logging.getLogger(__name__)

# Of the usual step: what may lead back to where a restart began, and steps that tell what is usual.
LONG_STEP = 1.5
FEWEST_STEPS = 5

Files = Iterable[tuple[str, Iterator["FrameBlock"]]]


@dataclass(frozen=True)
class Piece:
    """Consecutive frames of one run.

    Attributes
    ----------
    block : FrameBlock
        The frames.
    source : str
        The file they are from.
    begins : bool
        Whether they are the first of a run that a restart, or another file, begins.
    goes_on : bool
        Of a run that begins: whether it counts its steps where the run before it stopped.
    repeated : FrameBlock or None
        The frame that the run began with where that is the last one of the run before it.
    cut : bool
        Whether a piece of the trajectory begins here, which is analysed by itself.
    """

    block: FrameBlock
    source: str
    begins: bool = False
    goes_on: bool = True
    repeated: FrameBlock | None = None
    cut: bool = False


class BranchError(Exception):
    """A run goes on from an earlier frame than the last; it holds the frames to leave out.

    It does not leave this room: whoever joins reads again without them.
    """

    def __init__(self, branches: list[range]) -> None:
        super().__init__()
        self.branches = branches


def without_repeats(
    files: Files, branches: list[range], findings: list[Finding]
) -> Iterator[Piece]:
    """Join the frames of several files, and of restarts within a file.

    A run begins with each file, wherever the program's count (its step, else its time) does not
    grow, and, where it writes no step, where the frame before is written again or a long step
    leads back to an earlier one. Frames repeat if their *positions* do: counts alone do not tell,
    since VASP counts each run anew. Where a run begins with an earlier frame than the last (a
    restart from a checkpoint) and then goes another way, the later run is taken, as trjcat and
    MDAnalysis do: what the earlier one had after that frame is left out.

    Parameters
    ----------
    files
        Name and blocks of each file, in the order of time.
    branches
        Frames to leave out, counted over all files, as :class:`BranchError` has said.
    findings
        Where what was left out is told.

    Raises
    ------
    InputError
        If the atoms are not the same in all.
    BranchError
        Where a run goes another way, and `branches` does not hold what it leaves behind.
    """
    joiner = _Joiner(branches)
    for source, blocks in files:
        joiner.new_file = True
        n_before = joiner.n_repeated, joiner.n_abandoned
        for whole in blocks:
            joiner.check_atoms(whole, source)
            left = joiner.without_branches(whole)
            for block in _split(left) if len(left) else ():
                yield from joiner.pieces(block, source)
        _tell(
            findings,
            "frames_repeat",
            f"{source}: {{}} frame(s) repeat what was read before; left out",
            joiner.n_repeated - n_before[0],
        )
        _tell(
            findings,
            "branch_left_out",
            f"{source}: {{}} frame(s) are left out: a later run begins with the frame before "
            "them and goes another way",
            joiner.n_abandoned - n_before[1],
        )


def branches_of(files: Files) -> list[range]:
    """Return all frames that later runs leave behind, counted over all files."""
    joiner = _Joiner([], survey=True)
    for source, blocks in files:
        joiner.new_file = True
        for whole in blocks:
            for block in _split(whole):
                for _ in joiner.pieces(block, source):
                    pass
    return joiner.branches


def _tell(findings: list[Finding], code: str, text: str, n: int) -> None:
    if n:
        logger.warning("%s", text.format(n))
        findings.append(Finding(code, "note", text.format(n), {"n_frames": float(n)}))


class _Joiner:
    """What is remembered of the frames so far.

    Parameters
    ----------
    branches
        Frames to leave out.
    survey
        Whether to collect branches, not to stop at the first.
    """

    def __init__(self, branches: list[range], survey: bool = False) -> None:
        self.new_file = True
        self.n_repeated = 0
        self.n_abandoned = 0
        self.branches = list(branches)
        self._survey = survey
        self._n_read = 0
        self._last: FrameBlock | None = None
        self._marked = np.empty(0, dtype=int)
        self._seen = SeenFrames()
        # Of a run that began: whether it may still repeat, and which frame it has come to.
        self._repeating = False
        self._matched: int | None = None
        self._anchor: FrameBlock | None = None
        self._goes_on = True

    def check_atoms(self, block: FrameBlock, source: str) -> None:
        if self._last is not None and not np.array_equal(self._last.numbers, block.numbers):
            raise InputError(
                f"{source}: the atoms are not the same in every frame; expected the species and "
                "order of the first one throughout"
            )

    def without_branches(self, block: FrameBlock) -> FrameBlock:
        """Return the frames of a block that no later run leaves behind."""
        if not self.branches:
            return block
        read = np.arange(self._n_read, self._n_read + len(block))
        left_out = np.zeros(len(block), dtype=bool)
        for branch in self.branches:
            left_out |= (read >= branch.start) & (read < branch.stop)
        n_left_out = int(left_out.sum())
        self.n_abandoned += n_left_out
        self._n_read += n_left_out
        return block.part(~left_out) if n_left_out else block

    def pieces(self, block: FrameBlock, source: str) -> Iterator[Piece]:
        """Give the frames of a block, whose count grows, that were not there before."""
        if self._last is None:
            self._marked = marked_atoms(block.numbers)
        rows = self._seen.rows(block, self._marked)
        count = _count(block)
        self._begin(count)
        at = 0
        while at < len(block):
            if self._repeating:
                at = self._pass_repeats(block, rows, count, at)
            until = len(block)
            if block.step is None:
                until = self._next_repeat(block, rows, at)
            if until > at:
                yield self._take(block, rows, count, slice(at, until), source)
            if until < len(block):
                self._repeating, self._goes_on = True, False
            at = until
        self._n_read += len(block)

    def _begin(self, count: FloatArray | None) -> None:
        """See whether a run begins with these frames."""
        before = self._seen.last_count
        # Where the numbers go on, as in LAMMPS; None where one of the two has none.
        grows = None if count is None or np.isnan(before) else bool(count[0] > before)
        if self._last is not None and (self.new_file or grows is False):
            self._repeating, self._goes_on = True, grows is True
            self._matched, self._anchor = None, None
        self.new_file = False

    def _pass_repeats(
        self, block: FrameBlock, rows: FloatArray, count: FloatArray | None, at: int
    ) -> int:
        """Return the first frame from `at` on that was not there before."""
        while at < len(block):
            found = self._match(block, rows, count, at)
            if found is None:
                self._leave_branch()
                return at
            self._matched, self._anchor = found, block.part(slice(at, at + 1))
            self.n_repeated += 1
            at += 1
        return at

    def _match(
        self, block: FrameBlock, rows: FloatArray, count: FloatArray | None, at: int
    ) -> int | None:
        """Return the frame before that this one repeats, by its positions."""
        last = self._seen.n - 1
        found = [i for i in self._seen.find(rows[at]) if i >= (self._matched or 0)]
        if self._goes_on and self._matched is None:
            found = [i for i in found if i == last]
        if not found or not self._seen.moves_at(found[-1]):
            # Atoms that are marked may all be held: then the whole frame has to be the same.
            one = block.part(slice(at, at + 1))
            if self._matched not in (None, last) or self._last is None:
                return None
            return last if same_place(self._last, one) else None
        if count is not None:
            alike = [i for i in found if self._seen.counts[i] == count[at]]
            found = alike or found
        return found[-1]

    def _leave_branch(self) -> None:
        """A run goes on: what was there after the frame that it began with is another way."""
        last = self._seen.n - 1
        if self._matched is not None and self._matched < last:
            read = self._seen.read
            branch = range(int(read[self._matched + 1]), int(read[last]) + 1)
            if not self._survey:
                raise BranchError([branch])
            self.branches.append(branch)
            self._seen.cut(self._matched + 1)

    def _next_repeat(self, block: FrameBlock, rows: FloatArray, at: int) -> int:
        """Return the first frame from `at` on that repeats the one before it, without a count.

        So restarts look that append to a file (ASE). Positions that stay where they are in a
        lattice model are none: there most atoms stay in the other steps too.
        """
        before = self._seen.last_row
        start = at if before is not None and at == 0 else at + 1
        first = rows[:1] if before is None else before[None]
        previous = np.concatenate([first, rows[:-1]])
        same = np.asarray(self._seen.alike(previous, rows).all(axis=1))
        same[:start] = False
        for i in np.flatnonzero(same):
            moves_before = i > 0 and not same[i - 1] and self._seen.differ(previous[i - 1], rows[i])
            moves_after = i + 1 < len(rows) and self._seen.differ(rows[i], rows[i + 1])
            if moves_before or moves_after or (i == 0 and self._seen.moves_at(self._seen.n - 1)):
                return min(int(i), self._next_return(rows, previous, at, start))
        return self._next_return(rows, previous, at, start)

    def _next_return(self, rows: FloatArray, previous: FloatArray, at: int, start: int) -> int:
        """Return the first frame from `start` on where a long step leads back to an earlier one.

        So appends a run that was killed, and restarted from an earlier frame than its last. Models
        on a lattice, and motion that is periodic in time, come back by themselves.
        """
        steps = np.abs(rows - previous).mean(axis=1)
        usual = float(np.median(steps))
        if len(rows) < FEWEST_STEPS or usual == 0.0:
            return len(rows)
        for i in np.flatnonzero(steps > LONG_STEP * usual):
            if i >= start and self._seen.leads_back(rows[at:i], rows[i]):
                return int(i)
        return len(rows)

    def _take(
        self,
        block: FrameBlock,
        rows: FloatArray,
        count: FloatArray | None,
        which: slice,
        source: str,
    ) -> Piece:
        kept = block if which == slice(0, len(block)) else block.part(which)
        begins = self._repeating and self._last is not None
        piece = Piece(kept, source, begins, self._goes_on or not begins, self._anchor)
        read = self._n_read + np.arange(which.start, which.stop)
        self._seen.add(rows[which], None if count is None else count[which], read)
        self._last = kept.part(slice(-1, None))
        self._repeating, self._matched, self._anchor, self._goes_on = False, None, None, True
        return piece


def _count(block: FrameBlock) -> FloatArray | None:
    """Return what the program counts its frames by."""
    if block.step is not None:
        return block.step.astype(float)
    return block.time_fs


def _split(block: FrameBlock) -> Iterator[FrameBlock]:
    """Give the parts of a block within which its count grows."""
    count = _count(block)
    if count is None:
        yield block
        return
    borders = [0, *(np.flatnonzero(np.diff(count) <= 0) + 1), len(block)]
    for begin, end in pairwise(borders):
        if end > begin:
            yield block.part(slice(begin, end)) if end - begin < len(block) else block
