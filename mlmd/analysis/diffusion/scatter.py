"""How much a number that is made of squared displacements varies: over atoms, and over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.walkers import Walkers
    from mlmd.arrays import FloatArray, IntArray

FEWEST_BLOCKS, MOST_BLOCKS = 4, 20
"""Fewer blocks of time leave Student's t too wide to be of use; more tell nothing new."""

_ROOM = 2
"""A block is so many longest lags wide: neighbours then share little of their intervals."""

_SHARED = 1.0 / (8.0 * _ROOM - 2.0)
"""Correlation of neighbouring blocks of a free walk, from the intervals that cross their border:
squared displacements over a lag b covary as (1 - s/b)^2 at a distance s; integrated over two
adjacent blocks of width h that is b^2/12, over one of them 2 (h b/3 - b^2/12)."""

_MOST_CORRELATED = 1.0
_LEAST = 0.5
"""Few blocks agree by chance: of four, a tenth scatter by a fifth of what they should and less.
Atoms tell that the variance is at least about theirs, and half of it is given in any case."""
_ORIGINS = 800


@dataclass(frozen=True)
class Scatter:
    """Variance of a weighted sum of mean squared displacements, from one run.

    Attributes
    ----------
    variance : float
        Of the sum, in the square of its unit.
    df : float
        Degrees of freedom that it is known with.
    n_blocks : int
        Blocks of time.
    collective : float
        Variance over blocks of time, over that of independent atoms in them: 1 for independent
        walkers, n where n atoms each move as one.
    """

    variance: float
    df: float
    n_blocks: int
    collective: float


def scatter(walkers: Walkers, lags: IntArray, weights: FloatArray) -> Scatter:
    r"""Estimate the variance of :math:`\sum_l w_l \mathrm{MSD}(l)`, clustered by time and by atom.

    Motion in a liquid is collective: all atoms are fast together and slow together, for longer
    than a displacement takes. And single atoms stay fast or slow. So displacements are clustered
    in two ways [1]_, by the block of time that the centre of their interval lies in, and by the
    atom, and the variances of the two groupings are added, less what both count,

    .. math:: V = g \sum_j \bar R_j^2 + \Big[\sum_a R_a^2 - \sum_{ja} R_{ja}^2\Big]_+, \qquad
        g = \frac{m}{m-1} (1 + 2 \rho)

    with R the contribution to the sum, less its mean. rho is the correlation of neighbouring
    blocks, at least that of a free walk: blocks share the intervals that cross their border. It is
    corrected for the subtracted mean, which makes it smaller by 1/m.

    Nothing here is switched on by a test of significance; what is uncertain about the variance is
    in the degrees of freedom. It is never below half of what independent atoms would have.

    Parameters
    ----------
    walkers
        The atoms, without drift.
    lags : (n,)
        In frames, at least 1.
    weights : (n,)
        In any unit over squared angstrom.

    References
    ----------
    .. [1] A. C. Cameron, J. B. Gelbach, D. L. Miller, J. Bus. Econ. Stat. 29, 238 (2011).
       DOI 10.1198/jbes.2010.07136
    """
    frames, longest = len(walkers), int(lags[-1])
    # Origins half the shortest lag apart tell all there is; a long run is looked at in part.
    stride = max(1, min(int(lags[0]) // 4, longest // 8), frames // _ORIGINS)
    n_blocks = min(MOST_BLOCKS, max(FEWEST_BLOCKS, (frames - 1) // (_ROOM * longest)))
    parts = np.zeros((n_blocks, walkers.n))
    for lag, weight in zip(lags, weights, strict=True):
        origins = np.arange(0, frames - int(lag), stride)
        moved = walkers.at(origins + int(lag)) - walkers.at(origins)
        squares = np.einsum("fax,fax->fa", moved, moved)
        squares -= squares.mean()
        block = ((origins + lag / 2.0) * (n_blocks / (frames - 1.0))).astype(int)
        held, first = np.unique(np.minimum(block, n_blocks - 1), return_index=True)
        parts[held] += weight / len(origins) * np.add.reduceat(squares, first, axis=0)
    return _two_way(parts)


def _two_way(parts: FloatArray) -> Scatter:
    """Combine the contributions (blocks, atoms), which add up to about zero."""
    n_blocks, n_atoms = parts.shape
    free = n_blocks / (n_blocks - 1.0)
    blocks = parts.mean(axis=1)
    by_time = float(blocks @ blocks)
    both = float((parts**2).sum()) / n_atoms**2
    if not by_time > 0:
        return Scatter(0.0, n_blocks - 1.0, n_blocks, 1.0)
    measured = float(blocks[1:] @ blocks[:-1]) / by_time + 1.0 / n_blocks
    shared = min(max(_SHARED, measured), _MOST_CORRELATED)
    variance = free * (1.0 + 2.0 * shared) * by_time
    if n_atoms > 1:
        atoms = parts.sum(axis=0)
        by_atom = float(((atoms - atoms.mean()) ** 2).sum()) / (n_atoms * (n_atoms - 1.0))
        variance += max(0.0, by_atom - free * both)
        variance = max(variance, _LEAST * by_atom)
    return Scatter(variance, n_blocks - 1.0, n_blocks, by_time / both)
