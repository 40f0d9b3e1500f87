"""g(r) of all runs of a system on one grid, and the noise of their difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import checked_cells_A, half_height_A
from mlmd.analysis.structure.conventions import convention_named
from mlmd.analysis.structure.rdf import rdf
from mlmd.comparison.noise import Noise
from mlmd.comparison.structure.atom_spread import (
    FEWEST_CENTRES,
    AtomCounts,
    SlowSpread,
    atom_counts,
    from_centre,
    slow_spread,
)
from mlmd.comparison.systems import System

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlmd.analysis.structure.radial_distribution import Pair, RadialDistribution
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory

_FEWEST_BLOCKS = 5
_FEWEST_SEEDS = 3
"""Runs whose spread says something: two differ by next to nothing in one of seven pairs."""


@dataclass(frozen=True)
class RdfChoice:
    """Grid, range and smoothing of g(r); see :func:`mlmd.analysis.structure.rdf`.

    ``r_max_A`` is half the smallest height of all cells on both sides where not given.
    """

    convention: str = "exact"
    r_max_A: float | None = None
    bin_A: float | None = None


@dataclass(frozen=True, eq=False)
class RdfRuns:
    """g(r) of all runs of a system, on one grid.

    Attributes
    ----------
    surrogate, reference : tuple of RadialDistribution
        One for each run.
    surrogate_ps, reference_ps : float
        Lengths of all runs of a side; 0 for single frames.
    atoms : mapping of pair to (tuple of AtomCounts, tuple of AtomCounts)
        Of surrogate and reference, one for each run.
    """

    surrogate: tuple[RadialDistribution, ...]
    reference: tuple[RadialDistribution, ...]
    surrogate_ps: float
    reference_ps: float
    atoms: Mapping[Pair, tuple[tuple[AtomCounts, ...], tuple[AtomCounts, ...]]]

    @property
    def sides(self) -> tuple[tuple[RadialDistribution, ...], tuple[RadialDistribution, ...]]:
        """Surrogate and reference."""
        return self.surrogate, self.reference

    def noise(self) -> Noise | None:
        r"""Return how far g(r) of two sides of one potential are apart; None for single frames.

        The variance of a mean over time has a part that blocks of time show, and one that they do
        not, which the scatter from atom to atom does (:func:`slow_spread`). Where the reference
        has three runs or more whose means scatter by more than that, their scatter v counts, and
        :math:`\rho v` for a surrogate that is :math:`1/\rho` times as long.
        """
        if any(run.settings.n_blocks < 2 for side in self.sides for run in side):
            return None
        pairs = list(self.reference[0].partials)
        in_time = np.array([[self._in_time(side, pair) for side in self.sides] for pair in pairs])
        slow = [self.slow(pair, self._g) for pair in pairs]
        variance = in_time.sum(axis=1) + np.array([one.variance for one in slow])
        if not variance.sum() > 0:
            return None
        known = np.array([one.n_centres >= FEWEST_CENTRES for one in slow])
        blocks = min(run.settings.n_blocks for side in self.sides for run in side)
        seeds = self._seeds()
        return Noise(
            variance=np.maximum(variance, seeds),
            in_time=in_time.sum(axis=1),
            n_independent=np.array([one.n_independent for one in slow]),
            is_known=known,
            length_ps=self._length_ps(in_time.sum(axis=0)),
            source="atoms" if variance.sum() >= seeds.sum() else "seeds",
            is_reliable=blocks >= _FEWEST_BLOCKS and bool(known.any()),
        )

    def slow(self, pair: Pair, of: Callable[[AtomCounts], FloatArray]) -> SlowSpread:
        """Return what blocks of time do not show of a pair; `of` makes values of its counts."""
        return slow_spread(*self.atoms[pair], of)

    def _in_time(self, side: Sequence[RadialDistribution], pair: Pair) -> float:
        errors = [run.of(*pair).stderr for run in side]
        each = [float(np.sum(error**2)) for error in errors if error is not None]
        return float(frame_weights(side) ** 2 @ each)

    def _g(self, one: AtomCounts) -> FloatArray:
        """Return g(r) about each atom, in stretches of time."""
        settings = self.reference[0].settings
        way = convention_named(settings.convention)
        shells_A3 = way.shell_volumes_A3(way.bins(settings.r_max_A, settings.bin_A))
        return way.smooth(one.counts / (one.density_A3 * shells_A3))

    def _seeds(self) -> FloatArray:
        """Variance of the difference (pairs,) by the scatter between runs of the reference."""
        n = len(self.reference)
        if n < _FEWEST_SEEDS:
            return np.zeros(len(self.reference[0].partials))
        g = np.array([[one.g for one in run.partials.values()] for run in self.reference])
        ratio = self.reference_ps / self.surrogate_ps if self.surrogate_ps > 0 else 1.0
        variance: FloatArray = (1.0 + ratio) / n * g.var(axis=0, ddof=1).sum(axis=-1)
        return variance

    def _length_ps(self, in_time: FloatArray) -> float | None:
        lengths = self.surrogate_ps, self.reference_ps
        if not min(lengths) > 0:
            return None
        return float(np.average(lengths, weights=in_time)) if in_time.any() else max(lengths)


def rdf_runs(system: System, choice: RdfChoice) -> RdfRuns:
    """Compute g(r) of both sides on one grid."""
    surrogate, reference = system.runs()
    r_max_A = choice.r_max_A
    if r_max_A is None and choice.convention == "exact":
        r_max_A = min(_half_height_A(run) for run in (*surrogate, *reference))
    first, other = (
        tuple(
            rdf(run, r_max_A=r_max_A, bin_A=choice.bin_A, convention=choice.convention)
            for run in side
        )
        for side in (surrogate, reference)
    )
    return RdfRuns(
        surrogate=first,
        reference=other,
        surrogate_ps=sum(run.duration_ps for run in surrogate),
        reference_ps=sum(run.duration_ps for run in reference),
        atoms={
            pair: (_counts(surrogate, first, looked), _counts(reference, other, looked))
            for pair in other[0].partials
            for looked in [from_centre(pair, other[0].n_atoms)]
        },
    )


def frame_weights(runs: Sequence[RadialDistribution]) -> FloatArray:
    """Return the share of each run in the frames of all."""
    frames = np.array([run.settings.n_frames for run in runs], dtype=float)
    weights: FloatArray = frames / frames.sum()
    return weights


def _counts(
    runs: Sequence[Trajectory], results: Sequence[RadialDistribution], pair: Pair
) -> tuple[AtomCounts, ...]:
    each = zip(runs, results, strict=True)
    return tuple(atom_counts(run, result, pair) for run, result in each)


def _half_height_A(trajectory: Trajectory) -> float:
    """Return half the smallest height of the cell in any frame."""
    return half_height_A(trajectory, checked_cells_A(trajectory))
