"""When is a volume the equilibrium volume? Named criteria for the verification run.

``modulus``
    |P|/B below a tolerance, B being the slope near zero pressure, the standard error of P below
    half of it, and no drift of the potential energy beyond its own error: what pressure means
    depends on the stiffness.
``mpmorph``
    As published with that code: |P| below 5 kbar and a relative difference of the mean energies
    of the two halves of the run below 0.001. The first accepts any volume of a soft liquid and
    the second depends on the zero of energy; kept to repeat published runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlmd.digits import TERMINAL, with_error
from mlmd.stages.volume.birch_murnaghan import BirchMurnaghan
from mlmd.stages.volume.pressure import PressureMeasurement

MPMORPH_PRESSURE_GPa = 0.5
MPMORPH_ENERGY_DIFFERENCE = 0.001
_CLEARLY = 2.0  # standard errors


@dataclass(frozen=True)
class Verdict:
    """Whether a verification run satisfies the criteria.

    Attributes
    ----------
    passed
        It does.
    can_improve
        It does not, and more of the same run may change that.
    is_refuted
        More than its errors speaks against it, however short it is.
    seen
        The numbers, in one line.
    """

    passed: bool
    can_improve: bool
    is_refuted: bool
    seen: str


@dataclass(frozen=True)
class Tolerances:
    """Settings of the criteria; see :class:`mlmd.stages.EquilibrateVolume`."""

    pressure: float
    energy_drift_stderrs: float


Criterion = Callable[[PressureMeasurement, BirchMurnaghan | None, Tolerances], Verdict]


def judge_by_modulus(
    run: PressureMeasurement, curve: BirchMurnaghan | None, limits: Tolerances
) -> Verdict:
    """Hold the pressure against the bulk modulus of the fitted curve."""
    B_GPa = None if curve is None else curve.B0_GPa
    if B_GPa is None:
        return Verdict(False, False, True, f"{_pressure(run)}, the bulk modulus is not known")
    ratio, error = abs(run.pressure_GPa) / B_GPa, run.stderr_GPa / B_GPa
    slope = run.energy_drift
    is_sharp = run.is_reliable and error < limits.pressure / 2
    is_still = slope.is_within(limits.energy_drift_stderrs)
    drift = with_error(slope.slope_per_ps, slope.stderr_per_ps, TERMINAL)
    if slope.stderr_per_ps is None:
        drift += " (unknown error)"
    seen = (
        f"{_pressure(run)}, |P|/B = {with_error(ratio, error, TERMINAL)} with B = {B_GPa:.3g} GPa, "
        f"energy drift {drift} eV/ps"
    )
    is_wrong_volume = ratio - _CLEARLY * error > limits.pressure
    passed = ratio < limits.pressure and is_sharp and bool(is_still)
    can_improve = not (is_sharp and is_still) and not (is_wrong_volume and run.is_reliable)
    return Verdict(passed, can_improve, is_wrong_volume or is_still is False, seen)


def judge_as_mpmorph(
    run: PressureMeasurement, curve: BirchMurnaghan | None, limits: Tolerances
) -> Verdict:
    """Apply the published thresholds; a run is never lengthened."""
    difference = run.half_energy_difference
    passed = abs(run.pressure_GPa) < MPMORPH_PRESSURE_GPa and difference < MPMORPH_ENERGY_DIFFERENCE
    return Verdict(
        passed,
        False,
        not passed,
        f"{_pressure(run)}, mean energies of the halves differ by {difference:.2g} of their mean",
    )


def _pressure(run: PressureMeasurement) -> str:
    doubt = ""
    if not run.is_settled:
        doubt = " (not settled for half of the run)"
    elif not run.is_reliable:
        doubt = f" (from {run.n_effective:.0f} independent samples only)"
    return f"P = {with_error(run.pressure_GPa, run.stderr_GPa, TERMINAL)} GPa{doubt}"


CRITERIA: dict[str, Criterion] = {"modulus": judge_by_modulus, "mpmorph": judge_as_mpmorph}
