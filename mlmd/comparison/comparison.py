"""What a comparison found, and its form as JSON.

The form is described by ``schema.json`` beside this file (JSON Schema, draft 2020-12), which the
tests hold every comparison against. Keys are always there; null where not computed, and
``missing`` says why. A *system* is one composition at one temperature, its *label*
``"Na100 856 K"``; numbers at the top of a section are those of the only system, or the median over
the systems. Intervals are of 68 %, as [low, high].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from mlmd.comparison.features.agreement import FeatureAgreement, feature_agreement
from mlmd.comparison.noise import excess
from mlmd.comparison.structure.distribution import R2Distribution
from mlmd.findings import Finding

if TYPE_CHECKING:
    from mlmd.comparison.features.parity import FeatureParity
    from mlmd.comparison.forces.points import PointErrors
    from mlmd.comparison.motion.diffusivity_parity import DiffusivityParity
    from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint
    from mlmd.comparison.motion.spectra import StructureFactorParity, VdosParity
    from mlmd.comparison.structure.coordination import CoordinationParity
    from mlmd.comparison.structure.rdf_parity import RdfParity
    from mlmd.comparison.systems import System
    from mlmd.comparison.verdict.thresholds import Thresholds
    from mlmd.comparison.verdict.verdict import Verdict

SCHEMA = 1
OF_VERDICTS = ("disagrees", "inconclusive")
"""Codes of findings that say in the list of all what a verdict says."""
NOT_COMPARED = "not_compared"
"""Code of the findings that say what is missing."""


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
    findings : tuple of Finding
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
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings that doubt a number, in words, but those that repeat a verdict."""
        return tuple(
            one.message
            for one in self.findings
            if one.severity != "note" and one.code not in OF_VERDICTS
        )

    def r2_distribution(self) -> R2Distribution:
        """Return how pooled R^2 is distributed over the systems."""
        return R2Distribution.of(
            [one.r2_pooled for one in self.rdf.values() if one.r2_pooled is not None]
        )

    def feature_agreement(self) -> FeatureAgreement:
        """Return R^2 of the structure features over the systems."""
        return feature_agreement(list(self.features.values()))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain types for JSON; a section not computed holds nulls."""
        return {
            "schema": SCHEMA,
            "systems": [system.to_dict() for system in self.systems.values()],
            "rdf": _rdf(self),
            "diffusivity": _diffusivity(self),
            "points": _points(self),
            "spectra": _spectra(self),
            "coordination": _coordination(self),
            "features": _features(self),
            "verdict": {name: verdict.to_dict() for name, verdict in self.verdict.items()},
            "thresholds": asdict(self.thresholds),
            "missing": dict(self.missing),
            "findings": [finding.to_dict() for finding in self.findings],
            "warnings": list(self.warnings),
        }


def about_verdicts(verdicts: Mapping[str, Verdict]) -> list[Finding]:
    """Return the verdicts that are no yes as findings."""
    codes = dict(zip(("no", "inconclusive"), OF_VERDICTS, strict=True))
    return [
        Finding(
            codes[one.answer],
            "doubt",
            f"{name}: {one.reason}",
            {"value": one.value, "needs_ps": one.needs_ps},
        )
        for name, one in verdicts.items()
        if one.answer in codes
    ]


def about_points(points: Iterable[DiffusivityPoint]) -> list[Finding]:
    """Return which species of which side do not diffuse as findings."""
    return [
        replace(one, message=f"{point.label}, {name}: {one.message}")
        for point in points
        for name, side in (("surrogate", point.surrogate), ("reference", point.reference))
        for one in side.findings(point.species)
    ]


def about_missing(missing: Mapping[str, str]) -> list[Finding]:
    """Return what could not be compared as findings."""
    return [Finding(NOT_COMPARED, "note", f"{what}: {why}") for what, why in missing.items()]


def _rdf(result: Comparison) -> dict[str, Any]:
    parities = result.rdf
    pairs = dict.fromkeys(pair for one in parities.values() for pair in one.r2_by_pair)
    first = next(iter(parities.values()), None)
    r2 = _median(one.r2_pooled for one in parities.values())
    known = [one.r2_pooled for one in parities.values() if one.r2_pooled is not None]
    ceilings = {one.ceiling_from for one in parities.values() if one.ceiling_from is not None}
    settings = {} if first is None else dict(first.settings)
    return {
        "r2_pooled": r2,
        "r2_by_pair": {
            pair: _median(one.r2_by_pair.get(pair) for one in parities.values()) for pair in pairs
        },
        "r2_noise_ceiling": _median(one.r2_noise_ceiling for one in parities.values()),
        "excess": _median(excess(one.r2_pooled, one.r2_noise_ceiling) for one in parities.values()),
        "distribution": result.r2_distribution().to_dict() if known else None,
        "settings": {
            "convention": settings.get("convention"),
            "r_max_A": settings.get("r_max_A"),
            "bin_A": settings.get("bin_A"),
            "ceiling_from": ceilings.pop() if len(ceilings) == 1 else None,
        },
        "systems": [{**_named(result, k), **one.to_dict()} for k, one in parities.items()],
        "curves": {label: one.curves_dict() for label, one in parities.items()},
    }


def _diffusivity(result: Comparison) -> dict[str, Any]:
    if result.diffusivity is not None:
        return result.diffusivity.to_dict()
    numbers = ("log10_mae", "r2", "fraction_within_factor_2", "spearman", "slope", "slope_stderr")
    return {
        "n_points": 0,
        "n_bounds": 0,
        **dict.fromkeys(numbers),
        "clip_D_cm2_s": None,
        "by_temperature": {},
        "points": [],
        "activation_energy": [],
    }


def _points(result: Comparison) -> dict[str, Any]:
    if result.points is not None:
        return result.points.to_dict()
    numbers = (
        "n_frames",
        "n_atoms",
        "energy_mae_meV_atom",
        "energy_rmse_meV_atom",
        "energy_offset_eV",
        "force_mae_meV_A",
        "force_rmse_meV_A",
        "force_cosine",
        "force_slope",
        "force_slope_stderr",
        "stress_mae_GPa",
        "pressure_bias_GPa",
        "pressure_bias_stderr_GPa",
    )
    return {**dict.fromkeys(numbers), "by_element": {}}


def _spectra(result: Comparison) -> dict[str, Any]:
    known = {*result.vdos, *result.structure_factor}
    labels = [label for label in result.systems if label in known]
    systems = []
    for label in labels:
        vdos, factor = result.vdos.get(label), result.structure_factor.get(label)
        systems.append(
            {
                **_named(result, label),
                "vdos_overlap": None if vdos is None else vdos.vdos_overlap,
                "vdos_overlap_by_species": {}
                if vdos is None
                else dict(vdos.vdos_overlap_by_species),
                "vdos_ceiling": None if vdos is None else vdos.vdos_ceiling,
                "vdos_mean_ratio": None if vdos is None else vdos.vdos_mean_ratio,
                "vdos_curves": None if vdos is None else vdos.curves_dict(),
                "sq_r2": None if factor is None else factor.sq_r2,
                "sq_noise_ceiling": None if factor is None else factor.sq_noise_ceiling,
                "sq_curves": None if factor is None else factor.curves_dict(),
            }
        )
    first_vdos = next(iter(result.vdos.values()), None)
    first_factor = next(iter(result.structure_factor.values()), None)
    return {
        "vdos_overlap": _median(one.vdos_overlap for one in result.vdos.values()),
        "vdos_ceiling": _median(one.vdos_ceiling for one in result.vdos.values()),
        "sq_r2": _median(one.sq_r2 for one in result.structure_factor.values()),
        "systems": systems,
        "settings": {
            "sq_method": None if first_factor is None else first_factor.method,
            "vdos_max_lag_ps": None if first_vdos is None else first_vdos.max_lag_ps,
        },
    }


def _coordination(result: Comparison) -> dict[str, Any]:
    found = [one.largest_difference for one in result.coordination.values()]
    known = [difference for difference in found if difference is not None]
    return {
        "largest_difference": max(known, key=abs) if known else None,
        "systems": [
            {**_named(result, label), **one.to_dict()} for label, one in result.coordination.items()
        ],
    }


def _features(result: Comparison) -> dict[str, Any]:
    return {
        **result.feature_agreement().to_dict(),
        "systems": [{**_named(result, k), **one.to_dict()} for k, one in result.features.items()],
    }


def _named(result: Comparison, label: str) -> dict[str, Any]:
    system = result.systems[label]
    return {
        "label": label,
        "composition": system.composition,
        "temperature_K": system.temperature_K,
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None
