"""Radial distribution functions of a trajectory."""

from __future__ import annotations

import logging
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import cells_of_distances_A, checked_cells_A, half_height_A
from mlmd.analysis.structure.blocks import first_blocks, independent_blocks, standard_error
from mlmd.analysis.structure.conventions import Convention, convention_named
from mlmd.analysis.structure.radial_distribution import (
    PairDistribution,
    RadialDistribution,
    RdfSettings,
)
from mlmd.checks import shown, texts
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.periodic.pair_counts import pair_counts, self_image_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlmd.analysis.structure.radial_distribution import Pair
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.periodic.distance_bins import DistanceBins
    from mlmd.trajectory.trajectory import Trajectory


# Frames of a changing cell whose histograms are held at once, before each gets its volume.
_FRAMES_AT_ONCE = 256
MOST_PAIRS = 2e9
"""Of a frame: minutes of counting, so that a longer range is a slip of the pen."""

logger = logging.getLogger(__name__)


def rdf(
    trajectory: Trajectory,
    *,
    r_max_A: float | None = None,
    bin_A: float | None = None,
    convention: str = "exact",
    pairs: Sequence[Pair] | None = None,
) -> RadialDistribution:
    r"""Total and partial radial distribution functions, averaged over the frames.

    .. math::

        g_{ab}(r_k) = \left\langle \frac{V \, n_{ab}(r_k)}
        {N_a (N_b - \delta_{ab}) \, \tfrac{4}{3} \pi (r_{k+1}^3 - r_k^3)} \right\rangle

    with :math:`n_{ab}` the number of ordered pairs of an atom of species a and one of species
    b, in the cell or in any of its images, whose distance lies in bin k. An ideal gas of any
    number of atoms, in a cell of any shape, that is constant or not, gives 1 in every bin (M. P.
    Allen, D. J. Tildesley, Computer Simulation of Liquids, 2nd ed. (2017), section 2.6, where N
    stands for :math:`N - 1`).

    Parameters
    ----------
    trajectory
        Positions and cells; times do not matter.
    r_max_A
        Range. Where not given, half the smallest height of the cell (``exact``) or 10 A.
        Farther out all periodic images are counted; what is seen there is correlated with itself.
    bin_A
        Bin width; 0.05 A, or 0.1 A by the paper's conventions, where not given.
    convention
        Key in :data:`mlmd.analysis.structure.conventions.CONVENTIONS`.
    pairs
        Pairs of species to return; all where not given.

    Raises
    ------
    InputError
        If there is no frame, a species is absent, a position is not finite, a cell has no
        volume, or the range and the bins do not fit.

    Notes
    -----
    An image of an atom itself counts as a neighbour, as a crystal in a small cell needs it. It
    adds peaks at the lengths of the lattice vectors, none below the shortest. One atom alone of
    its species has no other neighbours, and is given :math:`N_b = 1`. There are none along a
    direction that is not periodic; V is that of the cell, with its vacuum.

    The standard error comes from blocks of time, which are joined until neighbours are no longer
    correlated; the remainder of the frames enters the mean alone.
    """
    way = convention_named(convention)
    cells_A = checked_cells_A(trajectory)
    volumes_A3: FloatArray = np.abs(np.linalg.det(cells_A))
    findings = [*trajectory.findings, *_about_boundary(trajectory)]
    range_A = half_height_A(trajectory, cells_A)
    if r_max_A is None:
        r_max_A = way.r_max_A or range_A
    bins = way.bins(r_max_A, way.bin_A if bin_A is None else bin_A)
    sphere_A3 = 4.0 / 3.0 * np.pi * r_max_A**3
    pairs_of_a_frame = trajectory.n_atoms**2 * sphere_A3 / float(volumes_A3.min())
    if pairs_of_a_frame > MOST_PAIRS:
        raise InputError(
            f"r_max_A is {r_max_A:g}: {pairs_of_a_frame:.1e} pairs in each frame; expected fewer "
            f"than {MOST_PAIRS:.0e}: half the smallest height of the cell is {range_A:.3g} A"
        )
    species = trajectory.species
    groups = np.array([species.index(symbol) for symbol in trajectory.symbols])
    blocks = first_blocks(len(trajectory))
    open_A = cells_of_distances_A(trajectory)
    densities, neighbours = _block_sums(trajectory, open_A, volumes_A3, groups, bins, blocks)

    sizes = np.bincount(groups)
    frames = np.bincount(blocks)
    equal = frames == frames[0]
    shells = way.shell_volumes_A3(bins)
    wanted = _wanted(pairs, trajectory)
    curves: dict[Pair | None, FloatArray] = {}
    for pair in [None, *wanted]:
        a, b = (None, None) if pair is None else (species.index(pair[0]), species.index(pair[1]))
        summed = densities.sum(axis=(1, 2)) if pair is None else densities[:, a, b]
        ideal = _ordered_pairs(sizes, a, b, way) * shells
        curves[pair] = way.smooth(summed / (frames[:, None] * ideal))
    blocking = independent_blocks(
        np.stack([curve[equal] for pair, curve in curves.items() if pair is not None], axis=1)
    )

    def distribution(pair: Pair | None) -> PairDistribution:
        block_g = blocking.join(curves[pair][equal])
        a, b = (None, None) if pair is None else (species.index(pair[0]), species.index(pair[1]))
        counted = neighbours.sum(axis=(0, 1)) if pair is None else neighbours[a, b]
        centres = len(groups) if a is None else int(sizes[a])
        possible = _ordered_pairs(sizes, a, b, way) * (1 if a == b else 2)
        return PairDistribution(
            g=frames @ curves[pair] / len(trajectory),
            stderr=standard_error(block_g),
            block_g=block_g,
            neighbours=counted / (centres * len(trajectory)),
            weight=possible / _ordered_pairs(sizes, None, None, way),
        )

    return RadialDistribution(
        r_A=way.r_A(bins),
        total=distribution(None),
        partials={pair: distribution(pair) for pair in wanted},
        n_atoms={symbol: int(size) for symbol, size in zip(species, sizes, strict=True)},
        density_A3=float(np.mean(trajectory.n_atoms / volumes_A3)),
        half_height_A=range_A,
        errors_reliable=blocking.is_reliable,
        settings=RdfSettings(
            convention=convention,
            r_max_A=float(bins.r_max_A if way.at != "grid" else bins.centres_A[-1]),
            bin_A=bins.width_A,
            n_frames=len(trajectory),
            n_blocks=blocking.n_blocks,
            frames_per_block=int(frames[0]) * blocking.joined,
            block_correlation=blocking.correlation,
        ),
        source=trajectory.source,
        findings=tuple(findings),
    )


