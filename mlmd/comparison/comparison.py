"""How far a surrogate potential can be trusted against its reference: one call, one result.

What :meth:`Comparison.to_dict` gives, and ``mlmd compare --json`` prints. Keys are always there;
null (None) where not computed, and ``missing`` says why. A *system* is one composition at one
temperature, and its *label* is ``"Na100 856 K"``; numbers at the top of a section are those of
the only system, or the **median** over the systems. Intervals are of 68 %, as [low, high]::

    {"schema": 1,
     "systems": [{"label", "composition", "temperature_K",
                  "surrogate": {"source", "n_frames", "n_atoms", "duration_ps", "interval_fs"},
                  "reference": {the same}}],
     "rdf": {"r2_pooled", "r2_by_pair": {"Na-Na": x}, "r2_noise_ceiling", "excess",
             "distribution": {"n", "median", "fraction_above": {"0.85", "0.9", "0.95"}},
             "settings": {"convention", "r_max_A", "bin_A", "ceiling_from"},
             "systems": [{"label", "composition", "temperature_K", "r2_pooled", "r2_by_pair": {},
                          "r2_noise_ceiling", "excess", "ceiling_from",
                          "noise_reliable"}],
             "curves": {label: {"r_A": [], "surrogate": {pair: []}, "reference": {pair: []},
                                "surrogate_stderr": {pair: [] or null},
                                "reference_stderr": {pair: [] or null}}}},
     "diffusivity": {"n_points", "n_bounds", "log10_mae", "r2", "fraction_within_factor_2",
                     "spearman", "slope", "slope_stderr", "clip_D_cm2_s",
                     "by_temperature": {"856": {"n_points", "n_bounds", "log10_mae",
                                                "log10_bias", "fraction_within_factor_2"}},
                     "points": [{"label", "composition", "temperature_K", "species",
                                 "surrogate": {"D_cm2_s", "D_raw_cm2_s", "D_interval68_cm2_s",
                                               "D_upper_bound_cm2_s", "is_diffusive", "reason"},
                                 "reference": {the same},
                                 "log10_ratio", "log10_ratio_interval68", "settings": {}}],
                     "activation_energy": [{"composition", "species", "surrogate_eV",
                                            "surrogate_interval68_eV", "reference_eV",
                                            "reference_interval68_eV", "difference_eV",
                                            "difference_stderr_eV"}]},
     "points": {"n_frames", "n_atoms", "energy_mae_meV_atom", "energy_rmse_meV_atom",
                "energy_offset_eV": {element or "per_atom": x},
                "force_mae_meV_A", "force_rmse_meV_A", "force_cosine", "force_slope",
                "force_slope_stderr", "stress_mae_GPa", "pressure_bias_GPa",
                "pressure_bias_stderr_GPa",
                "by_element": {"Li": {"force_mae_meV_A", "force_rmse_meV_A", "force_cosine",
                                      "force_slope", "n_atoms"}}},
     "spectra": {"vdos_overlap", "vdos_ceiling", "sq_r2",
                 "systems": [{"label", "composition", "temperature_K", "vdos_overlap",
                              "vdos_overlap_by_species": {}, "vdos_ceiling", "vdos_mean_ratio",
                              "vdos_curves": {"frequency_THz", "surrogate", "reference"},
                              "sq_r2", "sq_noise_ceiling",
                              "sq_curves": {"q_1_A", "surrogate", "reference"}}],
                 "settings": {"sq_method", "vdos_max_lag_ps"}},
     "coordination": {"largest_difference",
                      "systems": [{"label", "composition", "temperature_K",
                                   "pairs": {"Na-Na": {"cutoff_A", "surrogate", "reference",
                                                       "difference", "difference_stderr"}}}]},
     "features": {"n_pairs", "r2": {NAME: x}, "r2_pooled", "r2_pooled_raw",
                  "r2_noise_ceiling": {NAME: x}, "r2_pooled_noise_ceiling",
                  "left_out": {NAME: why it has no R2},
                  "systems": [{"label", "composition", "temperature_K", "mobile", "convention",
                               "n_frames_surrogate", "n_frames_reference",
                               "per_feature": {NAME: {"surrogate", "surrogate_error", "reference",
                                                      "reference_error", "unit", "sigma",
                                                      "relative_difference", "set_by_cell"}}}]},
     "verdict": {PROPERTY: {"answer": "yes" | "no" | "inconclusive", "reason", "value",
                            "threshold": {name: x},
                            "by_temperature": {"856": {"answer", "reason", "value"}}}},
     "missing": {what: why},
     "warnings": [text]}

PROPERTY is ``rdf``, ``coordination``, ``structure_factor``, ``vdos``, ``diffusivity``,
``activation_energy``, ``energies``, ``forces``, ``softening`` or ``pressure``; only those that
were computed are there. A temperature that is not known has the key ``"unknown"``.
NAME is one of ``mlmd.descriptors.FEATURES`` that depends on the run; R2 is over systems, at least
three. ``log10_ratio`` is that of surrogate over reference. It is null where the motion of either is
not diffusive; its bounds are then in the two sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlmd.analysis.summary import DiffusivityOptions
from mlmd.calculators.spec import CalculatorSpec
from mlmd.comparison.checks import Functionals, check_functionals, check_system
from mlmd.comparison.curves import PairCurves
from mlmd.comparison.features.agreement import FeatureAgreement, feature_agreement
from mlmd.comparison.features.choice import FeatureChoice
from mlmd.comparison.features.parity import FeatureParity, feature_parity
from mlmd.comparison.forces.evaluate import MOST_FRAMES, evaluate
from mlmd.comparison.forces.points import PointErrors, point_errors
from mlmd.comparison.motion.diffusivity_parity import DiffusivityParity, diffusivity_parity
from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint, diffusivity_point
from mlmd.comparison.motion.spectra import (
    StructureFactorParity,
    VdosParity,
    structure_factor_parity,
    vdos_parity,
)
from mlmd.comparison.structure.coordination import CoordinationParity, coordination_parity
from mlmd.comparison.structure.distribution import R2Distribution
from mlmd.comparison.structure.rdf_parity import (
    RdfChoice,
    RdfParity,
    rdf_parity,
    rdf_parity_of_runs,
    rdf_runs,
)
from mlmd.comparison.systems import System, paired
from mlmd.comparison.verdict.judging import verdicts
from mlmd.comparison.verdict.thresholds import Thresholds
from mlmd.comparison.verdict.verdict import Verdict
from mlmd.errors import CalculatorError, InputError

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
    species : tuple of str or None
        What may diffuse; all species where None.
    point_frames : int
        Frames of the point-wise test at most, of each system.
    features : FeatureChoice
        Which structure features.
    """

    rdf: RdfChoice = field(default_factory=RdfChoice)
    diffusivity: DiffusivityOptions = field(default_factory=DiffusivityOptions)
    species: tuple[str, ...] | None = None
    point_frames: int = MOST_FRAMES
    features: FeatureChoice = field(default_factory=FeatureChoice)


