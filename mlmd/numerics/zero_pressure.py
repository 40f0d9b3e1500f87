"""The volume of zero pressure and the bulk modulus there, with errors that admit the model's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.numerics.birch_murnaghan import (
    SIGNIFICANT,
    BirchMurnaghan,
    checked_points,
    fit_birch_murnaghan,
    tightest_bracket,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

B0_PRIME_STDERR = 2.0
"""How well a B0' that was not fitted is known: solids have 3 to 8."""

_NEAR = 1.01  # factor about the bracket within which a point belongs to it
_SLOPE = 0.1  # relative standard error of the slope that is good enough


@dataclass(frozen=True)
class ZeroPressure:
    """Where the pressure is zero, by a curve through measured ones of both signs.

    Attributes
    ----------
    V0_A3, V0_stderr_A3, B0_GPa, B0_stderr_GPa : float
        Volume and bulk modulus. The standard errors are those of the fit, times
        sqrt(chi2 / df) where that exceeds 1, and of a given B0' that may be off by 2.
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
        As in :func:`~mlmd.numerics.birch_murnaghan.fit_birch_murnaghan`.

    Raises
    ------
    InputError
        As :func:`~mlmd.numerics.birch_murnaghan.fit_birch_murnaghan`.
    """
    curve = fit_around_zero(volumes_A3, pressures_GPa, stderr_GPa, B0_prime=B0_prime)
    if not curve.is_bracketed or curve.V0_A3 is None or curve.B0_GPa is None:
        return None
    widened = math.sqrt(max(1.0, curve.chi2 / curve.df)) if curve.df else 1.0
    V0_error, B0_error = (
        widened * (error or 0.0) for error in (curve.V0_stderr_A3, curve.B0_stderr_GPa)
    )
    if B0_prime is not None:
        low, high = (
            fit_around_zero(volumes_A3, pressures_GPa, stderr_GPa, B0_prime=B0_prime + change)
            for change in (-B0_PRIME_STDERR, B0_PRIME_STDERR)
        )
        if low.V0_A3 and high.V0_A3 and low.B0_GPa and high.B0_GPa:
            V0_error = math.hypot(V0_error, (high.V0_A3 - low.V0_A3) / 2)
            B0_error = math.hypot(B0_error, (high.B0_GPa - low.B0_GPa) / 2)
    return ZeroPressure(curve.V0_A3, V0_error, curve.B0_GPa, B0_error)


def fit_around_zero(
    volumes_A3: ArrayLike,
    pressures_GPa: ArrayLike,
    stderr_GPa: ArrayLike | None = None,
    *,
    B0_prime: float | None = 4.0,
) -> BirchMurnaghan:
    """Fit the equation of state to the pressures that tell where P = 0 is.

    A fixed B0' describes a liquid over a wide range of volumes badly: :func:`is_around_zero`
    chooses the points then. Where B0' is fitted all of them are taken.

    Parameters
    ----------
    volumes_A3, pressures_GPa, stderr_GPa, B0_prime
        As in :func:`~mlmd.numerics.birch_murnaghan.fit_birch_murnaghan`.

    Raises
    ------
    InputError
        As :func:`~mlmd.numerics.birch_murnaghan.fit_birch_murnaghan`.
    """
    volumes, pressures, errors, _ = checked_points(volumes_A3, pressures_GPa, stderr_GPa)
    chosen = np.full(volumes.shape, True)
    if B0_prime is not None:
        chosen = is_around_zero(volumes, pressures, errors)
    sigma = None if errors is None else errors[chosen]
    return fit_birch_murnaghan(volumes[chosen], pressures[chosen], sigma, B0_prime=B0_prime)


def is_around_zero(
    volumes_A3: ArrayLike, pressures_GPa: ArrayLike, stderr_GPa: ArrayLike | None = None
) -> NDArray[np.bool_]:
    """Choose the tightest bracket of P = 0 with what lies in or within 1 % of it.

    Where these differ too little in pressure, noise decides on the slope: the nearest points are
    added until it is known to 10 %. Without a bracket every point is chosen.

    Raises
    ------
    InputError
        As :func:`~mlmd.numerics.birch_murnaghan.fit_birch_murnaghan`.
    """
    volumes, pressures, _, margin = checked_points(volumes_A3, pressures_GPa, stderr_GPa)
    bracket = tightest_bracket(volumes, pressures, margin)
    if bracket is None:
        return np.full(volumes.shape, True)
    chosen = (volumes >= bracket[0] / _NEAR) & (volumes <= bracket[1] * _NEAR)
    distance = np.abs(np.log(volumes / math.sqrt(bracket[0] * bracket[1])))
    for i in np.argsort(distance, kind="stable"):
        among = np.flatnonzero(chosen)
        ends = among[[np.argmin(volumes[among]), np.argmax(volumes[among])]]
        if np.hypot(*margin[ends]) <= SIGNIFICANT * _SLOPE * -np.diff(pressures[ends]).item():
            break
        chosen[i] = True
    return chosen
