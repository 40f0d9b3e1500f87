"""The verdict on each property."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from mlmd.comparison.checks import SHORTEST_PS, SHORTEST_SPECTRUM_PS
from mlmd.comparison.systems import temperature_key
from mlmd.comparison.verdict.verdict import CERTAIN, Judgement, Verdict, between, together, within
from mlmd.digits import TERMINAL, r_squared_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmd.comparison.checks import Lengths
    from mlmd.comparison.forces.points import PointErrors
    from mlmd.comparison.motion.diffusivity_parity import ActivationEnergyPair, DiffusivityParity
    from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint
    from mlmd.comparison.motion.spectra import StructureFactorParity, VdosParity
    from mlmd.comparison.structure.coordination import CoordinationParity
    from mlmd.comparison.structure.rdf_parity import RdfParity
    from mlmd.comparison.systems import System
    from mlmd.comparison.verdict.thresholds import Thresholds


_UNSURE = 1.5
"""How many times the noise of S(q) and of vibrations may be more than what little tells it."""


def judge_rdf(parity: RdfParity, limits: Thresholds, short: str = "runs are") -> Judgement:
    """Judge g(r) by R^2 beside its noise ceiling.

    A no is a difference that noise does not explain, though R^2 may be high: R^2 is blunt. Pair by
    pair and in the mean it is more than ``excess_max`` times the noise, and more than chance has in
    one of 200 systems. Where
    the atoms or the blocks of time are too few to know the noise, such a difference leaves the
    answer open; so does a low R^2 that noise would explain, and a difference that only the noise
    of a structure that has not relaxed explains. Without a ceiling R^2 stands alone. ``short``
    names the side that an open answer is too short of.
    """
    r2, noise, ratio = parity.r2_pooled, parity.noise, parity.times_noise()
    in_time = parity.times_noise(in_time=True)
    if r2 is None or noise is None or ratio is None or in_time is None:
        return _judge_alone(r2, limits)
    text = _r2_text(r2, parity.r2_noise_ceiling, ratio)
    if len(parity.r2_by_pair) > 1:
        text += ", pair by pair"
    limit = max(limits.excess_max, noise.largest_ratio())
    differs = r2 < limits.r2_same
    if ratio > limit and differs:
        if r2 >= limits.r2_min and not noise.is_reliable:
            return Judgement("inconclusive", f"{text}, which so few atoms or frames leave open", r2)
        return Judgement("no", f"{text}, more than {limit:.2g}", r2)
    unrelaxed = differs and in_time > limit
    if r2 >= limits.r2_min and not unrelaxed:
        return Judgement("yes", f"{text}: no more than noise, or than matters", r2)
    if unrelaxed:
        text += (
            f", of which a run by itself shows {noise.in_time_share:.0%}: structure that relaxes"
        )
        text += " more slowly"
    needs_ps = None
    if noise.length_ps is not None:
        # What blocks of time do not show is frozen, and falls only when the run is longer than it.
        times = max(limit / ratio, 1.0) if ratio > 0 else 1.0
        needs_ps = noise.length_ps * times / max(noise.in_time_share, 0.01)
    return Judgement.open(f"{text}: {short} too short to tell", r2, needs_ps)


def judge_structure_factor(
    parity: StructureFactorParity, limits: Thresholds, short: str = "runs are"
) -> Judgement:
    """Judge S(q) by R^2; noise explains a low one or does not.

    The noise of S(q) is that of a handful of its first wave numbers, so that its ceiling is known
    within a factor of a few: the excess alone makes no answer.
    """
    r2, ceiling = parity.sq_r2, parity.sq_noise_ceiling
    if r2 is None or ceiling is None:
        return _judge_alone(r2, limits)
    ratio = (1.0 - r2) / max(1.0 - ceiling, 1e-300)
    text = _r2_text(r2, ceiling, ratio)
    if r2 >= limits.r2_min:
        return Judgement("yes", f"{text}, R2 at least {limits.r2_min:g}", r2)
    if ratio > _UNSURE * limits.excess_max:
        return Judgement("no", f"{text}, R2 below {limits.r2_min:g}", r2)
    needs_ps = None
    if parity.length_ps is not None:
        needs_ps = parity.length_ps * _UNSURE * limits.excess_max / ratio
    return Judgement.open(f"{text}: {short} too short to tell", r2, needs_ps)


def _r2_text(r2: float, ceiling: float | None, ratio: float) -> str:
    best = r_squared_text(ceiling, TERMINAL)
    return f"R2 {r_squared_text(r2, TERMINAL)}, noise ceiling {best}, {ratio:.2g} times the noise"


def _judge_alone(r2: float | None, limits: Thresholds) -> Judgement:
    """Judge R^2 without a ceiling."""
    if r2 is None:
        return Judgement("inconclusive", "the reference's curves are constant", None)
    passed = r2 >= limits.r2_min
    words = "at least" if passed else "below"
    text = f"R2 {r_squared_text(r2, TERMINAL)}, {words} {limits.r2_min:g} (noise ceiling not known)"
    return Judgement("yes" if passed else "no", text, r2)


def judge_vdos(parity: VdosParity, limits: Thresholds) -> Judgement:
    """Judge the overlap of vibrational densities beside what noise leaves of it."""
    overlap, ceiling = parity.vdos_overlap, parity.vdos_ceiling
    text = f"overlap {overlap:.3g}, mean frequency {parity.vdos_mean_ratio:.3g} times as high"
    if overlap >= limits.vdos_overlap_min:
        return Judgement("yes", f"{text}, at least {limits.vdos_overlap_min:g}", overlap)
    ratio = (1.0 - overlap) / max(1.0 - ceiling, 1e-300)
    if ratio <= _UNSURE * limits.excess_max:
        # Here the noise falls as one over the root of the length.
        needs_ps = parity.length_ps * (_UNSURE * limits.excess_max / ratio) ** 2
        return Judgement.open(f"{text}, but noise alone gives {ceiling:.3g}", overlap, needs_ps)
    return Judgement("no", f"{text}, below {limits.vdos_overlap_min:g}", overlap)


def judge_coordination(parity: CoordinationParity, limits: Thresholds) -> Judgement:
    """Judge the coordination numbers of one system: the worst pair decides."""
    judged = []
    for name, pair in parity.pairs.items():
        limit = max(limits.coordination_absolute, limits.coordination_relative * pair.reference)
        text = f"{name} {pair.surrogate:.3g} against {pair.reference:.3g}"
        judged.append(
            within(
                pair.difference,
                limit,
                pair.difference_stderr,
                text=text,
                df=math.inf if pair.df is None else pair.df,
                length_ps=parity.length_ps,
            )
        )
    order = ("no", "inconclusive", "yes")
    return min(judged, key=lambda one: (order.index(one.answer), -(one.needs_ps or 0.0)))


def judge_diffusivity(point: DiffusivityPoint, limits: Thresholds) -> Judgement:
    """Judge one diffusivity: is it within the factor, with 95 % certainty?"""
    limit = math.log10(limits.diffusivity_factor)
    factor = f"a factor of {limits.diffusivity_factor:g}"
    ratio, interval = point.log10_ratio, point.log10_ratio_interval(CERTAIN)
    if ratio is None:
        low, high = point.log10_ratio_bounds
        # A bound says what D is below; the D beside it has an error of its own.
        low, high = low - point.surrogate.lower_half, high + point.reference.lower_half
        if high < -limit or low > limit:
            slower = "surrogate" if high < -limit else "reference"
            return Judgement("no", f"the upper bound of the {slower} is beyond {factor}", None)
        sides = {"surrogate": point.surrogate, "reference": point.reference}
        still = [(name, side) for name, side in sides.items() if not side.is_diffusive]
        needs = [side.needs_ps for _, side in still if side.needs_ps is not None]
        reasons = ", ".join(f"{name} ({side.reason})" for name, side in still)
        return Judgement(
            "inconclusive", f"not diffusive: {reasons}", None, max(needs) if needs else None
        )
    text = f"D is {10**ratio:.3g} times the reference's"
    if interval is None:
        return Judgement("inconclusive", f"{text}, but has no interval", ratio)
    low, high = interval
    text += f" ({10**low:.3g} to {10**high:.3g} with 95 %)"
    judged = between(low, high, limit, ratio, text, point.length_ps)
    if judged.answer == "yes":
        return Judgement("yes", f"{text}, within {factor}", ratio)
    if judged.answer == "no":
        return Judgement("no", f"{text}, beyond {factor}", ratio)
    return Judgement.open(f"{text}, which crosses {factor}", ratio, judged.needs_ps)


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
    lengths: Mapping[str, Lengths] | None = None,
) -> dict[str, Verdict]:
    """Judge every property that was computed; mappings are by label of the system.

    Of systems whose ``lengths`` leave a side too short, the answer about structure and vibrations
    is open, whatever the numbers.
    """
    found: dict[str, Verdict] = {}
    known = lengths or {}
    whose = {label: known[label].shorter if label in known else "runs are" for label in systems}

    def add(name: str, judged: Mapping[str, Judgement], *used: str) -> None:
        shortest_ps = SHORTEST_SPECTRUM_PS if name == "vdos" else SHORTEST_PS
        judged = {**judged, **_too_short(known, judged, shortest_ps)}
        if judged:
            cases = [
                (label, temperature_key(systems[label].temperature_K), one)
                for label, one in judged.items()
            ]
            found[name] = together(cases, limits.share, _limits(limits, *used))

    add(
        "rdf",
        {label: judge_rdf(one, limits, whose[label]) for label, one in rdfs.items()},
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
        {k: judge_structure_factor(one, limits, whose[k]) for k, one in factors.items()},
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
    else:
        add("diffusivity", {}, "diffusivity_factor")
    if points is not None:
        found |= _of_points(points, limits)
    return found


def _too_short(
    lengths: Mapping[str, Lengths], judged: Mapping[str, Judgement], shortest_ps: float
) -> dict[str, Judgement]:
    """Leave the answer open about systems of which a side is too short for any."""
    found = {}
    for label, one in lengths.items():
        why = one.too_short(shortest_ps)
        if why is not None:
            value = judged[label].value if label in judged else None
            found[label] = Judgement("inconclusive", why, value, shortest_ps)
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
        found["activation_energy"] = replace(joined, by_temperature={})
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
