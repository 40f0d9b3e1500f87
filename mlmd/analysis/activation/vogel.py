"""The Vogel-Fulcher-Tammann law, and whether points follow it rather than an Arrhenius law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.activation.arrhenius import Arrhenius, arrhenius
from mlmd.analysis.diffusion.units import BOLTZMANN_EV_K
from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.analysis.activation.points import Values
    from mlmd.arrays import FloatArray


FEWEST_TEMPERATURES = 5
"""With three parameters, four points leave one degree of freedom to judge by."""
FALSE_ALARMS = 0.05
HIGHEST_T0 = 0.98
"""Of the lowest temperature: at the temperature itself the law has a pole."""
STARTS = (0.3, 0.45, 0.6, 0.75, 0.9)
"""T0 over the lowest temperature, of which the best is followed, beside the Arrhenius law."""
_LARGEST = 300.0


@dataclass(frozen=True, eq=False)
class VogelFulcherTammann:
    r"""Law :math:`D = D_0 \exp(-B / (T - T_0))`, beside the Arrhenius law of the same points.

    Attributes
    ----------
    D0_cm2_s : float
        Prefactor.
    B_K, T0_K : float
        Strength and divergence temperature in kelvin; :math:`T_0 = 0` is the Arrhenius law.
    chi2, arrhenius_chi2 : float
        Least deviance of either law: with known errors, the sum of squared residuals over them.
    p_value : float
        Probability that points of an Arrhenius law ask for a third parameter as much as these.
    delta_aicc : float
        AICc of the Arrhenius law minus that of this one (Hurvich and Tsai, Biometrika 76, 297
        (1989), DOI 10.1093/biomet/76.2.297). With six points or less it asks for far more than
        5 %: +2 is a p of 0.0003 with six.
    """

    D0_cm2_s: float
    B_K: float
    T0_K: float
    chi2: float
    arrhenius_chi2: float
    p_value: float
    delta_aicc: float

    @property
    def is_better(self) -> bool:
        """Whether the points ask for the third parameter, with 5 % of false alarms."""
        return self.p_value < FALSE_ALARMS


def vogel_fulcher_tammann(
    temperatures_K: ArrayLike,
    D_cm2_s: Values | ArrayLike,
    D_stderr_cm2_s: Values | FloatArray,
    *,
    df: Values | FloatArray | None = None,
    D_upper_bound_cm2_s: Values | FloatArray | None = None,
) -> VogelFulcherTammann:
    r"""Fit the law as :func:`arrhenius` fits its own, and compare the two.

    :math:`T_0` lies between zero and the lowest temperature. The deviance of the Arrhenius law is
    higher by :math:`\Delta`, which is a chi-squared of one degree of freedom, or 0 where
    the points bend the other way, each in half of the cases: :math:`p = P(\chi^2_1 > \Delta) / 2`.
    As with E_a, :math:`\Delta` is divided by chi2/df where this exceeds 1, so that errors that are
    too small are no curvature.

    Parameters
    ----------
    temperatures_K, D_cm2_s, D_stderr_cm2_s, df, D_upper_bound_cm2_s
        As :func:`arrhenius`: measured at four temperatures or more, bounds with them at five or
        more, an error for each.

    Raises
    ------
    InputError
        If there are fewer temperatures, or an error is not known.
    """
    return bent_law(
        arrhenius(
            temperatures_K,
            D_cm2_s,
            D_stderr_cm2_s,
            df=df,
            D_upper_bound_cm2_s=D_upper_bound_cm2_s,
        )
    )


def bent_law(straight: Arrhenius) -> VogelFulcherTammann:
    """Return the law of the same points as an Arrhenius law; see :func:`vogel_fulcher_tammann`."""
    from scipy.optimize import least_squares
    from scipy.special import chdtrc

    points, n = straight.points, len(straight.points.temperatures_K)
    different = [
        len(set(each.temperatures_K.tolist())) for each in (straight.measured, straight.points)
    ]
    if (
        different[0] < FEWEST_TEMPERATURES - 1
        or different[1] < FEWEST_TEMPERATURES
        or straight.chi2_per_df is None
    ):
        with_errors = "without" if straight.chi2_per_df is None else "with"
        raise InputError(
            f"{different[1]} temperatures {with_errors} errors were given, {different[0]} of them "
            f"with a D; a Vogel-Fulcher-Tammann law needs {FEWEST_TEMPERATURES} or more, with an "
            f"error for each, and D at {FEWEST_TEMPERATURES - 1}"
        )
    T, lowest = points.temperatures_K, float(points.temperatures_K.min())

    def residuals(law: FloatArray) -> FloatArray:
        exponent = np.clip(law[0] - law[1] / (T - law[2]), -_LARGEST, _LARGEST)
        return points.residuals(exponent, straight.fit)

    limits = ([-np.inf, -np.inf, 0.0], [np.inf, np.inf, HIGHEST_T0 * lowest])
    used = ~points.censored & (points.D_cm2_s > 0)
    starts = []
    for fraction in STARTS:
        T0_K = fraction * lowest
        # A straight line in ln D there; two points or more are positive in any sensible set.
        slope, log_D0 = np.polyfit(1.0 / (T[used] - T0_K), np.log(points.D_cm2_s[used]), 1)
        starts.append(np.array([log_D0, -slope, T0_K]))
    nearest = min(starts, key=lambda start: float((residuals(start) ** 2).sum()))
    as_straight = [np.log(straight.D0_cm2_s), straight.E_a_eV / BOLTZMANN_EV_K, 0.0]
    best = min(
        (
            least_squares(residuals, start, bounds=limits, x_scale=[1.0, 100.0, 100.0])
            for start in (nearest, as_straight)
        ),
        key=lambda fit: float(fit.cost),
    )
    log_D0, B_K, T0_K = (float(value) for value in best.x)
    straight_log_D = np.log(straight.D0_cm2_s) - straight.E_a_eV * points.beta
    straight_chi2 = float((points.residuals(straight_log_D, straight.fit) ** 2).sum())
    chi2 = 2.0 * float(best.cost)
    of_measured = float((best.fun[~points.censored] ** 2).sum())
    scatter = max(1.0, of_measured / (straight.df - 1))
    rise = max(0.0, straight_chi2 - chi2) / scatter
    return VogelFulcherTammann(
        D0_cm2_s=float(np.exp(log_D0)),
        B_K=B_K,
        T0_K=T0_K,
        chi2=chi2,
        arrhenius_chi2=straight_chi2,
        p_value=0.5 * float(chdtrc(1, rise)),
        delta_aicc=_aicc(straight_chi2, 2, n) - _aicc(chi2, 3, n),
    )


def _aicc(chi2: float, k: int, n: int) -> float:
    return chi2 + 2 * k + 2 * k * (k + 1) / (n - k - 1)
