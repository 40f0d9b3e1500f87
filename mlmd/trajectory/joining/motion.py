"""How far atoms move between two frames, by species: what tells frames that do not follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.frame_block import FrameBlock

# Steps on each side that a doubtful one is held against.
BESIDE = 32
# Steps of one run of VASP last a few fs, so that those beside are much alike: they count as few.
INDEPENDENT = 16
# In the square of a length. What a single step of this size adds to the mean squared displacement
# of a run is that of about as many frames: nothing beside the hundreds that D is measured on.
LARGER = 2.25
# Of steps that nothing but their length tells from others: one in a billion is by chance.
LARGER_UNTOLD = 4.0
CHANCE, CHANCE_UNTOLD = 1e-6, 1e-9
# Of the atoms, those that move farthest: single jumps of diffusion are no gap.
JUMPING = 0.1
# Fewer of a species may all jump in one interval; only a gap that something tells of is looked for.
FEWEST_UNTOLD = 4


def image_steps(
    positions_A: FloatArray, cells_A: FloatArray, pbc: tuple[bool, bool, bool]
) -> FloatArray:
    """Return the steps between consecutive frames by the nearest image, in angstrom.

    Parameters
    ----------
    positions_A : (frames, atoms, 3)
        In angstrom, of two frames or more.
    cells_A : (frames, 3, 3)
        Cell vectors as rows, in angstrom.
    pbc
        Which of them are periodic.

    Returns
    -------
    (frames - 1, atoms, 3)
    """
    steps = np.diff(positions_A, axis=0)
    stays = bool((cells_A == cells_A[0]).all())
    cells = cells_A[:1] if stays else cells_A[1:]
    if not any(pbc) or (np.linalg.det(cells_A[:1] if stays else cells_A) == 0.0).any():
        return np.asarray(steps)
    home = steps - np.rint(steps @ np.linalg.inv(cells)) * pbc @ cells
    if stays:
        return np.asarray(home)
    # Atoms go along with a cell that changes; a cell that flips is the same lattice.
    own = np.diff(positions_A @ np.linalg.inv(cells_A), axis=0)
    along = (own - np.rint(own) * pbc) @ cells
    shorter = (along**2).sum(axis=(1, 2)) < (home**2).sum(axis=(1, 2))
    return np.where(shorter[:, None, None], along, home)


@dataclass(frozen=True)
class Misfit:
    """A step that is far longer than those around it.

    Attributes
    ----------
    species : int
        Atomic number.
    moved_A, usual_A, largest_A : float
        Root mean square over the atoms of the species: in this step, and in the steps around it
        in the mean and at most.
    """

    species: int
    moved_A: float
    usual_A: float
    largest_A: float


class Recent:
    """The last frames that have been seen: enough to hold a step against those before it."""

    def __init__(self) -> None:
        self._blocks: deque[FrameBlock] = deque()
        self._n = 0

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._n > 0

    def add(self, block: FrameBlock) -> None:
        """Take note of the next frames."""
        self._blocks.append(block)
        self._n += len(block)
        while self._n - len(self._blocks[0]) > BESIDE:
            self._n -= len(self._blocks.popleft())

    def clear(self) -> None:
        """Forget all: another run begins."""
        self._blocks.clear()
        self._n = 0

    def blocks(self) -> list[FrameBlock]:
        """Return them in their order."""
        return list(self._blocks)


def _frames(blocks: Sequence[FrameBlock], which: slice) -> tuple[FloatArray, FloatArray]:
    """Return positions and cells of some frames of consecutive blocks."""
    return (
        np.concatenate([block.positions_A for block in blocks])[which],
        np.concatenate([block.cell_A for block in blocks])[which],
    )


def misfit(before: list[FrameBlock], after: list[FrameBlock], told: bool) -> Misfit | None:
    """Return how the step between two runs of frames does not fit those on both sides.

    Compared are mean squared steps of each species without the atoms that move farthest, or,
    where nothing but its length tells the step from others, the lower quartile of the atoms'
    squared steps: it grows where a gap moves all, and stays where some atoms jump together. What
    is expected is the largest of both sides; by chance a step exceeds it once in a million, or a
    billion (Fisher's F with a degree of freedom for each atom, since atoms may move together).

    Parameters
    ----------
    before, after
        Frames on both sides.
    told
        Whether something besides tells that the second do not follow at once: another file, or
        a count that begins anew.
    """
    from scipy.special import fdtri

    first, first_cells = _frames(before, slice(-BESIDE - 1, None))
    second, second_cells = _frames(after, slice(0, BESIDE + 1))
    at = len(first) - 1
    steps = image_steps(
        np.concatenate([first, second]),
        np.concatenate([first_cells, second_cells]),
        after[0].pbc,
    )
    if len(steps) < 2:
        return None
    worst, worst_ratio = None, 1.0
    numbers = after[0].numbers
    for number in np.unique(numbers):
        atoms = np.flatnonzero(numbers == number)
        squares = np.sort((steps[:, atoms] ** 2).sum(axis=2), axis=1)
        n = len(atoms)
        if n < FEWEST_UNTOLD and not told:
            continue
        if told:
            size = squares[:, : max(1, n - int(np.ceil(JUMPING * n)) if n > 3 else n)].mean(axis=1)
            larger, chance = LARGER, CHANCE
        else:
            size = squares[:, n // 4]
            larger, chance = LARGER_UNTOLD, CHANCE_UNTOLD
        around = np.delete(size, at)
        usual, largest = float(around.mean()), float(around.max())
        allowed = max(
            larger * largest,
            usual * float(fdtri(n, n * min(len(around), INDEPENDENT), 1.0 - chance)),
        )
        if allowed > 0 and size[at] > allowed * worst_ratio:
            rms = np.sqrt(squares.mean(axis=1))
            rest = np.delete(rms, at)
            worst_ratio = float(size[at] / allowed)
            worst = Misfit(int(number), float(rms[at]), float(rest.mean()), float(rest.max()))
    return worst
