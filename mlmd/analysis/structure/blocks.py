"""Spread of curves over blocks of time that are long enough to be independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray


# Blocks to begin with, about.
MOST_BLOCKS = 64
FEWEST_BLOCKS = 5
# Neighbouring blocks correlated by this much make the standard error 10 % too small.
LARGEST_CORRELATION = 0.1


@dataclass(frozen=True)
class Blocking:
    """How many first blocks are joined into one, and whether that is enough.

    Attributes
    ----------
    joined : int
        Number of first blocks in each block.
    n_blocks : int
        Number of blocks that this leaves.
    correlation : float
        Correlation of neighbouring blocks, over all curves.
    is_reliable : bool
        Whether there are five blocks and their correlation is at most 0.1.
    """

    joined: int
    n_blocks: int
    correlation: float
    is_reliable: bool

    def join(self, curves: FloatArray) -> FloatArray:
        """Average curves (first blocks, ...) into blocks."""
        used = curves[: self.n_blocks * self.joined]
        blocks: FloatArray = used.reshape(self.n_blocks, self.joined, *curves.shape[1:]).mean(1)
        return blocks


def first_blocks(n_frames: int) -> IntArray:
    """Return the block of each frame: about 64 of equal length, and one of what remains."""
    n_blocks = min(n_frames, MOST_BLOCKS)
    return np.arange(n_frames) // (n_frames // n_blocks)


def independent_blocks(curves: FloatArray) -> Blocking:
    r"""Join blocks in pairs until neighbours are no longer correlated.

    The correlation is averaged over all points that change, and corrected for the
    :math:`-1/n` that subtracting the mean of n blocks gives it. Fewer than five blocks are
    never left where there were five.

    Parameters
    ----------
    curves : (blocks, ...)
        Averages over equal stretches of time.

    References
    ----------
    H. Flyvbjerg, H. G. Petersen, J. Chem. Phys. 91, 461 (1989). DOI 10.1063/1.457480
    """
    flat = curves.reshape(len(curves), -1)
    blocking = Blocking(1, len(flat), 0.0, False)
    while len(flat) >= 2:
        correlation = _neighbour_correlation(flat)
        enough = len(flat) >= FEWEST_BLOCKS
        fine = correlation <= LARGEST_CORRELATION
        blocking = Blocking(blocking.joined, len(flat), correlation, enough and fine)
        if fine or len(flat) < 2 * FEWEST_BLOCKS:
            return blocking
        half = len(flat) // 2
        flat = flat[: 2 * half].reshape(half, 2, -1).mean(axis=1)
        blocking = Blocking(2 * blocking.joined, half, correlation, False)
    return blocking


def standard_error(blocks: FloatArray) -> FloatArray | None:
    """Standard error of the mean of independent blocks (blocks, ...); None for one block."""
    if len(blocks) < 2:
        return None
    error: FloatArray = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    return error


def _neighbour_correlation(flat: FloatArray) -> float:
    """Correlation of neighbouring rows (blocks, points), averaged over points that change."""
    centred = flat - flat.mean(axis=0)
    variance = np.einsum("bp,bp->p", centred, centred)
    scale = np.abs(flat).max(axis=0)
    changing = variance > (1e-10 * scale) ** 2 * len(flat)
    if not changing.any():
        return 0.0
    product = np.einsum("bp,bp->p", centred[1:], centred[:-1])
    return float(np.mean(product[changing] / variance[changing])) + 1.0 / len(flat)
