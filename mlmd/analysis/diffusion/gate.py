"""Is what moves diffusing, or does it only vibrate? And has it moved enough to tell how fast?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlmd.numerics.weighted_line import weighted_line

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


MSD_REQUIRED_A2 = 4.5
"""He et al. fit only where the MSD exceeds half the square of a 3 A jump."""

SLOPE_RANGE = (0.5, 1.5)
"""Accepted exponent of MSD ~ t^n: nearer to diffusion, 1, than to vibration, 0, or flight, 2."""

JUMP_LENGTH_A = 3.0
"""Length of a jump by which He et al. count jumps."""

_POINTS = 20
_LONGEST = 1000.0  # times: a motion that would need more is not said to need any length

MotionVerdict = Literal["diffusive", "localised", "subdiffusive", "too_short"]
"""What the motion is: also ``localised`` (it stays where it is: vibration, rotation, a cage),
``subdiffusive`` (it goes far, and ever more slowly), ``too_short`` (a longer run can tell)."""


@dataclass(frozen=True)
class Motion:
    """Verdict on a mean squared displacement, with the numbers it rests on.

    Attributes
    ----------
    verdict : {"diffusive", "localised", "subdiffusive", "too_short"}
        ``diffusive`` where all criteria are met.
    msd_reached_A2 : float
        Largest MSD within the range that is judged, over all time origins.
    log_log_slope : float or None
        Exponent of MSD ~ t^n in that range; None where the MSD vanishes there.
    n_jumps : float
        Jumps of 3 A that all atoms together have made by that MSD: N max(MSD) / (3 A)^2.
    relative_deviation : float or None
        Relative standard deviation that He et al. found for so many jumps,
        3.43 / sqrt(n_jumps) + 0.04: a rule of thumb beside the error of the estimator. None
        without a jump.
    reason : str
        The verdict in words.
    needs_times : float or None
        How many times longer a run would meet the criteria if the motion went on as it does, MSD
        ~ t^n, where it is too short; None where that says nothing.
    msd_required_A2, slope_range
        The thresholds.
    """

    verdict: MotionVerdict
    msd_reached_A2: float
    log_log_slope: float | None
    n_jumps: float
    relative_deviation: float | None
    reason: str
    needs_times: float | None = None
    msd_required_A2: float = MSD_REQUIRED_A2
    slope_range: tuple[float, float] = SLOPE_RANGE

    @property
    def is_diffusive(self) -> bool:
        """Whether all criteria are met."""
        return self.verdict == "diffusive"

    def to_dict(self) -> dict[str, float | list[float] | None]:
        """Return the numbers as plain types for JSON."""
        return {
            "msd_reached_A2": self.msd_reached_A2,
            "msd_required_A2": self.msd_required_A2,
            "log_log_slope": self.log_log_slope,
            "slope_range": list(self.slope_range),
            "n_jumps": self.n_jumps,
            "relative_deviation": self.relative_deviation,
        }


def judge_motion(lag_ps: FloatArray, msd_A2: FloatArray, n_atoms: int) -> Motion:
    """Judge whether a mean squared displacement is that of diffusion.

    Diffusive means that the MSD reaches 4.5 A^2 [1]_ and grows as t^n with n between 0.5 and
    1.5: nearer to diffusion (1) than to vibration (0) or free flight (2), and that there were
    more than 12 jumps: below, the relative deviation exceeds 1. The exponent is the
    slope of an ordinary straight line through ln MSD against ln t
    at up to 20 lags evenly spaced in ln t: every part of a decade counts alike, while the
    noisy long lags, which are most of the points, do not outvote the rest.

    Parameters
    ----------
    lag_ps, msd_A2 : (n,)
        The range that is judged of an MSD over all time origins.
    n_atoms
        Atoms that the MSD was averaged over.

    Notes
    -----
    Free walkers lie well inside the band: 95 % of runs of 8 atoms over one fit range between
    0.8 and 1.2. It is wide for the sake of cages: an MSD of c + 6 D t is diffusion, the line's
    intercept takes up the cage c, and yet its exponent in a fit from 1 to 15 is 0.82, 0.71,
    0.56 and 0.51 where c is 0.05, 0.1, 0.2 and 0.25 of the 6 D t at the end. Above that the
    run is too short to tell.

    References
    ----------
    .. [1] X. He, Y. Zhu, A. Epstein, Y. Mo, npj Comput. Mater. 4, 18 (2018).
       DOI 10.1038/s41524-018-0074-y
    """
    reached = float(msd_A2.max())
    slope = _exponent(lag_ps, msd_A2)
    n_jumps = n_atoms * reached / JUMP_LENGTH_A**2
    deviation = 3.43 / math.sqrt(n_jumps) + 0.04 if n_jumps > 0 else None
    low, high = SLOPE_RANGE
    verdict: MotionVerdict = "too_short"
    if reached < MSD_REQUIRED_A2:
        reason = f"MSD reaches {reached:.3g} A^2, below {MSD_REQUIRED_A2:g}"
        if slope is None or slope < low:
            verdict = "localised"
    elif slope is None or not low <= slope <= high:
        shown = "undefined" if slope is None else f"{slope:.2f}"
        reason = f"log-log slope is {shown}, outside {low:g} to {high:g}"
        if slope is not None and slope < low:
            verdict = "subdiffusive"
    elif deviation is None or deviation >= 1.0:
        reason = f"{n_jumps:.2g} jumps of {JUMP_LENGTH_A:g} A in all, too few to tell D from 0"
    else:
        verdict = "diffusive"
        reason = f"MSD reaches {reached:.3g} A^2, log-log slope {slope:.2f}"
    needs = _needs(slope, reached, n_atoms) if verdict == "too_short" else None
    return Motion(verdict, reached, slope, n_jumps, deviation, reason, needs)


def _needs(slope: float | None, reached_A2: float, n_atoms: int) -> float | None:
    """How many times longer an MSD ~ t^slope takes to what is required; None where not known."""
    low, high = SLOPE_RANGE
    if slope is None or not low <= slope <= high or reached_A2 <= 0:
        return None
    fewest_jumps = (3.43 / (1.0 - 0.04)) ** 2
    required_A2 = max(MSD_REQUIRED_A2, fewest_jumps * JUMP_LENGTH_A**2 / n_atoms)
    times = float((required_A2 / reached_A2) ** (1.0 / slope))
    return times if 1.0 < times <= _LONGEST else None


def _exponent(lag_ps: FloatArray, msd_A2: FloatArray) -> float | None:
    """Slope of ln MSD against ln t at lags evenly spaced in ln t."""
    start = int(np.searchsorted(lag_ps, 0.0, side="right"))  # lag 0 has no logarithm
    if len(lag_ps) - start < 2:
        return None
    wanted = np.geomspace(lag_ps[start], lag_ps[-1], _POINTS)
    chosen = np.unique(np.clip(np.searchsorted(lag_ps, wanted), start, len(lag_ps) - 1))
    values = msd_A2[chosen]
    if (values <= 0).any():
        return None
    return weighted_line(np.log(lag_ps[chosen]), np.log(values)).slope
