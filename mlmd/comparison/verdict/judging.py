"""The verdict on each property."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlmd.comparison.systems import temperature_key
from mlmd.comparison.verdict.verdict import TWO_SIGMA, Judgement, Verdict, between, together, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmd.comparison.forces.points import PointErrors
    from mlmd.comparison.motion.diffusivity_parity import ActivationEnergyPair, DiffusivityParity
    from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint
    from mlmd.comparison.motion.spectra import StructureFactorParity, VdosParity
    from mlmd.comparison.structure.coordination import CoordinationParity
    from mlmd.comparison.structure.rdf_parity import RdfParity
    from mlmd.comparison.systems import System
    from mlmd.comparison.verdict.thresholds import Thresholds


def judge_rdf(parity: RdfParity, limits: Thresholds) -> Judgement:
    """Judge g(r) by R^2 beside its noise ceiling.

    A no is a difference that noise does not explain, though R^2 may be high: R^2 is blunt. Where
    the blocks of the reference are too few or correlated to know the noise, such a difference
    leaves the answer open, and so does a low R^2 that noise would explain. Without a ceiling R^2
    stands alone.

    Pieces of one AIMD run of liquid sodium, 100 atoms, as surrogate and reference of each other
    are told apart at a limit of 3 in none of 4 pairs of 2 ps, and in 3 of 24 pairs of 1 ps.
    """
    r2, ceiling = parity.r2_pooled, parity.r2_noise_ceiling
    if r2 is None or ceiling is None:
        return _judge_alone(r2, limits)
    ratio, text = _beside_noise(r2, ceiling)
    if ratio > limits.excess_max and r2 < limits.r2_same:
        if r2 >= limits.r2_min and not parity.noise_reliable:
            return Judgement("inconclusive", f"{text}, which so short a reference leaves open", r2)
        return Judgement("no", f"{text}, more than {limits.excess_max:g}", r2)
    if r2 >= limits.r2_min:
        return Judgement("yes", f"{text}: no more than noise, or than matters", r2)
    return Judgement("inconclusive", f"{text}: the reference is too short to tell", r2)


def judge_structure_factor(parity: StructureFactorParity, limits: Thresholds) -> Judgement:
    """Judge S(q) by R^2; noise explains a low one or does not.

    The noise of S(q) is that of a handful of its first wave numbers, so that its ceiling from two
    halves is known within a factor of about five: the excess alone makes no answer.
    """
    r2, ceiling = parity.sq_r2, parity.sq_noise_ceiling
    if r2 is None or ceiling is None:
        return _judge_alone(r2, limits)
    ratio, text = _beside_noise(r2, ceiling)
    if r2 >= limits.r2_min:
        return Judgement("yes", f"{text}, R2 at least {limits.r2_min:g}", r2)
    if ratio > limits.excess_max:
        return Judgement("no", f"{text}, R2 below {limits.r2_min:g}", r2)
    return Judgement("inconclusive", f"{text}: the reference is too short to tell", r2)


def _judge_alone(r2: float | None, limits: Thresholds) -> Judgement:
    """Judge R^2 without a ceiling."""
    if r2 is None:
        return Judgement("inconclusive", "the reference's curves are constant", None)
    passed = r2 >= limits.r2_min
    words = "at least" if passed else "below"
    text = f"R2 {r2:.4g}, {words} {limits.r2_min:g} (noise ceiling not known)"
    return Judgement("yes" if passed else "no", text, r2)


def _beside_noise(r2: float, ceiling: float) -> tuple[float, str]:
    ratio = (1.0 - r2) / max(1.0 - ceiling, 1e-300)
    return ratio, f"R2 {r2:.4g}, noise ceiling {ceiling:.4g}, {ratio:.2g} times the noise"


def judge_vdos(parity: VdosParity, limits: Thresholds) -> Judgement:
    """Judge the overlap of vibrational densities beside what noise leaves of it."""
    overlap, ceiling = parity.vdos_overlap, parity.vdos_ceiling
    text = f"overlap {overlap:.3g}, mean frequency {parity.vdos_mean_ratio:.3g} times as high"
    if overlap >= limits.vdos_overlap_min:
        return Judgement("yes", f"{text}, at least {limits.vdos_overlap_min:g}", overlap)
    if 1.0 - overlap <= limits.excess_max * (1.0 - ceiling):
        return Judgement(
            "inconclusive", f"{text}, but noise alone gives {ceiling:.3g}: run longer", overlap
        )
    return Judgement("no", f"{text}, below {limits.vdos_overlap_min:g}", overlap)


def judge_coordination(parity: CoordinationParity, limits: Thresholds) -> Judgement:
    """Judge the coordination numbers of one system: the worst pair decides."""
    judged = []
    for name, pair in parity.pairs.items():
        limit = max(limits.coordination_absolute, limits.coordination_relative * pair.reference)
        text = f"{name} {pair.surrogate:.3g} against {pair.reference:.3g}"
        judged.append(within(pair.difference, limit, pair.difference_stderr, text=text))
    order = ("no", "inconclusive", "yes")
    return min(judged, key=lambda one: order.index(one.answer))


def judge_diffusivity(point: DiffusivityPoint, limits: Thresholds) -> Judgement:
    """Judge one diffusivity: is it within the factor, with 95 % certainty?"""
    limit = math.log10(limits.diffusivity_factor)
    factor = f"a factor of {limits.diffusivity_factor:g}"
    ratio, interval = point.log10_ratio, point.log10_ratio_interval68
    if ratio is None:
        low, high = point.log10_ratio_bounds
        if high < -limit or low > limit:
            slower = "surrogate" if high < -limit else "reference"
            return Judgement("no", f"the upper bound of the {slower} is beyond {factor}", None)
        still = [
            f"{name} ({side.reason})"
            for name, side in (("surrogate", point.surrogate), ("reference", point.reference))
            if not side.is_diffusive
        ]
        return Judgement("inconclusive", f"not diffusive: {', '.join(still)}", None)
    text = f"D is {10**ratio:.3g} times the reference's"
    if interval is None:
        return Judgement("inconclusive", f"{text}, but has no interval", ratio)
    low = ratio - TWO_SIGMA * (ratio - interval[0])
    high = ratio + TWO_SIGMA * (interval[1] - ratio)
    text += f" ({10**low:.3g} to {10**high:.3g} with 95 %)"
    if between(low, high, limit, ratio, text).answer == "yes":
        return Judgement("yes", f"{text}, within {factor}", ratio)
    if between(low, high, limit, ratio, text).answer == "no":
        return Judgement("no", f"{text}, beyond {factor}", ratio)
    return Judgement("inconclusive", f"{text}, which crosses {factor}: run longer", ratio)


def judge_activation_energy(pair: ActivationEnergyPair, limits: Thresholds) -> Judgement:
    """Judge the difference of two activation energies."""
    text = f"{pair.species} {pair.surrogate_eV:.3g} against {pair.reference_eV:.3g} eV"
    if pair.difference_stderr_eV is None:
        return Judgement("inconclusive", f"{text}, without errors", pair.difference_eV)
    return within(
        pair.difference_eV, limits.activation_energy_eV, pair.difference_stderr_eV, text=text
    )


def verdicts(
    *,
    rdfs: Mapping[str, RdfParity],
    coordinations: Mapping[str, CoordinationParity],
    factors: Mapping[str, StructureFactorParity],
    vdos: Mapping[str, VdosParity],
    diffusivity: DiffusivityParity | None,
    points: PointErrors | None,
    systems: Mapping[str, System],
    limits: Thresholds,
) -> dict[str, Verdict]:
    """Judge every property that was computed; mappings are by label of the system."""
    found: dict[str, Verdict] = {}

    def add(name: str, judged: Mapping[str, Judgement], *used: str) -> None:
        if judged:
            cases = [
                (label, temperature_key(systems[label].temperature_K), one)
                for label, one in judged.items()
            ]
            found[name] = together(cases, limits.share, _limits(limits, *used))

    add(
        "rdf",
        {label: judge_rdf(one, limits) for label, one in rdfs.items()},
        "r2_min",
        "r2_same",
        "excess_max",
    )
    add(
        "coordination",
        {k: judge_coordination(one, limits) for k, one in coordinations.items() if one.pairs},
        "coordination_relative",
        "coordination_absolute",
    )
    add(
        "structure_factor",
        {label: judge_structure_factor(one, limits) for label, one in factors.items()},
        "r2_min",
        "excess_max",
    )
    add(
        "vdos",
        {label: judge_vdos(one, limits) for label, one in vdos.items()},
        "vdos_overlap_min",
        "excess_max",
    )
    if diffusivity is not None:
        found |= _of_diffusivity(diffusivity, limits)
    if points is not None:
        found |= _of_points(points, limits)
    return found


def _of_diffusivity(parity: DiffusivityParity, limits: Thresholds) -> dict[str, Verdict]:
    # What moves on neither side (a framework) says nothing, unless nothing moves at all.
    moving = [p for p in parity.points if p.surrogate.is_diffusive or p.reference.is_diffusive]
    cases = [
        (
            f"{p.species} in {p.label}",
            temperature_key(p.temperature_K),
            judge_diffusivity(p, limits),
        )
        for p in moving or parity.points
    ]
    found = {
        "diffusivity": together(cases, limits.share, _limits(limits, "diffusivity_factor")),
    }
    if parity.activation_energies:
        laws = [
            (pair.composition, "all", judge_activation_energy(pair, limits))
            for pair in parity.activation_energies
        ]
        joined = together(laws, limits.share, _limits(limits, "activation_energy_eV"))
        found["activation_energy"] = Verdict(
            joined.answer, joined.reason, joined.value, joined.threshold
        )
    return found


def _of_points(points: PointErrors, limits: Thresholds) -> dict[str, Verdict]:
    found: dict[str, Verdict] = {}

    def add(name: str, judged: Judgement, used: str) -> None:
        found[name] = Verdict(judged.answer, judged.reason, judged.value, _limits(limits, used))

    if points.energy_mae_meV_atom is not None:
        text = f"mean absolute error {points.energy_mae_meV_atom:.3g} meV/atom"
        judged = within(points.energy_mae_meV_atom, limits.energy_mae_meV_atom, None, text=text)
        add("energies", judged, "energy_mae_meV_atom")
    forces = points.forces
    if forces is not None and forces.force_cosine is not None:
        passed = forces.force_cosine >= limits.force_cosine_min
        words = "at least" if passed else "below"
        text = f"mean cosine {forces.force_cosine:.4g}, {words} {limits.force_cosine_min:g}"
        judged = Judgement("yes" if passed else "no", text, forces.force_cosine)
        add("forces", judged, "force_cosine_min")
    if forces is not None and forces.force_slope is not None:
        text = f"slope of the forces {forces.force_slope:.4g}"
        judged = within(forces.force_slope - 1.0, limits.softening, points.force_slope_stderr,
                        text=text, interval_unknown="one frame")  # fmt: skip
        judged = Judgement(judged.answer, judged.reason, forces.force_slope)
        add("softening", judged, "softening")
    if points.pressure_bias_GPa is not None:
        text = f"pressure differs by {points.pressure_bias_GPa:.3g} GPa"
        judged = within(
            points.pressure_bias_GPa,
            limits.pressure_bias_GPa,
            points.pressure_bias_stderr_GPa,
            text=text,
            interval_unknown="one frame",
        )
        add("pressure", judged, "pressure_bias_GPa")
    return found


def _limits(limits: Thresholds, *names: str) -> dict[str, float]:
    return {name: float(getattr(limits, name)) for name in names}
