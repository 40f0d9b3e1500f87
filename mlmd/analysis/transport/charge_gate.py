"""Does the charge diffuse? Judged by the charge displacement's own mean squared displacement."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.bounds import PROBABILITY
from mlmd.analysis.diffusion.gate import (
    EARLY,
    MSD_REQUIRED_A2,
    SLOPE_RANGE,
    exponent_weights,
    late_lags,
)
from mlmd.analysis.diffusion.msd import mean_squared_displacement
from mlmd.analysis.diffusion.scatter import scatter
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.numerics.student import student_factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlmd.analysis.diffusion.diffusivity import Diffusivity
    from mlmd.analysis.diffusion.gate import Motion, MotionVerdict
    from mlmd.trajectory.trajectory import Trajectory

_BOUND = 0.5
"""Exponent that charge in bounds stays below: half way from no growth to diffusion."""


def judged_charge(
    collective: Diffusivity, walker: Trajectory, tracers: Iterable[Diffusivity]
) -> Diffusivity:
    """Return the diffusivity of a charge displacement with a verdict on its own motion.

    The criteria for atoms ask for numbers of jumps and for relaxation, which one walker does not
    have. The charge diffuses where its MSD grows as t^n from a tenth to a quarter of the run, with
    n not below 0.75 (nor above 1.5) by more than its standard error, where its D is above zero with
    95 %, and an ion has gone as far as diffusion is asked to. Ions that move in neutral pairs
    diffuse, and their charge does not; ions in single file do not, and their charge does.

    Of walks of 600 steps of 12 + 12 independent ions 3 of 60 are refused, of bound pairs 60 of 60.

    Parameters
    ----------
    collective
        As measured, with the verdict for atoms, which is replaced.
    walker
        The charge displacement as the trajectory of one atom.
    tracers
        The ions that carry it.
    """
    motion = collective.motion
    reached_A2 = max(tracer.motion.msd_reached_A2 for tracer in tracers)
    verdict, reason, slope = _verdict(collective, walker)
    if verdict == "diffusive" and reached_A2 < MSD_REQUIRED_A2:
        verdict = "too_short"
        reason = f"the ions' MSD reaches {reached_A2:.3g} A^2, below {MSD_REQUIRED_A2:g}"
    judged: Motion = replace(
        motion,
        verdict=verdict,
        reason=f"charge displacement: {reason}",
        log_log_slope=slope,
        needs_times=None,
        relaxation=None,
        rotation=None,
    )
    return replace(collective, motion=judged)


def _verdict(
    collective: Diffusivity, walker: Trajectory
) -> tuple[MotionVerdict, str, float | None]:
    species = walker.species[0]
    msd_A2 = mean_squared_displacement(walker, species, drift="none").msd_A2
    lags = late_lags(len(walker), EARLY)
    if len(lags) < 2 or not (msd_A2[lags] > 0).all():
        return "localised", "its MSD vanishes", None
    weights = exponent_weights(lags) / msd_A2[lags]
    slope = float(exponent_weights(lags) @ np.log(msd_A2[lags]))
    found = scatter(Walkers.of(walker, species, "none"), lags, weights)
    error = math.sqrt(found.variance)
    shown = f"log-log slope {slope:.2f} +- {error:.2f}"
    low, high = SLOPE_RANGE
    if slope < low - error:
        bound = slope + error < _BOUND
        return ("localised" if bound else "subdiffusive"), f"{shown}, below {low:g}", slope
    if slope > high + error:
        return "too_short", f"{shown}, above {high:g}", slope
    D, stderr = collective.D_raw_cm2_s, collective.D_stderr_cm2_s
    wanted = 0.0
    if stderr is not None:
        wanted = stderr * student_factor(math.inf, 2.0 * PROBABILITY - 1.0)
    if wanted >= D:
        about = f"{D:.2e} cm2/s is not above zero"
        if stderr is not None:
            about = f"{D:.2e} +- {stderr:.2e} cm2/s is not above zero with 95 %"
        return "too_short", f"D {about}, {shown}", slope
    return "diffusive", shown, slope
