"""Is what moves diffusing at late times, or vibrating, rotating, slowing down? Can the run tell?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlmd.analysis.diffusion.units import JUMP_LENGTH_A
from mlmd.numerics.weighted_line import slope_weights

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.relaxation import Relaxation
    from mlmd.analysis.diffusion.rotation import Rotation
    from mlmd.arrays import FloatArray, IntArray


MSD_REQUIRED_A2 = 4.5
"""He et al. fit only where the MSD exceeds half the square of a 3 A jump."""

SLOPE_RANGE = (0.75, 1.5)
"""Accepted exponent of MSD ~ t^n at late lags. Diffusion after a cage of a third of what is reached
at the middle of the lags has 0.75; ions that only exchange sites within cages (ordered Li6PS5Cl)
0.5 to 0.65, single file 0.5, flight 2."""

RELAXATIONS_REQUIRED = 24.0
"""Relaxation times that a run must last. The rate of a viscous liquid fluctuates for as long as its
structure lives: relative standard deviations of D of 45, 30, 20 % at 5, 10, 20 relaxation times. Of
shorter runs those that pass would be the ones that happened to be fast."""

WELL_KNOWN = 0.16
"""Relative error of D, with its own uncertainty, below which ions diffuse independently of any
relaxation: many of them, of which each has moved a few times only."""

EARLY, LATE = (0.1, 0.25), (1.0 / 6.0, 0.5)
"""Lags, as parts of the run, over which the exponent is measured: the later tell more, the earlier
are better known."""

_POINTS = 12
_LONGEST = 1000.0  # times: a motion that would need more is not said to need any length
_STILL = 0.5  # exponent below which what has not gone far is said to stay where it is
_BOUND = 0.2  # exponent below which what has gone far is said to stay within bounds
_WANTED = 0.8  # exponent that a longer run is to reach

MotionVerdict = Literal["diffusive", "localised", "subdiffusive", "too_short"]
"""What the motion is: also ``localised`` (it stays where it is: vibration, rotation, a cage),
``subdiffusive`` (it goes far, and ever more slowly), ``too_short`` (a longer run can tell)."""


@dataclass(frozen=True)
class Exponent:
    """Exponent n of MSD ~ t^n over late lags, and its standard error."""

    value: float
    stderr: float | None = None


@dataclass(frozen=True)
class Motion:
    """Verdict on the late motion of one species, with the numbers it rests on.

    Attributes
    ----------
    verdict : {"diffusive", "localised", "subdiffusive", "too_short"}
        ``diffusive`` where all criteria are met.
    msd_reached_A2 : float
        Largest MSD up to half the run, over all time origins.
    log_log_slope : float or None
        Exponent of MSD ~ t^n from a tenth to a quarter of the run; None where the MSD vanishes.
    late : Exponent or None
        The same from a sixth to a half, with its error.
    relaxation : Relaxation or None
        Structural relaxation time, and how many of them the run lasts.
    n_jumps : float
        Jumps of 3 A that all atoms together have made by that MSD: N max(MSD) / (3 A)^2.
    relative_deviation : float or None
        Relative standard deviation that He et al. found for so many jumps,
        3.43 / sqrt(n_jumps) + 0.04: a rule of thumb beside the error of the estimator. None
        without a jump.
    reason : str
        The verdict in words.
    needs_times : float or None
        How many times longer a run would meet the criteria if the motion went on as it does; for
        ``subdiffusive``, at least. None where that says nothing.
    rotation : Rotation or None
        Groups that rotate in place.
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
    late: Exponent | None = None
    relaxation: Relaxation | None = None
    rotation: Rotation | None = None
    msd_required_A2: float = MSD_REQUIRED_A2
    slope_range: tuple[float, float] = SLOPE_RANGE

    @property
    def is_diffusive(self) -> bool:
        """Whether all criteria are met."""
        return self.verdict == "diffusive"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON."""
        late = self.late
        return {
            "msd_reached_A2": self.msd_reached_A2,
            "msd_required_A2": self.msd_required_A2,
            "log_log_slope": self.log_log_slope,
            "late_log_log_slope": None if late is None else late.value,
            "late_log_log_slope_stderr": None if late is None else late.stderr,
            "slope_range": list(self.slope_range),
            "n_jumps": self.n_jumps,
            "relative_deviation": self.relative_deviation,
            "rotates_with": None if self.rotation is None else self.rotation.partner,
        }


def late_lags(n_frames: int, part: tuple[float, float]) -> IntArray:
    """Lags in frames, evenly spaced in their logarithm, over a part of the run."""
    first, last = (max(1.0, share * (n_frames - 1)) for share in part)
    lags: IntArray = np.unique(np.geomspace(first, max(last, first), _POINTS).round().astype(int))
    return lags


def exponent_weights(lags: IntArray) -> FloatArray:
    """Return w with n = sum of w ln MSD, the slope of an ordinary line in ln t."""
    return slope_weights(np.log(lags.astype(float)))


def exponent(msd_A2: FloatArray, part: tuple[float, float]) -> float | None:
    """Exponent over a part of the run; None where the MSD vanishes there or has too few lags."""
    lags = late_lags(len(msd_A2), part)
    if len(lags) < 2 or (msd_A2[lags] <= 0).any():
        return None
    return float(exponent_weights(lags) @ np.log(msd_A2[lags]))


def judge_motion(
    msd_A2: FloatArray,
    n_atoms: int,
    *,
    late_stderr: float | None = None,
    relaxation: Relaxation | None = None,
    relative_stderr: float | None = None,
) -> Motion:
    """Judge whether a mean squared displacement is, at late lags, that of diffusion.

    Diffusive means that the MSD reaches 4.5 A^2 [1]_, that it grows as t^n with n between 0.75 and
    1.5 over lags from a tenth to a quarter of the run, and does not fall below 0.75 by more than
    its standard error from a sixth to a half; that there were more than 12 jumps, and that the run
    lasts 24 structural relaxation times, or D is known to 16 % anyway.

    Parameters
    ----------
    msd_A2 : (lags,)
        Over all time origins, at every frame from 0 to the length of the run.
    n_atoms
        Atoms that the MSD was averaged over.
    late_stderr
        Standard error of the exponent at the latest lags.
    relaxation
        Structural relaxation; not asked for where not given.
    relative_stderr
        Upper limit of the relative error of D.

    References
    ----------
    .. [1] X. He, Y. Zhu, A. Epstein, Y. Mo, npj Comput. Mater. 4, 18 (2018).
       DOI 10.1038/s41524-018-0074-y
    """
    half = max(1, (len(msd_A2) - 1) // 2)
    late = exponent(msd_A2, LATE)
    return judge(
        float(msd_A2[: half + 1].max()),
        exponent(msd_A2, EARLY),
        None if late is None else Exponent(late, late_stderr),
        n_atoms,
        relaxation,
        relative_stderr,
    )


def judge(
    reached_A2: float,
    early: float | None,
    late: Exponent | None,
    n_atoms: int,
    relaxation: Relaxation | None,
    relative_stderr: float | None,
) -> Motion:
    """Judge by the numbers that :func:`judge_motion` reads from one run, or those of several."""
    n_jumps = n_atoms * reached_A2 / JUMP_LENGTH_A**2
    deviation = 3.43 / math.sqrt(n_jumps) + 0.04 if n_jumps > 0 else None
    known = relative_stderr is not None and relative_stderr < WELL_KNOWN
    short = relaxation is not None and relaxation.relaxations < RELAXATIONS_REQUIRED and not known
    low, high = SLOPE_RANGE
    slack = 0.0 if late is None else late.stderr or 0.0
    verdict: MotionVerdict = "too_short"
    if reached_A2 < MSD_REQUIRED_A2:
        reason = f"MSD reaches {reached_A2:.3g} A^2, below {MSD_REQUIRED_A2:g}"
        if late is None or late.value < _STILL:
            verdict = "localised"
    elif early is None or late is None or not (low <= early <= high and late.value >= low - slack):
        shown = (
            "undefined" if early is None or late is None else f"{early:.2f}, later {late.value:.2f}"
        )
        reason = f"log-log slope is {shown}, outside {low:g} to {high:g}"
        if late is not None and late.value + 2.0 * slack < _BOUND:
            verdict, reason = "localised", f"MSD stays at {reached_A2:.3g} A^2, {reason}"
        elif early is not None and late is not None and early < low:
            verdict = "too_short" if late.value > _rising(early) else "subdiffusive"
    elif deviation is None or deviation >= 1.0:
        reason = f"{n_jumps:.2g} jumps of {JUMP_LENGTH_A:g} A in all, too few to tell D from 0"
    elif short and relaxation is not None:
        reason = f"{relaxation}, fewer than the {RELAXATIONS_REQUIRED:g} in which a rate evens out"
    else:
        verdict = "diffusive"
        reason = f"MSD reaches {reached_A2:.3g} A^2, log-log slope {early:.2f}"
        if relaxation is not None:
            reason += f", {relaxation}"
    needs = None
    if verdict in ("too_short", "subdiffusive"):
        needs = _needs(early, reached_A2, n_atoms, relaxation if short else None)
    return Motion(
        verdict, reached_A2, early, n_jumps, deviation, reason, needs,
        late=late, relaxation=relaxation,
    )  # fmt: skip


def _rising(early: float) -> float:
    """Late exponent half way between no change and that of diffusion after a cage.

    An MSD of c + 6 D t has the exponent 1 / (1 + x) with x = c / (6 D t), and t is that much
    later.
    """
    if early <= 0:
        return early
    later = math.sqrt(LATE[0] * LATE[1] / (EARLY[0] * EARLY[1]))
    return 0.5 * (early + 1.0 / (1.0 + (1.0 / early - 1.0) / later))


def upper_relative_stderr(relative: float, df: float) -> float:
    """Upper limit of 90 % of a relative error that few degrees of freedom give."""
    from scipy.special import chdtri

    return relative if math.isinf(df) else relative * math.sqrt(df / float(chdtri(df, 0.9)))


def _needs(
    slope: float | None, reached_A2: float, n_atoms: int, relaxation: Relaxation | None
) -> float | None:
    """How many times longer a run must be to meet every criterion; None where not known.

    An MSD of c + 6 D t has the exponent n where c = 6 D t (1/n - 1): it takes
    (1/n - 1) / (1/0.8 - 1) times longer to 0.8.
    """
    if slope is None or not 0.0 < slope <= SLOPE_RANGE[1] or reached_A2 <= 0:
        return None
    fewest_jumps = (3.43 / (1.0 - 0.04)) ** 2
    required_A2 = max(MSD_REQUIRED_A2, fewest_jumps * JUMP_LENGTH_A**2 / n_atoms)
    times = float((required_A2 / reached_A2) ** (1.0 / slope))
    if slope < _WANTED:
        times = max(times, (1.0 / slope - 1.0) / (1.0 / _WANTED - 1.0))
    if relaxation is not None:
        times = max(times, RELAXATIONS_REQUIRED / relaxation.relaxations)
    return times if 1.0 < times <= _LONGEST else None
