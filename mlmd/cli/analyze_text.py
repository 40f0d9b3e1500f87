"""What ``mlmd analyze`` prints for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlmd.digits import TERMINAL, number, with_error, with_interval

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.extrapolation import Extrapolation
    from mlmd.analysis.stage import StageDiffusivity
    from mlmd.analysis.summary import AnalysisSummary
    from mlmd.analysis.transport import Conductivity, ConductivityValue


def print_summary(summary: AnalysisSummary) -> None:
    """Print it: a line for each diffusivity, and all findings."""
    from mlmd.analysis.diffusion.estimators.estimate import PUBLISHED_WINDOW_PS

    stages = summary.stages.items()
    first = next(iter(next(iter(summary.stages.values())).species.values())).settings
    how = f"estimator {first.estimator}"
    if first.window_ps is not None and first.fit_ps is not None:
        is_short = first.window_ps < PUBLISHED_WINDOW_PS
        short = f" (short: {PUBLISHED_WINDOW_PS:g} ps is usual)" if is_short else ""
        how += (
            f", windows of {first.window_ps:g} ps{short}, fitted {first.fit_ps[0]:g} to "
            f"{first.fit_ps[1]:g} ps"
        )
    print(f"D in cm2/s with its 68 % interval; {how}")
    if summary.from_recipe is not None:
        print(f"measured as the run's recipe says: {summary.from_recipe}")
    width = max(len(name) for name, _ in stages)
    for name, stage in stages:
        at = "" if stage.temperature_K is None else f" {stage.temperature_K:6.0f} K"
        doubts = "".join(f"  {flag.upper()}" for flag in stage.flags)
        for symbol, result in stage.species.items():
            print(f"{name:<{width}}{at}  {symbol:<2}  {_line(result)}{doubts}")
        for line in _more(stage):
            print(f"{name:<{width}}  {line}")
    for name, group in summary.replicas.items():
        at = "" if group.temperature_K is None else f" {group.temperature_K:6.0f} K"
        for symbol, result in group.species.items():
            print(f"{name}, {len(group.stages)} runs{at}  {symbol:<2}  {_line(result)}")
            print(f"{name}, {len(group.stages)} runs{at}  {symbol:<2}  {_sources(result)}")
    for symbol, law in summary.arrhenius.items():
        if law is not None:
            E_a = with_error(law.E_a_eV, law.E_a_stderr_eV, TERMINAL)
            no_error = ", no error" if law.E_a_stderr_eV is None else ""
            ends = [number(end, 3, TERMINAL) for end in law.E_a_interval68_eV or ()]
            about = f" [{', '.join(ends)}]" if ends else ""
            D0 = f"D0 = {law.D0_cm2_s:.2e} cm2/s"
            print(f"{symbol}: E_a = {E_a} eV{about}{no_error}, {D0}")
    for further in summary.extrapolations:
        for line in _extrapolated(further):
            print(line)
    for finding in summary.findings:
        print(f"{finding.severity}: {finding.message}")


def _more(stage: StageDiffusivity) -> Iterator[str]:
    """Yield what there is to say of a stage besides its diffusivities."""
    shells = {k: v for k, v in stage.coordination().items() if not isinstance(v, str)}
    if shells:
        told = (f"{pair} {s.coordination:.2f} ({s.minimum_A:.2f} A)" for pair, s in shells.items())
        yield f"coordination numbers (up to): {', '.join(told)}"
    if stage.conductivity is not None:
        yield _conductivity(stage.conductivity)


def _conductivity(sigma: Conductivity) -> str:
    """Say both conductivities and the Haven ratio, each with its interval; findings say why not."""
    charge = sigma.charge
    ratio, interval = charge.haven_ratio_raw, charge.haven_interval68
    haven = "no Haven ratio"
    if interval is not None:
        raw = "" if charge.haven_ratio is not None else "raw "
        haven = f"{raw}Haven ratio {with_interval(ratio, interval, style=TERMINAL)}"
    return (
        f"conductivity of {', '.join(charge.carriers.species)} "
        f"{_believed(sigma.full, sigma.full_raw)}; as if ions moved independently "
        f"{_believed(sigma.nernst_einstein, sigma.nernst_einstein_raw)}; {haven}"
    )


def _believed(value: ConductivityValue | None, raw: ConductivityValue) -> str:
    return f"NOT DIFFUSIVE, raw {_with_interval(raw)}" if value is None else _with_interval(value)


def _with_interval(value: ConductivityValue | None) -> str:
    if value is None:
        return "not known"
    interval = value.interval68_S_cm
    if interval is None:
        return f"{number(value.mS_cm, 4, TERMINAL)} (no error) mS/cm"
    in_mS = [None if end is None else 1000.0 * end for end in interval]
    return f"{with_interval(value.mS_cm, in_mS, style=TERMINAL)} mS/cm"


def _extrapolated(further: Extrapolation) -> Iterator[str]:
    """Yield what the laws give at another temperature."""
    at = f"at {further.temperature_K:g} K by the laws"
    for symbol, value in further.species.items():
        if value is not None:
            ends = value.D_interval68_cm2_s
            D = with_interval(value.D_cm2_s, ends, style=TERMINAL)
            yield f"{at}  {symbol:<2}  D = {D}{'' if ends else ' (no error)'} cm2/s"
    if further.full is not None or further.nernst_einstein is not None:
        yield (
            f"{at}  conductivity {_with_interval(further.full)}; as if ions moved independently "
            f"{_with_interval(further.nernst_einstein)}"
        )


def _sources(result: Diffusivity) -> str:
    """What the runs' own errors and the spread between them give the error of their mean."""
    shown = []
    for key, what in (("within", "the runs' own errors"), ("between", "the spread between them")):
        error = result.details.get(f"{key}_stderr_cm2_s")
        shown.append(f"{what} {'unknown' if error is None else f'{error:.2e}'}")
    return f"standard error of the mean by {shown[0]}, by {shown[1]}"


def _line(result: Diffusivity) -> str:
    """One diffusivity: value, interval and what it rests on; or why there is none."""
    if result.D_cm2_s is None:
        bound = result.D_upper_bound_cm2_s
        limit = "no bound" if bound is None else f"D < {bound:.2e} (95 %)"
        return f"NOT DIFFUSIVE  {limit}  raw {result.D_raw_cm2_s:.2e}  {result.reason}"
    interval = result.D_interval68_cm2_s
    error = "no error" if interval is None else f"[{interval[0]:.2e}, {interval[1]:.2e}]"
    if result.settings.estimator == "windowed":
        if interval is None:
            error += " (one window)"
        windows = "window" if result.n_windows == 1 else "windows"
        rests = f"{result.n_windows} {windows} of {result.settings.window_ps:g} ps"
        rests += f" in {result.duration_ps:g} ps"
    else:
        fit_ps = result.settings.fit_ps
        rests = f"{result.duration_ps:g} ps"
        if fit_ps is not None:
            rests += f", fitted {fit_ps[0]:.3g} to {fit_ps[1]:.3g} ps"
    return f"D = {result.D_cm2_s:9.2e}  {error}  {rests}; {result.reason}"
