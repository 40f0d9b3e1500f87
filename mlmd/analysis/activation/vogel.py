"""The Vogel-Fulcher-Tammann law, and whether points follow it rather than an Arrhenius law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.activation.points import check_errors, check_points
from mlmd.errors import InputError
from mlmd.numerics.exponential import fit_exponential

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray


FEWEST_TEMPERATURES = 5
"""With three parameters, four points and the small-sample correction leave nothing to judge by."""
HIGHEST_T0 = 0.98
"""Of the lowest temperature: at the temperature itself the law has a pole."""
STARTS = (0.0, 0.3, 0.6, 0.9)
_LARGEST = 300.0


@dataclass(frozen=True)
class VogelFulcherTammann:
    r"""Law :math:`D = D_0 \exp(-B / (T - T_0))`, beside the Arrhenius law of the same points.

    Attributes
    ----------
    D0_cm2_s : float
        Prefactor.
    B_K, T0_K : float
        Strength and divergence temperature in kelvin; :math:`T_0 = 0` is the Arrhenius law.
    chi2, arrhenius_chi2 : float
        Sums of squared residuals over the errors, of either law.
    delta_aicc : float
        AICc of the Arrhenius law minus that of this one: positive where this one is better.
    """

    D0_cm2_s: float
    B_K: float
    T0_K: float
    chi2: float
    arrhenius_chi2: float
    delta_aicc: float

    @property
    def is_better(self) -> bool:
        """Whether the data ask for the third parameter (AICc lower by two or more)."""
        return self.delta_aicc >= 2.0


def vogel_fulcher_tammann(
    temperatures_K: ArrayLike,
    D_cm2_s: ArrayLike,
    D_stderr_cm2_s: Sequence[float | None] | FloatArray,
) -> VogelFulcherTammann:
    r"""Fit the law by weighted least squares in D, and compare it with the Arrhenius law.

    :math:`T_0` lies between zero and the lowest temperature. The laws are compared by

    .. math:: \mathrm{AICc} = \chi^2 + 2 k + \frac{2 k (k + 1)}{n - k - 1}

    with k = 2 and 3 parameters and n points (Hurvich and Tsai, Biometrika 76, 297 (1989),
    doi:10.1093/biomet/76.2.297).

    Parameters
    ----------
    temperatures_K, D_cm2_s, D_stderr_cm2_s : (n,)
        Points at five different temperatures or more, with their standard errors.

    Raises
    ------
    InputError
        If there are fewer temperatures, or an error is not known.
    """
    T, D = check_points(temperatures_K, D_cm2_s)
    sigma = check_errors(D_stderr_cm2_s, D)
    n_different = len(set(T.tolist()))
    if n_different < FEWEST_TEMPERATURES or sigma is None:
        raise InputError(
            f"{n_different} temperatures {'without' if sigma is None else 'with'} errors were "
            f"given; a Vogel-Fulcher-Tammann law needs {FEWEST_TEMPERATURES} or more, with an "
            "error for each"
        )
    from scipy.optimize import least_squares

    arrhenius_chi2 = fit_exponential(1.0 / T, D, sigma).chi2
    lowest = float(T.min())

    def residuals(parameters: FloatArray) -> FloatArray:
        log_D0, B_K, T0_K = parameters
        exponent = np.clip(log_D0 - B_K / (T - T0_K), -_LARGEST, _LARGEST)
        return np.asarray((D - np.exp(exponent)) / sigma)

    bounds = ([-np.inf, -np.inf, 0.0], [np.inf, np.inf, HIGHEST_T0 * lowest])
    positive = D > 0
    fits = []
    for fraction in STARTS:
        T0_K = fraction * lowest
        # A straight line in ln D there; two points or more are positive in any sensible set.
        slope, log_D0 = np.polyfit(1.0 / (T[positive] - T0_K), np.log(D[positive]), 1)
        start = [log_D0, -slope, T0_K]
        fits.append(least_squares(residuals, start, bounds=bounds, x_scale=[1.0, 100.0, 100.0]))
    best = min(fits, key=lambda fit: float(fit.cost))
    log_D0, B_K, T0_K = (float(value) for value in best.x)
    chi2 = 2.0 * float(best.cost)
    n = len(T)
    return VogelFulcherTammann(
        D0_cm2_s=float(np.exp(log_D0)),
        B_K=B_K,
        T0_K=T0_K,
        chi2=chi2,
        arrhenius_chi2=arrhenius_chi2,
        delta_aicc=_aicc(arrhenius_chi2, 2, n) - _aicc(chi2, 3, n),
    )


def _aicc(chi2: float, k: int, n: int) -> float:
    return chi2 + 2 * k + 2 * k * (k + 1) / (n - k - 1)
