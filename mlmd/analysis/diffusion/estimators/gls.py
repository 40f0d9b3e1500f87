"""Diffusivity by generalised least squares with the full covariance of the MSD."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate, check_lags
from mlmd.analysis.diffusion.estimators.gls_line import GlsLine, LagGrid, fit_gls_line
from mlmd.analysis.diffusion.estimators.gls_scatter import (
    BlockScatter,
    block_scatter,
    fourth_cumulant_A4,
)
from mlmd.analysis.diffusion.estimators.interval import diffusion_interval
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.trajectory.trajectory import Trajectory


_LONGEST = 2  # lags reach to this part of the trajectory: beyond it there are few origins
_SIGNIFICANT = 0.01  # a straight line is refused below this probability
_CROOKED = 0.05  # a line so improbably crooked has its error widened
_SCATTERED = 0.1  # blocks that scatter so improbably much widen the error
_BURIED = 25.0  # a cage of more than so many steps asks for a longer first lag
_SAFETY = (3, 2)  # first lag over the shortest that passes: what is not seen yet biases
_REACH = 32  # longest lag over the first
_CHANGED = 3.5  # standard errors by which a later slope may differ
_HOPELESS = 25.0  # chi2 per degree of freedom that no scatter of blocks explains


@dataclass(frozen=True, eq=False)
class _Fit:
    """One line with what the data say about it."""

    line: GlsLine
    quality: float
    scatter: BlockScatter | None = None


def gls(
    trajectory: Trajectory,
    species: str,
    settings: DiffusivitySettings,
    msd: MeanSquaredDisplacement,
) -> Estimate:
    r"""Fit :math:`a^2 + 6 D t` with the covariance of the time-averaged MSD.

    The points of an averaged MSD share their data. Their covariance follows in closed form from
    the motion (:class:`mlmd.numerics.displacement_covariance.DisplacementCovariance`): random
    walk, vibration with the memory that the MSD itself shows below the first lag, and the fourth
    cumulant of jumps, which are few and therefore noisy. Generalised least squares with it gives
    the best linear estimate of D and its standard error from one trajectory.

    *First lag.* The walk need not be one from the first frame on. First lags are tried upwards
    until the line is straight by chi-squared (p >= 0.01), its steps show over the cage (intercept
    at most 25 steps), and later first lags do not change the slope by more than 3.5 standard
    errors; three times that lag is taken, if the run allows. ``fit_ps`` sets it by hand.

    *Error.* The model knows vibration, jumps and the length of the run, and takes atoms as
    independent. Motion that is collective shows in the scatter over 12 blocks of time: where it
    is improbably large (p < 0.1), the error is multiplied by it, with Student's t. A line that
    is not straight at any lag widens the error by sqrt(chi2/df). The interval is chi-squared
    for the part that grows with D, hence asymmetric for short runs of few atoms.

    *What it covers*, by synthetic motion of known D (tests/test_analysis_calibration.py,
    docs/images/diffusivity-calibration.png): random walks, with and without vibration; caged
    hopping down to two dozen jumps in all; atoms that move in groups (66 to 75 %). In an exclusion
    lattice gas, whose jumps back decay slowly, 57 to 73 % held the truth: too few.
    *What it does not*: correlations that last longer than a twelfth of the run, a run that has
    not equilibrated, atoms that would change between mobile and immobile sites in a longer run,
    and everything that the force field has wrong.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    species
        Chemical symbol of the diffusing atoms.
    settings
        Uses ``fit_ps``, ``drift`` and ``mobile``.
    msd
        Of these atoms, over all origins and at least half of the trajectory.

    Raises
    ------
    InputError
        If there are fewer than three lags.

    References
    ----------
    J. T. Bullerjahn, S. von Buelow, G. Hummer, J. Chem. Phys. 153, 024116 (2020).
    DOI 10.1063/5.0008312, arXiv:2003.09193
    """
    walkers = Walkers.of(trajectory, species, settings.drift, settings.mobile)
    interval_ps = msd.interval_fs / 1000.0
    fit = (
        _scan(walkers, msd)
        if settings.fit_ps is None
        else _given(walkers, msd, settings.fit_ps, trajectory)
    )
    line, grid = fit.line, fit.line.grid
    scatter = fit.scatter or block_scatter(walkers, line)
    to_D = A2_PS_IN_CM2_S / (2.0 * grid.first * interval_ps)
    D = line.step_A2 * to_D
    walk = line.walk_variance_A4 * to_D**2
    rest = max(0.0, line.step_variance_A4 - line.walk_variance_A4) * to_D**2
    scale, df = _widening(fit, scatter)
    lags = grid.frames
    return Estimate(
        D_cm2_s=D,
        D_stderr_cm2_s=scale * math.sqrt(walk + rest),
        D_interval68_cm2_s=diffusion_interval(D, walk, rest, scale=scale, df=df),
        D_axes_cm2_s=to_D * (line.weights @ msd.msd_axes_A2[lags]),
        fit_ps=(float(lags[0]) * interval_ps, float(lags[-1]) * interval_ps),
        n_windows=scatter.n_blocks,
        df=df,
        lag_ps=msd.lag_ps,
        window_msd_A2=msd.msd_A2[None],
        intercept_A2=3.0 * line.intercept_A2,
        details={
            "n_lags": len(lags),
            "quality": fit.quality,
            "chi2_per_df": line.chi2 / line.df,
            "error_scale": scale,
            "block_scatter": scatter.ratio,
        },
    )


def _widening(fit: _Fit, scatter: BlockScatter) -> tuple[float, float]:
    """Factor on the error of the model, and the degrees of freedom it is known with."""
    from scipy.special import chdtri

    scale2, df = 1.0, math.inf
    if scatter.n_blocks and scatter.ratio > chdtri(scatter.df, _SCATTERED) / scatter.df:
        scale2, df = scatter.ratio, scatter.df
    if fit.quality < _CROOKED and fit.line.chi2 > scale2 * fit.line.df:
        scale2, df = fit.line.chi2 / fit.line.df, float(fit.line.df)
    return math.sqrt(scale2), df


def _scan(walkers: Walkers, msd: MeanSquaredDisplacement) -> _Fit:
    """Fit from three times the shortest first lag that gives a straight line."""
    longest = len(walkers) // _LONGEST
    if longest < 3:
        raise InputError(
            f"{msd.source} has {len(walkers)} frames; the estimator 'gls' expects at least 6: run "
            "longer, or record more often"
        )
    grids = [LagGrid.of(first, min(longest, _REACH * first)) for first in _first_lags(longest)]
    lines = [_line(walkers, msd, grid) for grid in grids]
    for number, line in enumerate(lines):
        fit = _Fit(line, 0.0)
        change = _change(line, lines[number + 1 :])
        buried = line.intercept_A2 > _BURIED * max(line.step_A2, 0.0)
        if buried or change > _HOPELESS or line.chi2 > _HOPELESS * line.df:
            continue
        fit = _tested(walkers, line)
        if fit.quality < _SIGNIFICANT:
            continue
        if change <= 1.0 or change <= (fit.scatter or block_scatter(walkers, line)).ratio:
            break
    else:
        fit = _tested(walkers, fit.line)
    first = fit.line.grid.first
    later = [factor * first for factor in _SAFETY if 3 * factor * first <= longest]
    if later:
        grid = LagGrid.of(later[0], min(longest, _REACH * later[0]))
        return _tested(walkers, _line(walkers, msd, grid))
    return fit


def _change(line: GlsLine, later: list[GlsLine]) -> float:
    """Largest squared change of slope towards later first lags, over what may be.

    The difference from a later, less precise estimate has the difference of their variances
    (J. A. Hausman, Econometrica 46, 1251 (1978)).
    """
    D, variance = _per_frame(line)
    worst = 0.0
    for other in later:
        value, other_variance = _per_frame(other)
        if other_variance > variance:
            worst = max(worst, (value - D) ** 2 / (other_variance - variance))
    return worst / _CHANGED**2


def _per_frame(line: GlsLine) -> tuple[float, float]:
    """Slope for each frame, and its variance."""
    first = line.grid.first
    return line.step_A2 / first, line.step_variance_A4 / first**2


def _first_lags(longest: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, 24 ... frames, as far as three lags fit in."""
    lags, power = [1], 2
    while 3 * power <= longest:
        lags += [power, 3 * power // 2]
        power *= 2
    return [lag for lag in lags if lag == 1 or 3 * lag <= longest]


def _given(
    walkers: Walkers,
    msd: MeanSquaredDisplacement,
    fit_ps: tuple[float, float],
    trajectory: Trajectory,
) -> _Fit:
    """Fit between the given lags."""
    interval_ps = msd.interval_fs / 1000.0
    first = max(1, math.ceil(fit_ps[0] / interval_ps - 1e-6))
    last = math.floor(fit_ps[1] / interval_ps + 1e-6)
    if last >= len(trajectory) - 1:
        raise InputError(
            f"a fit from {fit_ps[0]:g} to {fit_ps[1]:g} ps was given for {trajectory.source} of "
            f"{trajectory.duration_ps:g} ps; expected it to end before that"
        )
    grid = LagGrid.of(first, last)
    check_lags(fit_ps, len(grid.lags), f"that are multiples of {grid.first * interval_ps:g}")
    return _tested(walkers, _line(walkers, msd, grid))


def _line(walkers: Walkers, msd: MeanSquaredDisplacement, grid: LagGrid) -> GlsLine:
    """Fit one line."""
    first = msd.msd_axes_A2[grid.first]
    axes = float(first.sum() ** 2 / max(float((first**2).sum()), 1e-300)) or 3.0
    return fit_gls_line(
        msd.msd_A2 / 3.0,
        grid,
        n_frames=len(walkers),
        n_atoms=walkers.n,
        axes=axes,
        fourth_cumulant_A4=fourth_cumulant_A4(walkers, grid),
    )


def _tested(walkers: Walkers, line: GlsLine) -> _Fit:
    """Hold the chi-squared of a line against what the blocks of time allow."""
    from scipy.special import chdtrc, fdtrc

    quality = float(chdtrc(line.df, line.chi2))
    if quality >= _SIGNIFICANT:
        return _Fit(line, quality)
    scatter = block_scatter(walkers, line)
    if scatter.n_blocks and scatter.ratio > 1:
        relative = line.chi2 / line.df / scatter.ratio
        quality = float(fdtrc(line.df, scatter.df, relative))
    return _Fit(line, quality, scatter)
