"""How far a surrogate potential can be trusted against its reference: one call, one result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from mlmd.analysis.diffusion.estimators.estimate import DiffusivityOptions
from mlmd.analysis.recipe import RecipeAnalysis, shared_analysis
from mlmd.calculators.spec import CalculatorSpec
from mlmd.comparison.checks import (
    Functionals,
    Lengths,
    about_lengths,
    check_functionals,
    check_system,
)
from mlmd.comparison.comparison import Comparison, about_missing, about_points, about_verdicts
from mlmd.comparison.curves import PairCurves
from mlmd.comparison.features.choice import FeatureChoice
from mlmd.comparison.features.parity import FeatureParity, feature_parity
from mlmd.comparison.forces.frames import MOST_FRAMES, evaluate_frames
from mlmd.comparison.forces.points import PointErrors, point_errors
from mlmd.comparison.motion.diffusivity_parity import diffusivity_parity
from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint, diffusivity_point
from mlmd.comparison.motion.spectra import (
    StructureFactorParity,
    VdosParity,
    structure_factor_parity,
    vdos_parity,
)
from mlmd.comparison.structure.coordination import CoordinationParity, coordination_parity
from mlmd.comparison.structure.rdf_parity import RdfParity, rdf_parity, rdf_parity_of_runs
from mlmd.comparison.structure.runs import RdfChoice, rdf_runs
from mlmd.comparison.systems import System, paired
from mlmd.comparison.verdict.judging import verdicts
from mlmd.comparison.verdict.thresholds import Thresholds
from mlmd.errors import CalculatorError, InputError
from mlmd.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase.calculators.calculator import Calculator

    from mlmd.comparison.systems import Side


@dataclass(frozen=True)
class ComparisonSettings:
    """How things are measured, the same on both sides.

    Attributes
    ----------
    rdf : RdfChoice
        Grid, range and smoothing of g(r).
    diffusivity : mapping
        Keywords of :func:`mlmd.analysis.diffusion.diffusivity.diffusivity`.
    recipes : tuple of RecipeAnalysis
        How the recipes of runs that are compared have them measured: what is not given as a
        keyword, where they agree.
    species : tuple of str or None
        What may diffuse; all species where None.
    point_frames : int
        Frames of the point-wise test at most, of each system.
    features : FeatureChoice
        Which structure features.
    """

    rdf: RdfChoice = field(default_factory=RdfChoice)
    diffusivity: DiffusivityOptions = field(default_factory=DiffusivityOptions)
    recipes: tuple[RecipeAnalysis, ...] = ()
    species: tuple[str, ...] | None = None
    point_frames: int = MOST_FRAMES
    features: FeatureChoice = field(default_factory=FeatureChoice)

    def keywords(self) -> DiffusivityOptions:
        """Return the keywords of :func:`mlmd.diffusivity`, the same on both sides."""
        shared = shared_analysis(self.recipes)
        if shared is None:
            return self.diffusivity
        return cast("DiffusivityOptions", shared.keywords(self.diffusivity))

    def about_recipes(self) -> list[Finding]:
        """Return what is to be said about recipes."""
        shared = shared_analysis(self.recipes)
        if shared is None and self.recipes:
            said = " and ".join(dict.fromkeys(map(str, self.recipes)))
            text = f"D is not measured as the recipes say, which differ: {said}"
            return [Finding("recipes_differ", "note", text)]
        left = None if shared is None else shared.beside(self.diffusivity)
        if left is None or not left.settings:
            return []
        return [Finding("measured_by_recipe", "note", f"D is measured by {left}")]


def compare(
    surrogate: Side,
    reference: Side,
    *,
    temperature_K: float | None = None,
    calculator: Calculator | CalculatorSpec | None = None,
    settings: ComparisonSettings | None = None,
    thresholds: Thresholds | None = None,
    functionals: Functionals | None = None,
) -> Comparison:
    """Compare a surrogate with its reference: structure, motion, and point by point.

    Parameters
    ----------
    surrogate, reference
        Two trajectories; or two sets of them keyed by (composition, temperature in K). For each
        a list of trajectories is runs that differ in their seed, and ``PairCurves`` are g(r)
        alone.
    temperature_K
        Of two single trajectories; where not given, there is no activation energy.
    calculator
        Of the surrogate, for energies, forces and stresses on frames of the reference, where the
        reference has its own.
    settings
        How things are measured.
    thresholds
        Limits of the verdicts.
    functionals
        Density functionals, to refuse a reference that mixes them.

    Returns
    -------
    Comparison
        With what could be had; ``missing`` says what could not, and why.

    Raises
    ------
    InputError
        If the two sides do not belong together (composition, kind, no system in common), the
        reference mixes functionals, an estimator or a setting is not known, or nothing at all
        could be compared.
    """
    settings = settings or ComparisonSettings()
    limits = thresholds or Thresholds()
    pairs, missing = paired(surrogate, reference, temperature_K)
    findings = [*settings.about_recipes(), *check_functionals(functionals, pairs)]
    systems = {system.label: system for system in pairs}
    if len(systems) < len(pairs):
        raise InputError("two systems have the same composition and temperature")
    work = _Work(settings, missing)
    lengths: dict[str, Lengths] = {}
    for system in pairs:
        findings += check_system(system)
        if not isinstance(system.reference, PairCurves):
            lengths[system.label] = Lengths.of(system)
            findings += about_lengths(system, lengths[system.label])
        work.measure(system)
    if isinstance(calculator, CalculatorSpec):
        calculator = calculator.load()
    points = work.point_errors(pairs, calculator)
    diffusivities = diffusivity_parity(work.points) if work.points else None
    if not work.rdf and diffusivities is None and points is None:
        raise InputError(f"nothing could be compared: {next(iter(missing.values()), 'no data')}")
    if diffusivities is not None and not diffusivities.activation_energies:
        missing["activation_energy"] = (
            "it needs diffusion on both sides at two known temperatures of one composition"
        )
    judged = verdicts(
        rdfs=work.rdf,
        coordinations=work.coordination,
        factors=work.structure_factor,
        vdos=work.vdos,
        diffusivity=diffusivities,
        points=points,
        systems=systems,
        limits=limits,
        lengths=lengths,
    )
    return Comparison(
        systems=systems,
        rdf=work.rdf,
        coordination=work.coordination,
        structure_factor=work.structure_factor,
        vdos=work.vdos,
        features=work.features,
        diffusivity=diffusivities,
        points=points,
        verdict=judged,
        thresholds=limits,
        missing=missing,
        findings=(
            *findings,
            *about_points(work.points),
            *about_verdicts(judged),
            *about_missing(missing),
        ),
    )


class _Work:
    """Measures system after system, and notes what cannot be measured."""

    def __init__(self, settings: ComparisonSettings, missing: dict[str, str]) -> None:
        self._settings = settings
        self._keywords = settings.keywords()
        self._missing = missing
        self.rdf: dict[str, RdfParity] = {}
        self.coordination: dict[str, CoordinationParity] = {}
        self.structure_factor: dict[str, StructureFactorParity] = {}
        self.vdos: dict[str, VdosParity] = {}
        self.features: dict[str, FeatureParity] = {}
        self.points: list[DiffusivityPoint] = []

    def measure(self, system: System) -> None:
        """Measure what one system has."""
        label = system.label
        if isinstance(system.surrogate, PairCurves) or isinstance(system.reference, PairCurves):
            assert isinstance(system.surrogate, PairCurves)
            assert isinstance(system.reference, PairCurves)
            self.rdf[label] = rdf_parity(system.surrogate, system.reference)
            only = "g(r) curves were given, not trajectories"
            self._missing |= dict.fromkeys(
                ("noise ceiling", "vdos", "diffusivity", "features"), only
            )
            return
        self._measure_structure(system)
        try:
            self.vdos[label] = vdos_parity(system)
        except InputError as error:
            self._missing[f"vdos of {label}"] = str(error)
        self._measure_features(system)
        for species in self._settings.species or system.reference[0].species:
            try:
                self.points.append(diffusivity_point(system, species, self._keywords))
            except InputError as error:
                self._missing[f"diffusivity of {species} in {label}"] = str(error)

    def _measure_structure(self, system: System) -> None:
        label = system.label
        try:
            runs = rdf_runs(system, self._settings.rdf)
        except InputError as error:
            self._missing[f"rdf of {label}"] = str(error)
            return
        self.rdf[label] = rdf_parity_of_runs(runs)
        if self.rdf[label].r2_noise_ceiling is None:
            self._missing[f"noise ceiling of {label}"] = "a side has a single frame"
        try:
            self.coordination[label] = coordination_parity(runs)
            self.structure_factor[label] = structure_factor_parity(runs)
        except InputError as error:
            self._missing[f"structure factor of {label}"] = str(error)

    def _measure_features(self, system: System) -> None:
        choice = self._settings.features
        surrogate, reference = system.runs()
        try:
            self.features[system.label] = feature_parity(
                surrogate,
                reference,
                mobile=choice.mobile_in(reference[0].species, self._settings.species),
                convention=choice.convention,
                frames=choice.frames,
            )
        except InputError as error:
            self._missing[f"features of {system.label}"] = str(error)

    def point_errors(
        self, systems: Sequence[System], calculator: Calculator | None
    ) -> PointErrors | None:
        """Evaluate the surrogate on frames of the reference, where that has its own results."""
        if calculator is None:
            self._missing["points"] = "no calculator of the surrogate was given"
            return None
        evaluated = []
        for system in systems:
            if isinstance(system.reference, PairCurves):
                continue
            try:
                evaluated.append(
                    evaluate_frames(
                        system.reference[0], calculator, frames=self._settings.point_frames
                    )
                )
            except (InputError, CalculatorError) as error:
                self._missing[f"points of {system.label}"] = str(error)
        if not evaluated:
            return None
        try:
            return point_errors([one for one, _ in evaluated], [own for _, own in evaluated])
        except InputError as error:
            self._missing["points"] = str(error)
            return None
