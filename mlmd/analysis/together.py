"""What measured stages give together: replicas combined, and laws over temperatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mlmd.analysis.diffusion.combining import combine
from mlmd.analysis.laws import law_of
from mlmd.analysis.stage import ReplicaDiffusivity
from mlmd.errors import InputError
from mlmd.plain import to_plain

if TYPE_CHECKING:
    from mlmd.analysis.activation.arrhenius import Arrhenius
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.findings import Finding

OF_A_LAW = ("E_a_eV", "E_a_stderr_eV", "D0_cm2_s", "E_a_interval68_eV")


class Measured(Protocol):
    """What is asked of a stage: :class:`StageDiffusivity` has it, and whatever keeps one."""

    @property
    def temperature_K(self) -> float | None:
        """Of the thermostat."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Doubts that the trajectory came with."""

    @property
    def species(self) -> Mapping[str, Diffusivity]:
        """By symbol."""


@dataclass(frozen=True)
class Laws:
    """What stages give together; attributes are those of :class:`AnalysisSummary`."""

    replicas: Mapping[str, ReplicaDiffusivity]
    arrhenius: Mapping[str, Arrhenius | None]
    about_laws: Mapping[str, tuple[Finding, ...]]
    E_a_lower_bounds_eV: Mapping[str, float]


def taken_together(
    stages: Mapping[str, Measured], replicas: Mapping[str, Sequence[str]] | None = None
) -> Laws:
    """Combine stages that are samples of the same, and fit a law for each species.

    Parameters
    ----------
    stages
        By name.
    replicas
        As for :func:`mlmd.analysis.summarize`.

    Raises
    ------
    InputError
        If replicas are not stages of one temperature.
    """
    together = {name: _combined(name, names, stages) for name, names in (replicas or {}).items()}
    laws: dict[str, Arrhenius | None] = {}
    about: dict[str, tuple[Finding, ...]] = {}
    above: dict[str, float] = {}
    for symbol in dict.fromkeys(s for stage in stages.values() for s in stage.species):
        laws[symbol], lowest_eV, found = law_of(*_points(symbol, stages, together))
        about[symbol] = tuple(found)
        if lowest_eV is not None:
            above[symbol] = lowest_eV
    return Laws(together, laws, about, above)


def plain_laws(
    arrhenius: Mapping[str, Arrhenius | None], above_eV: Mapping[str, float]
) -> dict[str, Any]:
    """Return laws, and what E_a is above where there is none, as plain types for JSON."""
    laws = {
        species: {
            **{name: None if law is None else getattr(law, name) for name in OF_A_LAW},
            "E_a_lower_bound_eV": above_eV.get(species),
        }
        for species, law in arrhenius.items()
    }
    plain: dict[str, Any] = to_plain(laws)
    return plain


def _combined(
    name: str, names: Sequence[str], stages: Mapping[str, Measured]
) -> ReplicaDiffusivity:
    unknown = [one for one in names if one not in stages]
    if unknown or len(names) < 2 or name in stages:
        raise InputError(
            f"replicas '{name}' are {', '.join(names)}; expected two stages or more among "
            f"{', '.join(stages)}, and a name of their own"
        )
    members = [stages[one] for one in names]
    temperatures = sorted({f"{one.temperature_K} K" for one in members})
    if len(temperatures) > 1:
        raise InputError(
            f"replicas '{name}' are at {', '.join(temperatures)}; expected one temperature"
        )
    alike = [s for s in members[0].species if all(s in one.species for one in members)]
    return ReplicaDiffusivity(
        members[0].temperature_K,
        tuple(names),
        {symbol: combine([one.species[symbol] for one in members]) for symbol in alike},
    )


def _points(
    symbol: str, stages: Mapping[str, Measured], together: Mapping[str, ReplicaDiffusivity]
) -> tuple[list[tuple[str, float, Diffusivity]], dict[str, list[str]]]:
    """Points of a law, replicas as one; and the stages that carry each flag."""
    grouped = {name for group in together.values() for name in group.stages}
    doubts: dict[str, list[str]] = {}
    for name, stage in stages.items():
        if symbol in stage.species and stage.temperature_K is not None:
            for doubt in stage.flags:
                doubts.setdefault(doubt, []).append(name)
    each: dict[str, Measured | ReplicaDiffusivity] = {
        name: stage for name, stage in stages.items() if name not in grouped
    }
    each.update(together)
    points = [
        (name, one.temperature_K, one.species[symbol])
        for name, one in each.items()
        if symbol in one.species and one.temperature_K is not None
    ]
    return points, doubts
