r"""The volume of zero pressure and the bulk modulus there, with errors that admit the model's.

A given :math:`B_0'` that is off by :math:`\Delta` bends the curve by
:math:`\tfrac12 B_0 \Delta \ln^2(V/V_0)`. With :math:`\Delta = 2` as its standard error each
pressure has this one beside its own: near V0 nothing changes, and points far away, which the curve
may miss, tell about the slope but not about where it is zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.stages.volume.birch_murnaghan import BirchMurnaghan, checked_points, fit_birch_murnaghan

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

B0_PRIME_STDERR = 2.0
"""How well a B0' that was not fitted is known: solids and melts have 3 to 8."""

_ROUNDS = 4


@dataclass(frozen=True)
class ZeroPressure:
    """Where the pressure is zero, by a curve through measured ones of both signs.

    Attributes
    ----------
    V0_A3, V0_stderr_A3, B0_GPa, B0_stderr_GPa : float
        Volume and bulk modulus with the standard errors of the fit, times sqrt(chi2 / df) where
        that exceeds 1.
    """

    V0_A3: float
    V0_stderr_A3: float
    B0_GPa: float
    B0_stderr_GPa: float


def zero_pressure(
    volumes_A3: ArrayLike,
    pressures_GPa: ArrayLike,
    stderr_GPa: ArrayLike,
    *,
    B0_prime: float | None = 4.0,
) -> ZeroPressure | None:
    """Volume of zero pressure by :func:`fit_around_zero`; None without a bracket of it.

    Parameters
    ----------
    volumes_A3, pressures_GPa, stderr_GPa, B0_prime
        As in :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.

    Raises
    ------
    InputError
        As :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.
    """
    curve = fit_around_zero(volumes_A3, pressures_GPa, stderr_GPa, B0_prime=B0_prime)
    if not curve.is_bracketed or curve.V0_A3 is None or curve.B0_GPa is None:
        return None
    widened = math.sqrt(max(1.0, curve.chi2 / curve.df)) if curve.df else 1.0
    V0_error, B0_error = (
        widened * (error or 0.0) for error in (curve.V0_stderr_A3, curve.B0_stderr_GPa)
    )
    return ZeroPressure(curve.V0_A3, V0_error, curve.B0_GPa, B0_error)


def fit_around_zero(
    volumes_A3: ArrayLike,
    pressures_GPa: ArrayLike,
    stderr_GPa: ArrayLike,
    *,
    B0_prime: float | None = 4.0,
) -> BirchMurnaghan:
    """Fit the equation of state with weights that fall with the distance from P = 0.

    Without a bracket of P = 0, and where B0' is fitted, it is the plain fit.

    Parameters
    ----------
    volumes_A3, pressures_GPa, stderr_GPa, B0_prime
        As in :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.

    Raises
    ------
    InputError
        As :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.
    """
    volumes, pressures, errors, _ = checked_points(volumes_A3, pressures_GPa, stderr_GPa)
    plain = fit_birch_murnaghan(volumes, pressures, errors, B0_prime=B0_prime)
    if B0_prime is None or errors is None or not plain.is_bracketed:
        return plain
    # A start that no distant point can spoil: the line between the nearest pressures of each sign.
    above, below = (
        np.flatnonzero(side)[np.argmin(np.abs(pressures[side]))]
        for side in (pressures > 2 * errors, pressures < -2 * errors)
    )
    slope = (pressures[above] - pressures[below]) / np.log(volumes[below] / volumes[above])
    V0 = float(volumes[above] * np.exp(pressures[above] / slope))
    B0, best = float(slope), plain
    for _ in range(_ROUNDS):
        bend = 0.5 * B0_PRIME_STDERR * B0 * np.log(volumes / V0) ** 2
        fit = fit_birch_murnaghan(volumes, pressures, np.hypot(errors, bend), B0_prime=B0_prime)
        if not fit.is_bracketed or fit.V0_A3 is None or fit.B0_GPa is None:
            break
        V0, B0, best = fit.V0_A3, fit.B0_GPa, fit
    return best