@dataclass(frozen=True, eq=False)
class Comparison:
    """A surrogate beside its reference. Mappings are by label of the system.

    Attributes
    ----------
    systems : mapping of str to System
        What was compared.
    rdf, coordination, structure_factor, vdos, features : mapping
        Results by system; a system is absent where a result could not be had.
    diffusivity : DiffusivityParity or None
        Over all systems.
    points : PointErrors or None
        Over the frames of all systems that have the reference's results.
    verdict : mapping of str to Verdict
        By property.
    thresholds : Thresholds
        The limits.
    missing : mapping of str to str
        What could not be computed, and why.
    warnings : tuple of str
        What to doubt.
    """

    systems: Mapping[str, System]
    rdf: Mapping[str, RdfParity]
    coordination: Mapping[str, CoordinationParity]
    structure_factor: Mapping[str, StructureFactorParity]
    vdos: Mapping[str, VdosParity]
    features: Mapping[str, FeatureParity]
    diffusivity: DiffusivityParity | None
    points: PointErrors | None
    verdict: Mapping[str, Verdict]
    thresholds: Thresholds
    missing: Mapping[str, str]
    warnings: tuple[str, ...]

    def r2_distribution(self) -> R2Distribution:
        """Return how pooled R^2 is distributed over the systems."""
        return R2Distribution.of(
            [one.r2_pooled for one in self.rdf.values() if one.r2_pooled is not None]
        )

    def feature_agreement(self) -> FeatureAgreement:
        """Return R^2 of the structure features over the systems."""
        return feature_agreement(list(self.features.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain types for JSON; the module says what the keys mean."""
        from mlmd.comparison.layout import layout

        return layout(self)


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
    warnings = check_functionals(functionals, pairs)
    systems = {system.label: system for system in pairs}
    if len(systems) < len(pairs):
        raise InputError("two systems have the same composition and temperature")
    work = _Work(settings, missing)
    for system in pairs:
        warnings += check_system(system)
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
    return Comparison(
        systems=systems,
        rdf=work.rdf,
        coordination=work.coordination,
        structure_factor=work.structure_factor,
        vdos=work.vdos,
        features=work.features,
        diffusivity=diffusivities,
        points=points,
        verdict=verdicts(
            rdfs=work.rdf,
            coordinations=work.coordination,
            factors=work.structure_factor,
            vdos=work.vdos,
            diffusivity=diffusivities,
            points=points,
            systems=systems,
            limits=limits,
        ),
        thresholds=limits,
        missing=missing,
        warnings=tuple(warnings),
    )


class _Work:
    """Measures system after system, and notes what cannot be measured."""

    def __init__(self, settings: ComparisonSettings, missing: dict[str, str]) -> None:
        self._settings = settings
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
                self.points.append(diffusivity_point(system, species, self._settings.diffusivity))
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
            self._missing[f"noise ceiling of {label}"] = "the reference has a single frame"
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
                    evaluate(system.reference[0], calculator, frames=self._settings.point_frames)
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
