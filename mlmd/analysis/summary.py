"""Diffusivities of all stages of a run and the activation energies that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from mlmd.analysis.activation.arrhenius import Arrhenius
from mlmd.analysis.diffusion.diffusivity import diffusivity_settings
from mlmd.analysis.extrapolation import Extrapolation, extrapolated
from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.analysis.stage import Charges, ReplicaDiffusivity, StageDiffusivity, measure_stage
from mlmd.analysis.together import plain_laws, taken_together
from mlmd.checks import by_name, shown, texts
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.plain import to_plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.diffusion.estimators.estimate import DiffusivityOptions
    from mlmd.analysis.transport.collective import Reference
    from mlmd.trajectory.trajectory import Trajectory


class LawOptions(TypedDict, total=False):
    """Keywords of :func:`summarize` about charges and other temperatures."""

    oxidation_states: Mapping[str, float] | None
    carriers: str | Sequence[str] | None
    reference: Reference
    extrapolate_K: Sequence[float]


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
    extrapolations : tuple of Extrapolation
        What the laws give at the temperatures that were asked for.
    """

    stages: Mapping[str, StageDiffusivity]
    arrhenius: Mapping[str, Arrhenius | None]
    about_laws: Mapping[str, tuple[Finding, ...]]
    from_recipe: RecipeAnalysis | None = None
    E_a_lower_bounds_eV: Mapping[str, float] = field(default_factory=dict)
    replicas: Mapping[str, ReplicaDiffusivity] = field(default_factory=dict)
    extrapolations: tuple[Extrapolation, ...] = ()

    @property
    def groups(self) -> dict[str, StageDiffusivity | ReplicaDiffusivity]:
        """Stages, and then replicas together, by name."""
        return {**self.stages, **self.replicas}

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
        found = [
            replace(finding, message=f"{name}: {finding.message}")
            for name, stage in self.groups.items()
            for finding in stage.findings
        ]
        found += [
            replace(finding, message=f"{symbol}: {finding.message}")
            for symbol, about in self.about_laws.items()
            for finding in about
        ]
        return (*found, *(one for each in self.extrapolations for one in each.findings))

    def doubts(self, name: str, *symbols: str, notes: bool = False) -> list[str]:
        """What to doubt about a stage, or replicas together, in a word each, for lists and plots.

        Of all species where none is named; with what is only good to know, if asked for.
        """
        group = self.groups[name]
        found = group.about(*(symbols or group.species))
        told = [one.code for one in found if notes or one.severity != "note"]
        return list(dict.fromkeys(code.replace("_", " ") for code in told))

    def results_of(self, symbol: str) -> dict[str, Diffusivity]:
        """Diffusivities of a species by stage, as a legend names it: doubtful ones say so."""
        return {
            f"{name} (doubtful)" if self.doubts(name, symbol) else name: stage.species[symbol]
            for name, stage in self.stages.items()
            if symbol in stage.species
        }

    def title_of(self, name: str) -> str:
        """Name of a stage, with what to doubt about it, as the title of a figure."""
        return ": ".join([name, *filter(None, [", ".join(self.doubts(name))])])

    def label_of_law(self, symbol: str) -> str:
        """Name of a species as the legend of its law has it."""
        doubtful = any(one.severity != "note" for one in self.about_laws.get(symbol, ()))
        return f"{symbol} (doubtful)" if doubtful else symbol

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain types for JSON; what is not known is None."""
        laws = plain_laws(self.arrhenius, self.E_a_lower_bounds_eV)
        return {
            "stages": to_plain(self.stages),
            **({"replicas": to_plain(self.replicas)} if self.replicas else {}),
            "arrhenius": laws,
            **({"extrapolations": to_plain(self.extrapolations)} if self.extrapolations else {}),
            "from_recipe": to_plain(self.from_recipe),
            "findings": to_plain(self.findings),
        }


def summarize(
    stages: Mapping[str, tuple[Trajectory, float | None]],
    *,
    species: str | Sequence[str] | None = None,
    oxidation_states: Mapping[str, float] | None = None,
    carriers: str | Sequence[str] | None = None,
    reference: Reference = "neutral",
    extrapolate_K: Sequence[float] = (),
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
    oxidation_states
        By symbol, of every species: gives the conductivity and the Haven ratio, measured as the
        diffusivities are.
    carriers
        The ions of the conductivity, whatever ``species`` says; all charged ones that move where
        not given.
    reference
        Of the charges, as for :func:`mlmd.analysis.charge_diffusivity`.
    extrapolate_K
        Temperatures at which the laws are to give D, and where there are oxidation states the
        conductivity.
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
    if not stages:
        raise InputError("no stage was given; expected at least one trajectory to analyse")
    wanted = species
    if species is not None:
        wanted = texts("species", [species] if isinstance(species, str) else species)
    charges = _charges(oxidation_states, carriers, reference)
    results: dict[str, StageDiffusivity] = {}
    for name, stage in stages.items():
        if not isinstance(stage, tuple | list) or len(stage) != 2:
            raise InputError(
                f"stage {shown(name)} is {shown(stage)}; expected a trajectory and its temperature"
            )
        try:
            results[name] = measure_stage(stage[0], stage[1], wanted, charges, how)
        except InputError as error:
            raise InputError(f"stage '{name}': {error}") from error
    laws = taken_together(results, replicas)
    shown_recipe = used if used and used.settings else None
    return AnalysisSummary(
        results,
        laws.arrhenius,
        laws.about_laws,
        shown_recipe,
        laws.E_a_lower_bounds_eV,
        laws.replicas,
        tuple(extrapolated(results, laws.arrhenius, T_K) for T_K in extrapolate_K),
    )


def _charges(
    oxidation_states: Mapping[str, float] | None,
    carriers: str | Sequence[str] | None,
    reference: Reference,
) -> Charges | None:
    """Return what is known of the charges; None where no oxidation state was given."""
    if oxidation_states is None:
        if carriers is not None or reference != "neutral":
            raise InputError(
                "carriers and reference are of a conductivity; give the oxidation states as well, "
                "or leave them out"
            )
        return None
    named = None
    if carriers is not None:
        named = texts("carriers", [carriers] if isinstance(carriers, str) else carriers)
    return Charges(by_name("oxidation_states", oxidation_states), named, reference)
