"""The activation energy of one species over the stages of a run, and what to doubt about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlmd.analysis.activation.arrhenius import Arrhenius, activation_energy_bound, arrhenius
from mlmd.analysis.activation.vogel import FEWEST_TEMPERATURES, bent_law
from mlmd.errors import InputError
from mlmd.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.analysis.diffusion.diffusivity import Diffusivity

SMALL_P = 0.01


def law_of(
    points: Sequence[tuple[str, float, Diffusivity]], doubts: Mapping[str, Sequence[str]]
) -> tuple[Arrhenius | None, float | None, list[Finding]]:
    """Arrhenius law of one species over stages, or what E_a is above, and what to say of it.

    Parameters
    ----------
    points
        Name of the stage, temperature in K and diffusivity.
    doubts
        By flag, the stages that carry it.
    """
    remarks = [
        Finding(doubt, "doubt", f"{doubt} in {', '.join(names)}") for doubt, names in doubts.items()
    ]
    still = [name for name, _, result in points if not result.is_diffusive]
    left_out = f"not diffusive in {', '.join(still)}: left out of the fit"
    out = [Finding("left_out_of_law", "doubt", left_out, {"n_left_out": len(still)})]
    used = [one for one in points if one[2].is_diffusive or one[2].D_upper_bound_cm2_s is not None]
    temperatures_K = [temperature_K for _, temperature_K, _ in used]
    D = [result.D_cm2_s for _, _, result in used]
    stderr = [result.D_stderr_cm2_s for _, _, result in used]
    df = [result.df or None for _, _, result in used]
    upper = [result.D_upper_bound_cm2_s for _, _, result in used]

    def none(why: str, numbers: Mapping[str, float] | None = None) -> list[Finding]:
        text = f"no activation energy: {why}"
        first = Finding("no_activation_energy", "invalid", text, numbers or {})
        return [first, *(out if still else []), *remarks]

    different = len({T for _, T, result in points if result.is_diffusive})
    if different < 2:
        known = len({temperature_K for _, temperature_K, _ in points})
        what = "temperatures are known" if known < 2 else "temperatures"
        why = f"{'diffusion at ' if known > 1 else ''}fewer than two {what}"
        lowest_eV = None
        if different:
            lowest_eV = activation_energy_bound(
                temperatures_K, D, stderr, df=df, D_upper_bound_cm2_s=upper
            )
        if lowest_eV is None:
            return None, None, none(why)
        why += f"; it is above {lowest_eV:.3f} eV (95 %), by the bounds at colder ones"
        return None, lowest_eV, none(why, {"E_a_lower_bound_eV": lowest_eV})
    try:
        law = arrhenius(
            temperatures_K,
            D,
            stderr,
            df=df,
            D_upper_bound_cm2_s=upper,
        )
    except InputError as error:
        return None, None, none(str(error))
    n_bounds = int(law.points.censored.sum())
    if n_bounds < len(still):
        remarks = [*out, *remarks]
    elif still:
        text = f"not diffusive in {', '.join(still)}: the law takes the bounds of D there"
        remarks.insert(0, Finding("bounds_in_law", "note", text, {"n_bounds": n_bounds}))
    return law, None, [*remarks, *_doubts_of_the_law(law)]


def _doubts_of_the_law(law: Arrhenius) -> Iterator[Finding]:
    """Say what the number of temperatures and the scatter let one doubt about a law."""
    different = len(set(law.temperatures_K.tolist()))
    if different == 2:
        yield Finding("two_temperatures", "doubt", "two temperatures only: nothing tests the law")
    if law.p_value is not None and law.p_value < SMALL_P:
        yield Finding(
            "law_not_followed",
            "doubt",
            f"the points do not follow the law within their errors (p = {law.p_value:.2g})",
            {"p_value": law.p_value},
        )
    if len(set(law.points.temperatures_K.tolist())) < FEWEST_TEMPERATURES:
        return
    try:
        vogel = bent_law(law)
    except InputError:  # errors are not known, or too few of the temperatures have a D
        return
    if vogel.is_better:
        yield Finding(
            "vogel_is_better",
            "doubt",
            f"a Vogel-Fulcher-Tammann law with T0 = {vogel.T0_K:.0f} K describes the points better "
            f"(p = {vogel.p_value:.2g})",
            {"T0_K": vogel.T0_K, "p_value": vogel.p_value, "delta_aicc": vogel.delta_aicc},
        )
