"""Diffusivities of all stages of a run and the activation energies that follow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from mlmd.analysis.activation.arrhenius import Arrhenius
from mlmd.analysis.checks import check_trajectory
from mlmd.analysis.diffusion.combining import combine
from mlmd.analysis.diffusion.diffusivity import (
    Diffusivity,
    diffusivity,
    diffusivity_settings,
)
from mlmd.analysis.diffusion.drift import never_moving, share_of_centre
from mlmd.analysis.events import RunEvents, what_happened
from mlmd.analysis.laws import law_of
from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.analysis.structure import FirstShell, RadialDistribution, first_shells, rdf
from mlmd.analysis.transport import Conductivity, conductivity
from mlmd.checks import by_name, shown, texts
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.plain import plain_fields, to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Unpack

    from mlmd.analysis.diffusion.drift import Drift
    from mlmd.analysis.diffusion.estimators.estimate import Origins
    from mlmd.analysis.diffusion.estimators.options import EstimatorOptions
    from mlmd.trajectory.trajectory import Trajectory


logger = logging.getLogger(__name__)

FLAGS = {
    "centre_of_few_atoms": "the centre of mass held at rest is that of fewer than ten atoms, and "
    "moves with them: D is too small, by 1/N of N that are alike; take --drift none "
    "(drift='none') if nothing else drifts",
    "fixed_atoms": "atoms were held in place: no drift is taken out, and D of their species is the "
    "mean over those that move and those that do not",
    "forces_are_no_gradient": "the forces are not the derivative of the calculator's energy: they "
    "heat or cool what they move, which the thermostat hides",
    "langevin_friction": "D is biased: the friction of the Langevin thermostat slows atoms down; "
    "measure with nose_hoover or bussi",
    "open_boundary": "not periodic in all directions: D is that of a slab, g(r) is relative to the "
    "density of the cell with its vacuum, and there is no pressure",
}
"""What a flag means, where its name does not say it."""

LARGEST_SHARE = 0.1
"""Of the motion of independent atoms, that their centre may take without a word: ten atoms."""

STRUCTURE_FRAMES = 1000
"""Frames that g(r) is made of: more are too much alike to add anything."""


class DiffusivityOptions(TypedDict, total=False):
    """Keywords of :func:`mlmd.diffusivity`."""

    estimator: str | None
    window_ps: float | None
    fit_ps: tuple[float, float] | None
    drift: Drift
    mobile: str | None
    origins: Origins
    options: EstimatorOptions | None


@dataclass(frozen=True)
class StageDiffusivity:
    """Diffusivities of one stage, by species.

    ``temperature_K`` is that of the thermostat; None where it is not known. ``events`` is what
    happened in the run, None where it is too short to say; ``conductivity`` is None where no
    oxidation states were given. ``flags`` are doubts that the run has about the stage
    (``unconverged_volume``), and those of :data:`FLAGS` that the trajectory shows; ``about_file``
    is what reading it showed.
    """

    temperature_K: float | None
    duration_ps: float
    species: Mapping[str, Diffusivity]
    structure: RadialDistribution
    events: RunEvents | None = None
    conductivity: Conductivity | None = None
    flags: tuple[str, ...] = ()
    about_file: tuple[Finding, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What doubts a number of the stage."""
        found = [*self.about_file]
        found += [
            Finding(flag, "doubt", FLAGS.get(flag, flag.replace("_", " "))) for flag in self.flags
        ]
        found += _about_motion(self.species)
        return (*found, *(self.events.findings if self.events is not None else ()))

    def coordination(self) -> dict[str, FirstShell | str]:
        """First shell of each pair of species, as ``Li-O``; where there is none, why."""
        return first_shells(self.structure)


