r"""The volume of zero pressure and the bulk modulus there, with errors that admit the model's.

What counts is the curve near zero. Two things keep what was measured far away from deciding it:

- :math:`B_0'` is known beforehand to be 4 (or what was given) :math:`\pm` 6, and fitted. A liquid
  that expands softly has 8 to 12: with 4 its B near zero comes out up to twice too large.
- No curve of three parameters holds over 20 % in volume: compressed melts freeze, expanded ones
  have holes. Beside its own error, a pressure P at :math:`a = |\ln(V/V_0)|` has one of
  :math:`a \max(|P|, a B_0)`: 10 % of itself at 10 % from V0. Near V0 nothing changes.

A run goes on until its error looks small: those that ended early are those whose error came out too
small (at 4 ps half of what it is). How much the pressure fluctuates, and for how long it remembers,
changes little from one volume to the next: an error counts as at least what the runs within about
10 % in volume have on average, scaled by the root of the time that is averaged over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.stages.volume.birch_murnaghan import (
    BirchMurnaghan,
    checked_points,
    fit_birch_murnaghan,
    tightest_bracket,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray

B0_PRIME_STDERR = 6.0
"""How well B0' is known before the fit: solids have 3 to 6, liquids near boiling up to 12."""

_NEIGHBOUR = 0.1  # logarithm of the volume over which pressures fluctuate alike
# The square of such an error scatters like one of four degrees of freedom, whose logarithm averages
# 1/4 too low. Weights go with the square of the time: a short run hardly knows its own error.
_LOG_BIAS = 0.25
_CHORD = 0.04  # logarithm of the volume from which on a pressure, divided by it, is a slope
_ROUNDS = 4  # V0 and B set the weights of their own fit: after so many they stand still


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
    averaged_ps: ArrayLike | None = None,
    *,
    B0_prime: float | None = 4.0,
) -> ZeroPressure | None:
    """Volume of zero pressure by :func:`fit_around_zero`; None without a bracket of it.

    Parameters
    ----------
    volumes_A3, pressures_GPa, stderr_GPa, B0_prime
        As in :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.
    averaged_ps : (n,), optional
        Time that each pressure is averaged over; errors are taken as given where it is not.

    Raises
    ------
    InputError
        As :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.
    """
    curve = fit_around_zero(volumes_A3, pressures_GPa, stderr_GPa, averaged_ps, B0_prime=B0_prime)
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
    averaged_ps: ArrayLike | None = None,
    *,
    B0_prime: float | None = 4.0,
) -> BirchMurnaghan:
    """Fit the equation of state with weights that fall with the distance from P = 0.

    Without a bracket of P = 0, and where B0' is fitted, it is the plain fit.

    Parameters
    ----------
    volumes_A3, pressures_GPa, stderr_GPa, B0_prime
        As in :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.
    averaged_ps : (n,), optional
        Time that each pressure is averaged over; errors are taken as given where it is not.

    Raises
    ------
    InputError
        As :func:`~mlmd.stages.volume.birch_murnaghan.fit_birch_murnaghan`.
    """
    volumes, pressures, errors, margin = checked_points(volumes_A3, pressures_GPa, stderr_GPa)
    plain = fit_birch_murnaghan(volumes, pressures, errors, B0_prime=B0_prime)
    bracket = tightest_bracket(volumes, pressures, margin)
    if B0_prime is None or errors is None or bracket is None:
        return plain
    missing = _missing_error(volumes, errors, averaged_ps)
    (V0, B0), best = _first_guess(volumes, pressures, bracket), plain
    for _ in range(_ROUNDS):
        away = np.abs(np.log(volumes / V0))
        fit = fit_birch_murnaghan(
            volumes,
            pressures,
            errors,
            B0_prime=B0_prime,
            B0_prime_stderr=B0_PRIME_STDERR,
            misfit_GPa=np.hypot(missing, away * np.maximum(away * B0, np.abs(pressures))),
        )
        if fit.V0_A3 is None or fit.B0_GPa is None:
            break
        V0, B0, best = fit.V0_A3, fit.B0_GPa, fit
    return best


def _missing_error(
    volumes: FloatArray, errors: FloatArray, averaged_ps: ArrayLike | None
) -> FloatArray:
    """Return what errors lack, in quadrature, of what runs at neighbouring volumes have."""
    if averaged_ps is None:
        return np.zeros_like(errors)
    times = np.asarray(averaged_ps, dtype=float)
    weights = np.exp(-0.5 * (np.log(volumes[:, None] / volumes) / _NEIGHBOUR) ** 2) * times**2
    mean_log = weights @ np.log(errors**2 * times) / weights.sum(axis=1)
    usual = np.exp(mean_log + _LOG_BIAS) / times
    missing: FloatArray = np.sqrt(np.maximum(usual - errors**2, 0.0))
    return missing


def _first_guess(
    volumes: FloatArray, pressures: FloatArray, bracket: tuple[float, float]
) -> tuple[float, float]:
    """V0 in the middle of the bracket, B by what is nearest to it but far enough for a slope."""
    V0 = math.sqrt(bracket[0] * bracket[1])
    away = np.log(V0 / volumes)
    far = np.abs(away) >= min(_CHORD, float(np.abs(away).max()))
    nearest = np.argsort(np.abs(away[far]))[:3]
    slopes = (pressures[far] / away[far])[nearest]
    B0 = float(np.median(slopes))
    return V0, B0 if B0 > 0 else float(slopes.max())