def _about_boundary(trajectory: Trajectory) -> Iterator[Finding]:
    """Say and warn that there is no bulk density for g(r) to be relative to."""
    if all(trajectory.pbc):
        return
    text = (
        f"{trajectory.source} is periodic as {list(trajectory.pbc)}: g(r) is relative to the "
        "density of the cell with its vacuum"
    )
    if any(trajectory.pbc):
        found = Finding("open_boundary", "doubt", text)
    else:
        more = ", which a cluster does not have: only distances and coordination numbers hold"
        found = Finding("no_density", "invalid", text + more)
    logger.warning("%s", found.message)
    yield found


def _block_sums(
    trajectory: Trajectory,
    cells_A: FloatArray,
    volumes_A3: FloatArray,
    groups: IntArray,
    bins: DistanceBins,
    blocks: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Ordered pairs, times the volume by block (blocks, a, b, bins), and in all (a, b, bins)."""
    positions_A = trajectory.positions_A
    if cells_A.ndim == 2:
        ordered = _ordered(pair_counts(positions_A, cells_A, groups, bins, blocks))
        own = self_image_counts(cells_A[None], bins) * np.bincount(blocks)[:, None]
        _add_own(ordered, own, groups)
        return ordered * float(volumes_A3), ordered.sum(axis=0)
    n_groups = int(groups.max()) + 1
    sums = np.zeros((int(blocks[-1]) + 1, n_groups, n_groups, bins.n_bins))
    total = np.zeros(sums.shape[1:])
    for start in range(0, len(trajectory), _FRAMES_AT_ONCE):
        cut = slice(start, min(start + _FRAMES_AT_ONCE, len(trajectory)))
        each = np.arange(cut.stop - start)
        ordered = _ordered(pair_counts(positions_A[cut], cells_A[cut], groups, bins, each))
        _add_own(ordered, self_image_counts(cells_A[cut], bins), groups)
        np.add.at(sums, blocks[cut], volumes_A3[cut, None, None, None] * ordered)
        total += ordered.sum(axis=0)
    return sums, total


def _ordered(counts: IntArray) -> FloatArray:
    """Turn counts of unordered pairs (segments, a, b, bins) into those of ordered pairs."""
    return (counts + counts.swapaxes(1, 2)).astype(float)


def _add_own(ordered: FloatArray, own: IntArray, groups: IntArray) -> None:
    """Add the images of the atoms themselves (segments, bins)."""
    for group, size in enumerate(np.bincount(groups)):
        ordered[:, group, group] += size * own


def _ordered_pairs(sizes: IntArray, a: int | None, b: int | None, way: Convention) -> float:
    """Number of ordered pairs of two species, of all atoms where none is given."""
    first = int(sizes.sum() if a is None else sizes[a])
    second = int(sizes.sum() if b is None else sizes[b])
    return float(first * max(1, second - int(a == b and way.excludes_itself)))


def _wanted(pairs: Sequence[Pair] | None, trajectory: Trajectory) -> list[Pair]:
    """Return the pairs to compute, each in the order of the trajectory's species."""
    species = trajectory.species
    if pairs is None:
        return list(combinations_with_replacement(species, 2))
    if not isinstance(pairs, list | tuple) or any(len(texts("pair", p)) != 2 for p in pairs):
        raise InputError(f"pairs are {shown(pairs)}; expected a list such as [('Li', 'O')]")
    for symbol in {symbol for pair in pairs for symbol in pair}:
        trajectory.indices(symbol)
    if not pairs:
        raise InputError("no pair was given; expected at least one, such as ('Li', 'O')")
    return list(
        dict.fromkeys((min(p, key=species.index), max(p, key=species.index)) for p in pairs)
    )
