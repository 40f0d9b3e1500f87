"""The way from one volume to the next until the pressure is zero, and what is said at its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlmd.digits import TERMINAL, with_error
from mlmd.errors import InputError
from mlmd.stages.volume.criteria import CRITERIA, Tolerances, Verdict
from mlmd.stages.volume.next_volume import next_volume
from mlmd.stages.volume.pressure import PressureMeasurement
from mlmd.stages.volume.result import VolumeResult, equation_of_state, pressure_columns
from mlmd.stages.volume.runs import SubRun, VolumeRuns
from mlmd.stages.volume.zero_pressure import ZeroPressure, zero_pressure

if TYPE_CHECKING:
    from mlmd.stages.volume.settings import VolumeSettings

GUESS_B0_PRIME = 4.0
SCAN_EFFECTIVE = 20.0  # independent samples of a pressure that is only fitted


@dataclass(frozen=True)
class Found:
    """How a search ended: status and reason as in the result, and the last verification run."""

    status: str
    reason: str
    run: SubRun | None = None


class VolumeSearch:
    """Search with given settings.

    Parameters
    ----------
    settings
        Of the stage.
    runs
        Measures the pressure at a volume.
    """

    def __init__(self, settings: VolumeSettings, runs: VolumeRuns) -> None:
        self._settings, self._runs = settings, runs

    def find(self) -> Found:
        """Run at the scales, then where the pressures point to, until a run is verified.

        A verified run shifts V0. Where its cell is no longer at V0 within the error of V0, one
        more run is made there, no longer than a first one, and later stages go on from it unless
        it refutes the volume.
        """
        settings, runs = self._settings, self._runs
        for scale in settings.scales:
            runs.measure(scale, self._is_too_rough)
        if not runs.good:
            return Found("unconverged", f"no run gave a pressure: {runs.failed[0].error}")
        found = Found("unconverged", "P = 0 is not bracketed")
        while (next_scale := self._next_scale()) is not None:
            is_verified = found.status == "converged"  # what follows only moves the cell
            if len(runs.points) == settings.max_runs:
                if is_verified:
                    return found
                seen = f"after {settings.max_runs} runs: {found.reason}{self._failure()}"
                return Found("unconverged", seen, found.run)
            if not self._is_bracketed():
                runs.measure(next_scale, self._is_too_rough, near_starts=True)
                continue
            run = runs.measure(next_scale, self._can_improve_at(next_scale), near_starts=True)
            if run is None:
                continue
            verdict = self._verdict(run.measurement, [asdict(point) for point in runs.points])
            if is_verified and not verdict.is_refuted:
                return Found("converged", f"{found.reason}; moved to V0: {verdict.seen}", run)
            found = Found("converged" if verdict.passed else "unconverged", verdict.seen, run)
            if verdict.passed and self._is_at_zero_pressure(run):
                return found
        return self._without_bracket()

    def _is_at_zero_pressure(self, run: SubRun) -> bool:
        """Tell whether the final V0 is where the run was, within its standard error.

        To pass is to be near, and near on one side is biased. The published code stays there.
        """
        zero = self._zero_pressure([asdict(point) for point in self._runs.points])
        if zero is None or self._settings.convergence == "mpmorph":
            return True
        return abs(run.point.volume_A3 - zero.V0_A3) <= zero.V0_stderr_A3

    def _is_bracketed(self) -> bool:
        points = [asdict(point) for point in self._runs.points]
        curve = equation_of_state(points, GUESS_B0_PRIME)
        return curve is not None and curve.is_bracketed

    def _next_scale(self) -> float | None:
        """Return where to run next, at most half way to a volume at which runs failed."""
        runs = self._runs
        columns = pressure_columns([asdict(point) for point in runs.points])
        low = runs.volume_A3 / self._settings.max_scale
        high = runs.volume_A3 * self._settings.max_scale
        for point in runs.failed:
            if point.volume_A3 < columns[0].min():
                low = max(low, math.sqrt(point.volume_A3 * columns[0].min()))
            elif point.volume_A3 > columns[0].max():
                high = min(high, math.sqrt(point.volume_A3 * columns[0].max()))
        prime = self._settings.B0_prime
        volume = next_volume(
            *columns,
            limits_A3=(low, high),
            B0_prime=GUESS_B0_PRIME if prime is None else prime,
        )
        return None if volume is None else volume / runs.volume_A3

    def _without_bracket(self) -> Found:
        """Say why there is no volume to run at next."""
        runs = sorted(self._runs.good, key=lambda run: run.point.scale)
        first, last = runs[0].point.scale, runs[-1].point.scale
        ends = " and ".join(
            f"{with_error(seen.pressure_GPa, seen.stderr_GPa, TERMINAL)} GPa at "
            f"{run.point.volume_A3:.5g} A3 ({run.point.scale:.3g} of the start)"
            for run in (runs[0], runs[-1])
            for seen in (run.measurement,)
        )
        said = f"the pressure does not change its sign: {ends}"
        if any(not first < point.scale < last for point in self._runs.failed):
            return Found("unconverged", said + self._failure())
        return Found("no_equilibrium_volume", said)

    def _failure(self) -> str:
        """Return words about the last run that failed, none where none has."""
        if not self._runs.failed:
            return ""
        last = self._runs.failed[-1]
        return f"; the run at {last.scale:.3g} of the start failed: {last.error}"

    def _is_too_rough(self, measurement: PressureMeasurement) -> bool:
        is_published = self._settings.convergence == "mpmorph"
        is_rough = not measurement.is_settled or measurement.n_effective < SCAN_EFFECTIVE
        return is_rough and not is_published

    def _can_improve_at(self, scale: float) -> Callable[[PressureMeasurement], bool]:
        """Return what decides whether a verification run goes on."""

        def can_improve(measurement: PressureMeasurement) -> bool:
            points = self._runs.points_with(measurement, scale)
            return self._verdict(measurement, points).can_improve

        return can_improve

    def _verdict(self, measurement: PressureMeasurement, points: list[dict[str, Any]]) -> Verdict:
        settings = self._settings
        limits = Tolerances(settings.pressure_tolerance, settings.energy_drift_stderrs)
        curve = equation_of_state(points, settings.B0_prime)
        return CRITERIA[settings.convergence](measurement, curve, limits)

    def _zero_pressure(self, points: list[dict[str, Any]]) -> ZeroPressure | None:
        try:
            return zero_pressure(*pressure_columns(points), B0_prime=self._settings.B0_prime)
        except InputError:  # too few points
            return None

    def result(self, found: Found, n_atoms: int) -> VolumeResult:
        """Put together what is kept of the search."""
        settings, runs = self._settings, self._runs
        points = [asdict(point) for point in runs.points]
        zero = self._zero_pressure(points)
        point = found.run.point if found.run else None
        slope = found.run.measurement.energy_drift if found.run else None
        return VolumeResult(
            status=found.status,
            reason=found.reason,
            volume_A3=None if zero is None else zero.V0_A3,
            volume_stderr_A3=None if zero is None else zero.V0_stderr_A3,
            volume_per_atom_A3=None if zero is None else zero.V0_A3 / n_atoms,
            cell_volume_A3=None if point is None else point.volume_A3,
            bulk_modulus_GPa=None if zero is None else zero.B0_GPa,
            bulk_modulus_stderr_GPa=None if zero is None else zero.B0_stderr_GPa,
            pressure_convention=settings.pressure,
            pressure_GPa=None if point is None else point.pressure_GPa,
            pressure_stderr_GPa=None if point is None else point.stderr_GPa,
            temperature_K=None if point is None else point.temperature_K,
            energy_drift_eV_ps=None if slope is None else slope.slope_per_ps,
            energy_drift_stderr_eV_ps=None if slope is None else slope.stderr_per_ps,
            n_runs=len(runs.points),
            n_steps=runs.n_steps,
            points=points,
            criteria={
                "convergence": settings.convergence,
                "pressure_tolerance": settings.pressure_tolerance,
                "energy_drift_stderrs": settings.energy_drift_stderrs,
                "B0_prime": settings.B0_prime,
                "max_runs": settings.max_runs,
                "max_duration_factor": settings.max_duration_factor,
                "max_scale": settings.max_scale,
            },
        )
