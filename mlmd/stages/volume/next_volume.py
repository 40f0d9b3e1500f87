"""The search for the volume of zero pressure, one measured pressure after another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.stages.volume.birch_murnaghan import (
    checked_points,
    fit_birch_murnaghan,
    tightest_bracket,
)
from mlmd.stages.volume.zero_pressure import fit_around_zero

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_OVERSHOOT = 0.05  # beyond the expected V0, so that the next pressure has the other sign
_NEW = 0.01  # logarithm of the distance from what has been measured that makes a volume a new one
_NO_STEP = 0.002  # what is left to the limit when it counts as reached


def next_volume(
    volumes_A3: ArrayLike,
    pressures_GPa: ArrayLike,
    stderr_GPa: ArrayLike,
    averaged_ps: ArrayLike | None = None,
    *,
    limits_A3: tuple[float, float],
    max_step: float = 1.2,
    B0_prime: float = 4.0,
) -> float | None:
    """Volume at which to measure the pressure next in a search for zero pressure.

    Until P = 0 is bracketed (as in :class:`BirchMurnaghan`), the search goes outward, from the
    largest volume while no pressure is significantly negative, from the smallest while none is
    positive: to 5 % beyond the fitted V0, at most by `max_step`. With a bracket it is V0 by
    :func:`~mlmd.stages.volume.zero_pressure.fit_around_zero`, as in the result of the search;
    measuring there goes on to lower V0's error. Where that fit finds none, it is the middle of the
    bracket, and then the dense side.

    Parameters
    ----------
    volumes_A3, pressures_GPa, stderr_GPa : (n,)
        What has been measured; one point is enough.
    averaged_ps : (n,), optional
        As of :func:`~mlmd.stages.volume.zero_pressure.fit_around_zero`.
    limits_A3
        Smallest and largest volume that may be measured.
    max_step
        Largest factor, above 1, between a measured volume and a new one outside of it.
    B0_prime
        Of the curve used for guessing.

    Returns
    -------
    float or None
        None where the limits are reached without a bracket: by a boiling melt, or where the
        errors exceed any tension that the material bears.

    Raises
    ------
    InputError
        As :func:`fit_birch_murnaghan`, or if limits or step make no sense.
    """
    volumes, pressures, errors, margin = checked_points(volumes_A3, pressures_GPa, stderr_GPa)
    low, high = limits_A3
    if not (0 < low < high < math.inf and 1 < max_step < math.inf):
        given = f"limits_A3 is {limits_A3} and max_step {max_step!r}"
        raise InputError(f"{given}; expected 0 < smallest < largest and a factor above 1")
    if (bracket := tightest_bracket(volumes, pressures, margin)) is not None:
        V0 = fit_around_zero(volumes, pressures, stderr_GPa, averaged_ps, B0_prime=B0_prime).V0_A3
        if V0 is None:  # noise may have made the bracket: not at the same place again and again
            middle = math.sqrt(bracket[0] * bracket[1])
            is_new = np.abs(np.log(volumes / middle)).min() > _NEW
            V0 = middle if is_new else float(volumes.min()) / (1 + _OVERSHOOT)
        return min(max(V0, low), high)
    smallest, largest, expected = float(volumes.min()), float(volumes.max()), None
    if len(np.unique(volumes)) > 1:
        expected = fit_birch_murnaghan(volumes, pressures, errors, B0_prime=B0_prime).V0_A3
    has_positive = (pressures > margin).any() or pressures.mean() >= 0
    if (pressures < -margin).any() or not has_positive:
        # The dense side is the stable one, even where torn material has P > 0 at large volumes.
        wanted = smallest / max_step if expected is None else expected / (1 + _OVERSHOOT)
        denser = max(low, smallest / max_step, min(wanted, smallest / (1 + _OVERSHOOT)))
        return denser if denser < smallest * (1 - _NO_STEP) else None
    wanted = largest * max_step if expected is None else expected * (1 + _OVERSHOOT)
    wider = min(high, largest * max_step, max(wanted, largest * (1 + _OVERSHOOT)))
    return wider if wider > largest * (1 + _NO_STEP) else None
