"""How much a mean over atoms is uncertain: from how its atoms differ, however slowly they change.

Blocks of time cannot know motion slower than the run: two glasses differ, though each is at rest.
The atoms of one run can, since each has another frozen surrounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import cells_of_distances_A
from mlmd.analysis.structure.conventions import convention_named
from mlmd.periodic.neighbours import neighbours_within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlmd.analysis.structure.radial_distribution import Pair, RadialDistribution
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory

FEWEST_CENTRES = 8
"""A variance over fewer atoms is known within a factor of two at best."""

# Frames that are looked at, of all blocks together: what vibrates is left over from them, and is
# taken out again.
_MOST_FRAMES = 128
# Distances and numbers of one pair in one run, about a second and 160 MB: of very many atoms some
# are looked from.
_MOST_DISTANCES, _MOST_COUNTS, _ENOUGH_CENTRES = 4e6, 2e7, 64
# Stretches of time from which it is learned how the fluctuations of neighbouring atoms add up.
_STRETCHES = 32


@dataclass(frozen=True, eq=False)
class AtomCounts:
    """Neighbours of each atom by distance, in stretches of time.

    Attributes
    ----------
    centre, neighbour : str
        Species of the atoms, and of what is counted about them.
    n_atoms : int
        Atoms of the centre's species; of very many only some are looked from.
    counts : (stretches, centres, bins)
        Mean number of neighbours in each bin.
    density_A3 : float
        Neighbours per volume in the mean, over which g(r) is normalised.
    n_blocks : int
        Blocks of time of the g(r); each is a whole number of stretches.
    """

    centre: str
    neighbour: str
    n_atoms: int
    counts: FloatArray
    density_A3: float
    n_blocks: int


@dataclass(frozen=True, eq=False)
class SlowSpread:
    r"""Variance of the difference of two means that blocks of time do not show.

    Attributes
    ----------
    variance : float
        Summed over all values.
    n_independent : float
        How many independent values the values are worth, by how they vary from atom to atom.
    n_centres : int
        Atoms of the smaller side.
    df : float
        Degrees of freedom of the variance of one value: from the atoms, and from the stretches of
        time that tell how they add up.
    """

    variance: float
    n_independent: float
    n_centres: int
    df: float


def from_centre(pair: Pair, n_atoms: Mapping[str, int]) -> Pair:
    """Return a pair with the species first whose neighbours are counted: that of fewer atoms.

    The neighbours of all atoms of either are the same pairs. About the few they are packed
    densely, and alike; of the many some have none: that scatters from atom to atom and not in sum.
    """
    few, many = sorted(pair, key=lambda symbol: n_atoms[symbol])
    return (few, many) if n_atoms[few] >= FEWEST_CENTRES else (many, few)


def atom_counts(trajectory: Trajectory, run: RadialDistribution, pair: Pair) -> AtomCounts:
    """Count neighbours about each atom of a pair's first species, over the blocks of a g(r)."""
    centre, neighbour = pair
    settings, way = run.settings, convention_named(run.settings.convention)
    bins = way.bins(settings.r_max_A, settings.bin_A)
    centres, others = trajectory.indices(centre), trajectory.indices(neighbour)
    frames = _chosen(settings.n_blocks, settings.frames_per_block)
    stretches, each = frames.shape
    n_atoms = len(centres)
    shares = (
        frames.size * n_atoms * len(others) / _MOST_DISTANCES,
        stretches * n_atoms * bins.n_bins / _MOST_COUNTS,
    )
    centres = centres[:: min(math.ceil(max(shares)), max(n_atoms // _ENOUGH_CENTRES, 1))]
    column = np.zeros(trajectory.n_atoms, dtype=np.intp)
    column[centres] = np.arange(len(centres))
    shape = stretches, len(centres), bins.n_bins
    counted = np.zeros(math.prod(shape))
    cells_A = cells_of_distances_A(trajectory)
    if cells_A.ndim == 3:
        cells_A = cells_A[frames.ravel()]
    positions_A = trajectory.positions_A[frames.ravel()]
    for found in neighbours_within(positions_A, cells_A, bins.r_max_A, centres, others):
        distance = np.sqrt(np.einsum("nk,nk->n", found.vector_A, found.vector_A))
        index = (distance / bins.width_A - bins.first_edge).astype(np.intp)
        flat = (found.frame // each * len(centres) + column[found.centre]) * bins.n_bins + index
        flat = flat[index < bins.n_bins]
        if len(flat):
            few = np.bincount(flat - flat.min())
            counted[flat.min() :][: len(few)] += few
    partners = max(len(others) - int(centre == neighbour and way.excludes_itself), 1)
    return AtomCounts(
        centre=centre,
        neighbour=neighbour,
        n_atoms=n_atoms,
        counts=counted.reshape(shape) / each,
        density_A3=run.density_A3 * partners / trajectory.n_atoms,
        n_blocks=settings.n_blocks,
    )


def slow_spread(
    surrogate: Sequence[AtomCounts],
    reference: Sequence[AtomCounts],
    of: Callable[[AtomCounts], FloatArray],
) -> SlowSpread:
    r"""Return what blocks of time leave out of the variance of a difference of means over atoms.

    With :math:`d_i` the mean over time about atom i of the surrogate minus that of the reference,

    .. math:: v = \frac{F}{N} \left( \operatorname{var}_i d_i - \sum_\mathrm{sides}
        \langle v_i \rangle_i \right)

    where :math:`v_i` is what blocks of time say of the variance of the mean of atom i by itself:
    that part the blocks of the whole show, too. :math:`F` says how the fluctuations of neighbouring
    atoms add up, by those in time: N times the variance of the mean over that of one atom. It is 2
    where pairs are independent and each is seen from both of its atoms.

    Atoms of the same number are held against each other, where both sides have as many: a glass
    that surrogate and reference share does not scatter between them. Elsewhere, and where the
    numbers mean nothing, the variances of both add up.

    Over independent runs of a Lennard-Jones liquid (4 and 20 ps) and of the Kob-Andersen mixture at
    T* = 0.6 and 0.7 (20 and 100 ps) F / N times the scatter of the atoms is 0.93 to 1.13 times the
    variance of g(r), where blocks of time have 0.37 to 1.05. For coordination numbers it is 0.6 to
    1.7, and up to 4 times for the like atoms that are most of a mixture: too much.

    Parameters
    ----------
    surrogate, reference
        Of each run.
    of
        Makes values (stretches, centres, values) of counts, and is linear in them.
    """
    sides = [[of(one) for one in side] for side in (surrogate, reference)]
    means = [np.mean([x.mean(axis=0) for x in side], axis=0) for side in sides]
    n, n_atoms = [len(mean) for mean in means], [side[0].n_atoms for side in (surrogate, reference)]
    if min(n) < 2:
        return SlowSpread(0.0, 1.0, min(n), 1.0)
    each = [_fluctuations(x) for side in sides for x in side]
    together, alone = (sum(values) for values in zip(*each, strict=True))
    like = reference[0].centre == reference[0].neighbour
    factor = together / alone if alone > 0 else 2.0 if like else 1.0
    # Where some are looked from: any two of all atoms are correlated by as much.
    factor = max(1.0 + (factor - 1.0) * (n_atoms[1] - 1) / (n[1] - 1), factor)
    seen = [
        sum(_in_blocks(x, one.n_blocks) for x, one in zip(side, counts, strict=True))
        / len(side) ** 2
        for side, counts in zip(sides, (surrogate, reference), strict=True)
    ]
    if n[0] == n[1] and n_atoms[0] == n_atoms[1]:
        parts = [(means[0] - means[1], sum(seen), n_atoms[1])]
    else:
        parts = list(zip(means, seen, n_atoms, strict=True))
    variance = 0.0
    traces = np.zeros(2)
    for values, shown, atoms in parts:
        trace, square = _traces(values)
        variance += factor * max(trace - shown, 0.0) / atoms
        traces += trace / atoms, square / atoms**2
    independent = traces[0] ** 2 / traces[1] if traces[1] > 0 else 1.0
    stretches = sum(len(x) - 1 for side in sides for x in side)
    df = 1.0 / (1.0 / (min(n) - 1) + 1.0 / max(stretches, 1))
    return SlowSpread(variance, float(independent), min(n), df)


def _chosen(n_blocks: int, frames_per_block: int) -> IntArray:
    """Return frames (stretches, frames), evenly spaced."""
    split = min(max(1, _STRETCHES // n_blocks), frames_per_block)
    length = frames_per_block // split
    each = max(1, min(_MOST_FRAMES // (n_blocks * split), length))
    starts = np.arange(n_blocks)[:, None] * frames_per_block + np.arange(split) * length
    inside = ((np.arange(each) + 0.5) * length / each).astype(np.intp)
    return starts.reshape(-1, 1) + inside


def _fluctuations(x: FloatArray) -> tuple[float, float]:
    """Variance in time of the mean over atoms times their number, and the mean of each atom's."""
    if len(x) < 2:
        return 0.0, 0.0
    together = x.shape[1] * float(x.mean(axis=1).var(axis=0, ddof=1).sum())
    return together, float(x.var(axis=0, ddof=1).sum(axis=-1).mean())


def _in_blocks(x: FloatArray, n_blocks: int) -> float:
    """Variance of the mean of an atom by its blocks of time, mean over the atoms."""
    if n_blocks < 2:
        return 0.0
    blocks = x.reshape(n_blocks, -1, *x.shape[1:]).mean(axis=1)
    return float(blocks.var(axis=0, ddof=1).sum(axis=-1).mean()) / n_blocks


def _traces(values: FloatArray) -> tuple[float, float]:
    """Traces of the covariance of (atoms, values) and of its square, the bias of that removed."""
    n = len(values)
    centred = values - values.mean(axis=0)
    gram = centred @ centred.T / (n - 1)
    trace = float(np.trace(gram))
    square = max(float(np.sum(gram**2)) - trace**2 / (n - 1), trace**2 / gram.size)
    return trace, square
