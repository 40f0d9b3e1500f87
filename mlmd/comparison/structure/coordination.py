"""Coordination numbers of surrogate and reference within the reference's first shell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.structure.first_shell import coordination_within, first_shell
from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.analysis.structure.radial_distribution import RadialDistribution
    from mlmd.comparison.structure.rdf_parity import RdfRuns


@dataclass(frozen=True)
class CoordinationPair:
    """Mean number of neighbours of one species about another, nearer than one distance.

    ``cutoff_A`` is the first minimum of the reference's g(r), and the same on both sides.
    ``difference`` is surrogate minus reference, its error that of both; None for single frames.
    """

    cutoff_A: float
    surrogate: float
    reference: float
    difference: float
    difference_stderr: float | None


@dataclass(frozen=True)
class CoordinationParity:
    """Coordination numbers of one system, by centre and neighbour (``"Li-O"``: O about Li)."""

    pairs: Mapping[str, CoordinationPair]

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
        surrogate = _mean(runs.surrogate, centre, neighbour, cutoff_A)
        reference = _mean(runs.reference, centre, neighbour, cutoff_A)
        errors = [side[1] for side in (surrogate, reference)]
        known = [error for error in errors if error is not None]
        pairs[f"{centre}-{neighbour}"] = CoordinationPair(
            cutoff_A=cutoff_A,
            surrogate=surrogate[0],
            reference=reference[0],
            difference=surrogate[0] - reference[0],
            difference_stderr=math.hypot(*known) if len(known) == len(errors) else None,
        )
    return CoordinationParity(pairs)


def _mean(
    runs: Sequence[RadialDistribution], centre: str, neighbour: str, cutoff_A: float
) -> tuple[float, float | None]:
    """Mean over the runs, and its standard error from the blocks of all of them."""
    frames = np.array([run.settings.n_frames for run in runs], dtype=float)
    weights = frames / frames.sum()
    values = np.array([coordination_within(run, centre, neighbour, cutoff_A) for run in runs])
    variances = []
    for run, value in zip(runs, values, strict=True):
        block_g = run.of(centre, neighbour).block_g[:, run.r_A < cutoff_A]
        shells = run.r_A[run.r_A < cutoff_A] ** 2
        blocks = block_g @ shells
        if len(blocks) < 2 or not blocks.mean() > 0:
            return float(weights @ values), None
        relative = blocks.std(ddof=1) / blocks.mean() / np.sqrt(len(blocks))
        variances.append((value * relative) ** 2)
    return float(weights @ values), float(np.sqrt(weights**2 @ np.array(variances)))
