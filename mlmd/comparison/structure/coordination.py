"""Coordination numbers of surrogate and reference within the reference's first shell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlmd.analysis.structure.conventions import convention_named
from mlmd.analysis.structure.first_shell import coordination_within, first_shell
from mlmd.comparison.structure.runs import frame_weights
from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.analysis.structure.radial_distribution import Pair, RadialDistribution
    from mlmd.comparison.structure.runs import RdfRuns


@dataclass(frozen=True)
class CoordinationPair:
    """Mean number of neighbours of one species about another, nearer than one distance.

    ``cutoff_A`` is the first minimum of the reference's g(r), and the same on both sides.
    ``difference`` is surrogate minus reference. Its error is that of both, with the scatter from
    atom to atom that blocks of time do not show, and ``df`` degrees of freedom; None for single
    frames.
    """

    cutoff_A: float
    surrogate: float
    reference: float
    difference: float
    difference_stderr: float | None
    df: float | None


@dataclass(frozen=True)
class CoordinationParity:
    """Coordination numbers of one system, by centre and neighbour (``"Li-O"``: O about Li).

    ``length_ps`` is the length of the longer side; None where times are not known.
    """

    pairs: Mapping[str, CoordinationPair]
    length_ps: float | None = None

    @property
    def largest_difference(self) -> float | None:
        """The difference that is largest in size; None where no pair has a first shell."""
        differences = [pair.difference for pair in self.pairs.values()]
        return max(differences, key=abs) if differences else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {"pairs": {name: asdict(pair) for name, pair in self.pairs.items()}}


def coordination_parity(runs: RdfRuns) -> CoordinationParity:
    """Compare coordination numbers, of the pairs that have a first shell in the reference."""
    pairs = {}
    first = runs.reference[0]
    for centre, neighbour in first.partials:
        try:
            cutoff_A = first_shell(first, centre, neighbour).minimum_A
        except InputError:
            continue  # no first shell: nothing to count up to
        sides = [_mean(side, centre, neighbour, cutoff_A) for side in runs.sides]
        variance, df = _error(runs, (centre, neighbour), cutoff_A, sides)
        pairs[f"{centre}-{neighbour}"] = CoordinationPair(
            cutoff_A=cutoff_A,
            surrogate=sides[0].value,
            reference=sides[1].value,
            difference=sides[0].value - sides[1].value,
            difference_stderr=None if variance is None else math.sqrt(variance),
            df=df,
        )
    length_ps = max(runs.surrogate_ps, runs.reference_ps)
    return CoordinationParity(pairs, length_ps if length_ps > 0 else None)


class _Mean(NamedTuple):
    """Mean over the runs of a side, and its variance by blocks of time with degrees of freedom."""

    value: float
    variance: float | None
    df: float


def _mean(
    runs: Sequence[RadialDistribution], centre: str, neighbour: str, cutoff_A: float
) -> _Mean:
    weights = frame_weights(runs)
    values = np.array([coordination_within(run, centre, neighbour, cutoff_A) for run in runs])
    value = float(weights @ values)
    variances = []
    for run, own in zip(runs, values, strict=True):
        block_g = run.of(centre, neighbour).block_g[:, run.r_A < cutoff_A]
        blocks = block_g @ run.r_A[run.r_A < cutoff_A] ** 2
        if len(blocks) < 2 or not blocks.mean() > 0:
            return _Mean(value, None, 0.0)
        relative = blocks.std(ddof=1) / blocks.mean() / np.sqrt(len(blocks))
        variances.append((own * relative) ** 2)
    df = sum(run.settings.n_blocks - 1 for run in runs)
    return _Mean(value, float(weights**2 @ np.array(variances)), df)


def _error(
    runs: RdfRuns, pair: Pair, cutoff_A: float, sides: Sequence[_Mean]
) -> tuple[float | None, float | None]:
    """Variance of the difference of two means, and its degrees of freedom (Satterthwaite)."""
    settings = runs.reference[0].settings
    bins = convention_named(settings.convention).bins(settings.r_max_A, settings.bin_A)
    # Within the bin of the cutoff neighbours are taken to be spread evenly.
    inside = np.clip((cutoff_A - bins.edges_A[:-1]) / bins.width_A, 0.0, 1.0)
    slow = runs.slow(pair, lambda one: (one.counts @ inside)[..., None])
    looked = runs.atoms[pair][1][0].centre
    n_atoms = runs.reference[0].n_atoms
    scale = (n_atoms[looked] / n_atoms[pair[0]]) ** 2
    parts = [(side.variance, side.df) for side in sides] + [(scale * slow.variance, slow.df)]
    known = [(variance, df) for variance, df in parts if variance is not None]
    if len(known) < len(parts):
        return None, None
    total = sum(variance for variance, _ in known)
    squares = sum(variance**2 / max(df, 1.0) for variance, df in known)
    return total, total**2 / squares if squares > 0 else math.inf