@dataclass(frozen=True)
class ReplicaDiffusivity:
    """Diffusivities of stages that differ in nothing but their seed, by species, all together.

    ``stages`` are their names; ``temperature_K`` is None where it is not known. The numbers are
    those of :func:`mlmd.analysis.combine`.
    """

    temperature_K: float | None
    stages: tuple[str, ...]
    species: Mapping[str, Diffusivity]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What doubts a number of all of them."""
        return tuple(_about_motion(self.species))


def _about_motion(species: Mapping[str, Diffusivity]) -> Iterator[Finding]:
    """Say which species does not diffuse."""
    for symbol, result in species.items():
        if not result.is_diffusive:
            numbers = {
                "D_upper_bound_cm2_s": result.D_upper_bound_cm2_s,
                "D_lower_bound_cm2_s": result.D_lower_bound_cm2_s,
                "needs_ps": result.needs_ps,
            }
            text = f"{symbol} is {result.verdict.replace('_', ' ')}: {result.reason}"
            yield Finding(f"motion_{result.verdict}", "invalid", text, numbers)


@dataclass(frozen=True)
class AnalysisSummary:
    """What `mlmd analyze` says about one run or trajectory.

    Attributes
    ----------
    stages : mapping of str to StageDiffusivity
        By name, in the order given.
    arrhenius : mapping of str to (Arrhenius or None)
        By species; None where there is no activation energy.
    about_laws : mapping of str to tuple of Finding
        By species: why there is no activation energy, or what to doubt about it.
    from_recipe : RecipeAnalysis or None
        What of the settings the run's recipe says; None where it says nothing that was used.
    E_a_lower_bounds_eV : mapping of str to float
        What E_a is above with 95 %, by species that diffuses at one temperature alone and is
        bounded at colder ones.
    replicas : mapping of str to ReplicaDiffusivity
        Stages that are samples of the same, together, by a name for them; the laws take them as
        one point.
    """

    stages: Mapping[str, StageDiffusivity]
    arrhenius: Mapping[str, Arrhenius | None]
    about_laws: Mapping[str, tuple[Finding, ...]]
    from_recipe: RecipeAnalysis | None = None
    E_a_lower_bounds_eV: Mapping[str, float] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaDiffusivity] = field(default_factory=dict)

    @property
    def notes(self) -> dict[str, str]:
        """What there is to say about the laws in words, by species."""
        return {
            symbol: "; ".join(finding.message for finding in found)
            for symbol, found in self.about_laws.items()
            if found
        }

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that doubts a number, by stages and then by species; all faces show it."""
        each: dict[str, StageDiffusivity | ReplicaDiffusivity] = {**self.stages}
        each.update(self.replicas)
        found = [
            replace(finding, message=f"{name}: {finding.message}")
            for name, stage in each.items()
            for finding in stage.findings
        ]
        found += [
            replace(finding, message=f"{symbol}: {finding.message}")
            for symbol, about in self.about_laws.items()
            for finding in about
        ]
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain types for JSON; what is not known is None."""
        stages = {}
        for name, stage in self.stages.items():
            stages[name] = plain_fields(
                stage, ("structure", "events", "conductivity", "flags", "about_file")
            )
            stages[name]["coordination"] = {
                pair: None if isinstance(shell, str) else to_plain(shell)
                for pair, shell in stage.coordination().items()
            }
            stages[name]["events"] = to_plain(stage.events)
            for given in ("conductivity", "flags"):
                if value := to_plain(getattr(stage, given)):
                    stages[name][given] = value
        parameters = ("E_a_eV", "E_a_stderr_eV", "D0_cm2_s", "E_a_interval68_eV")
        laws = {
            species: {
                **{name: None if law is None else getattr(law, name) for name in parameters},
                "E_a_lower_bound_eV": self.E_a_lower_bounds_eV.get(species),
            }
            for species, law in self.arrhenius.items()
        }
        return {
            "stages": stages,
            **({"replicas": to_plain(self.replicas)} if self.replicas else {}),
            "arrhenius": to_plain(laws),
            "from_recipe": to_plain(self.from_recipe),
            "findings": to_plain(self.findings),
        }


def summarize(
    stages: Mapping[str, tuple[Trajectory, float | None]],
    *,
    species: str | Sequence[str] | None = None,
    flags: Mapping[str, Sequence[str]] | None = None,
    oxidation_states: Mapping[str, float] | None = None,
    recipe: RecipeAnalysis | None = None,
    replicas: Mapping[str, Sequence[str]] | None = None,
    **settings: Unpack[DiffusivityOptions],
) -> AnalysisSummary:
    """Diffusivity of every species in every stage, and its Arrhenius law over the stages.

    Parameters
    ----------
    stages
        Trajectory and thermostat temperature in K (None where not known) by stage name.
        Stages at the same temperature are separate points of the Arrhenius fit.
    species
        One symbol or several; every species that occurs where not given.
    flags
        Doubts by stage name, handed on with the results and named in the notes.
    oxidation_states
        By symbol, of every species: gives the conductivity of the species asked for.
    recipe
        How the recipe of a run has it analysed, ``RecipeAnalysis.of(run)``: what is not given as
        a keyword.
    replicas
        Names of stages that differ in nothing but their seed, by a name for all of them: they are
        combined, and are one point of the Arrhenius fit.
    **settings
        Keywords of :func:`mlmd.diffusivity`, the same for all stages.

    Raises
    ------
    InputError
        If there is no stage, or a diffusivity cannot be had; the message names the stage.

    Notes
    -----
    The Arrhenius fit takes standard errors with their degrees of freedom, and stages without
    diffusion by their bounds of D (:func:`mlmd.arrhenius`); a finding says which they are. With
    diffusion at a single temperature there is no law, but colder bounds tell what E_a is above.
    """
    diffusivity_settings(**settings)
    if recipe is not None and not isinstance(recipe, RecipeAnalysis):
        raise InputError(f"recipe is {shown(recipe)}; expected RecipeAnalysis.of(run)")
    how: dict[str, Any] = {**settings} if recipe is None else recipe.keywords(settings)
    used = None if recipe is None else recipe.beside(settings)
    by_name("stages", stages)
    by_name("flags", {} if flags is None else flags)
    if not stages:
        raise InputError("no stage was given; expected at least one trajectory to analyse")
    wanted = species
    if species is not None:
        wanted = texts("species", [species] if isinstance(species, str) else species)
    results: dict[str, StageDiffusivity] = {}
    for name, stage in stages.items():
        if not isinstance(stage, tuple | list) or len(stage) != 2:
            raise InputError(
                f"stage {shown(name)} is {shown(stage)}; expected a trajectory and its temperature"
            )
        trajectory, temperature_K = stage
        check_trajectory(trajectory)
        try:
            by_species = {
                symbol: diffusivity(trajectory, symbol, **how)
                for symbol in (trajectory.species if wanted is None else wanted)
            }
            known_K = None if temperature_K is None else float(temperature_K)
            sigma = None
            if oxidation_states is not None:
                sigma = conductivity(
                    trajectory, oxidation_states, list(by_species), temperature_K=known_K
                )
        except InputError as error:
            raise InputError(f"stage '{name}': {error}") from error
        doubts = dict.fromkeys([*(flags or {}).get(name, ()), *_shown_by(trajectory, by_species)])
        every = -(-len(trajectory) // STRUCTURE_FRAMES)
        structure = rdf(trajectory.part(every=every))
        results[name] = StageDiffusivity(
            temperature_K=known_K,
            duration_ps=trajectory.duration_ps,
            species=by_species,
            structure=structure,
            events=_events(trajectory, list(by_species)),
            conductivity=sigma,
            flags=tuple(doubts),
            about_file=trajectory.findings,
        )
    together = {name: _together(name, names, results) for name, names in (replicas or {}).items()}
    laws: dict[str, Arrhenius | None] = {}
    about: dict[str, tuple[Finding, ...]] = {}
    above: dict[str, float] = {}
    for symbol in dict.fromkeys(s for stage in results.values() for s in stage.species):
        laws[symbol], lowest_eV, found = law_of(*_points(symbol, results, together))
        about[symbol] = tuple(found)
        if lowest_eV is not None:
            above[symbol] = lowest_eV
    shown_recipe = used if used and used.settings else None
    return AnalysisSummary(results, laws, about, shown_recipe, above, together)


def _together(
    name: str, names: Sequence[str], stages: Mapping[str, StageDiffusivity]
) -> ReplicaDiffusivity:
    """Combine stages that are samples of the same."""
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
    symbol: str,
    stages: Mapping[str, StageDiffusivity],
    together: Mapping[str, ReplicaDiffusivity],
) -> tuple[list[tuple[str, float, Diffusivity]], dict[str, list[str]]]:
    """Points of a law, replicas as one; and the stages that carry each flag."""
    grouped = {name for group in together.values() for name in group.stages}
    doubts: dict[str, list[str]] = {}
    for name, stage in stages.items():
        if symbol in stage.species and stage.temperature_K is not None:
            for doubt in stage.flags:
                doubts.setdefault(doubt, []).append(name)
    each: dict[str, StageDiffusivity | ReplicaDiffusivity] = {
        name: stage for name, stage in stages.items() if name not in grouped
    }
    each.update(together)
    points = [
        (name, one.temperature_K, one.species[symbol])
        for name, one in each.items()
        if symbol in one.species and one.temperature_K is not None
    ]
    return points, doubts


def _shown_by(trajectory: Trajectory, measured: Mapping[str, Diffusivity]) -> Iterator[str]:
    """Give the flags of what can be seen in the trajectory itself, and in how it is measured."""
    if any(
        share_of_centre(trajectory, drift) > LARGEST_SHARE
        for drift in {one.settings.drift for one in measured.values()}
    ):
        yield "centre_of_few_atoms"
    if never_moving(trajectory).any():
        yield "fixed_atoms"
    if not all(trajectory.pbc):
        yield "open_boundary"


def _events(trajectory: Trajectory, mobile: list[str]) -> RunEvents | None:
    """Return what happened; None where the trajectory is too short to be looked at."""
    try:
        return what_happened(trajectory, mobile)
    except InputError as error:
        logger.info("%s", error)
        return None
