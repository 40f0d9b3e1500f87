"""Diffusivity by generalised least squares with the full covariance of the MSD."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate, check_lags
from mlmd.analysis.diffusion.estimators.gls_line import (
    FINE,
    GlsLine,
    LagGrid,
    fit_gls_line,
    fourth_cumulant_A4,
)
from mlmd.analysis.diffusion.estimators.interval import diffusion_interval
from mlmd.analysis.diffusion.scatter import Scatter, scatter
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.trajectory.trajectory import Trajectory


FEWEST_FRAMES = 6

_LEFT_A2 = 1.8
"""An atom has left the cage of its neighbours when it has moved by this MSD, a fifth of a jump of
3 A squared: F_s at 2 pi / 3 A has then fallen to 1/e, in ordinary and in supercooled liquids, and
the line is straight within 2 %."""

_FIRST = (32, 16)
"""The first lag is the time that takes, but at least the first and at most the second part of the
run: the later the line begins the less bias is left, and the more noise comes in."""

_LATEST = 4
"""Times what it takes to leave the cage: beyond it a later first lag adds noise only."""

_REACH = 2
"""Last lag over the first. With the noise of collective motion longer lags add nothing: measured on
liquids, reaches of 2, 3, 4, 8 give the same standard deviation within 3 %."""


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
    cumulant of jumps. Generalised least squares with it gives the weights of the points.

    *First lag.* The walk need not be one from the first frame on. The line starts at the lag at
    which atoms have left the cage of their neighbours, an MSD of 1.8 A^2; at least 1/32 and at
    most 1/16 of the run, and at most four times that lag. It is a property of the material, not
    of the noise. ``fit_ps`` sets it by hand.

    *Error.* The weights say which sum of squared displacements D is; how much it varies is read
    from the run itself, over blocks of time and over atoms
    (:func:`mlmd.analysis.diffusion.scatter.scatter`), with Student's t. So collective motion and
    atoms that stay fast or slow are always part of it. What is left of the bias of too early a
    first lag is added: where the slope from twice as late a lag is lower by :math:`\delta`, with a
    standard error s, it is :math:`\delta^3 / (\delta^2 + 4 s^2)`, which is :math:`\delta` where
    that is significant and next to nothing where it is noise. The interval is that of
    chi-squared, hence asymmetric for short runs: an error that grows with D.

    *What it covers*: the tables of docs/physics.md, on liquids, supercooled liquids, random walks,
    hopping and lattice gases. *What it does not*: rates that change more slowly than the run
    lasts, a run that has not equilibrated, and everything that the force field has wrong.

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
        If there are fewer than six frames, or fewer than three lags in ``fit_ps``.

    References
    ----------
    J. T. Bullerjahn, S. von Buelow, G. Hummer, J. Chem. Phys. 153, 024116 (2020).
    DOI 10.1063/5.0008312, arXiv:2003.09193
    """
    walkers = Walkers.of(trajectory, species, settings.drift, settings.mobile, settings.atoms)
    interval_ps = msd.interval_fs / 1000.0
    if settings.fit_ps is None:
        grid = _chosen(trajectory, msd)
    else:
        grid = _given(msd, settings.fit_ps, trajectory)
    line = _line(walkers, msd, grid)
    lags = grid.frames
    to_D = A2_PS_IN_CM2_S / (2.0 * grid.first * interval_ps)
    D = line.step_A2 * to_D
    found = scatter(walkers, lags, line.weights * (to_D / 3.0))
    bias = _bias(walkers, msd, line, D, found)
    return Estimate(
        D_cm2_s=D,
        D_stderr_cm2_s=math.sqrt(found.variance + bias**2),
        D_interval68_cm2_s=diffusion_interval(D, found.variance, bias**2, df=found.df),
        D_axes_cm2_s=to_D * (line.weights @ msd.msd_axes_A2[lags]),
        fit_ps=(float(lags[0]) * interval_ps, float(lags[-1]) * interval_ps),
        n_windows=found.n_blocks,
        df=found.df,
        lag_ps=msd.lag_ps,
        window_msd_A2=msd.msd_A2[None],
        intercept_A2=3.0 * line.intercept_A2,
        details={
            "n_lags": len(lags),
            "collective": found.collective,
            "bias_cm2_s": bias,
        },
    )


def _chosen(trajectory: Trajectory, msd: MeanSquaredDisplacement) -> LagGrid:
    """Lags from that at which atoms have left their cage."""
    steps = len(trajectory) - 1
    if steps + 1 < FEWEST_FRAMES:
        raise InputError(
            f"{msd.source} has {len(trajectory)} frames; the estimator 'gls' expects at least "
            f"{FEWEST_FRAMES}: run longer, or record more often"
        )
    beyond = np.flatnonzero(msd.msd_A2[: steps // 2] >= _LEFT_A2)
    leaving = float(steps) / 2.0
    if len(beyond):
        last = int(beyond[0])
        rise = msd.msd_A2[last] - msd.msd_A2[last - 1]
        leaving = last - float((msd.msd_A2[last] - _LEFT_A2) / rise)
    earliest, latest = (steps / part for part in _FIRST)
    first = max(1, round(min(max(earliest, leaving), _LATEST * leaving, latest)))
    if first > 1:  # so that one and a half times it is a lag too, also where origins are coarser
        first = -(-first // 4) * 4 if first > FINE else first + first % 2
    return LagGrid.of(first, max(_REACH, 4 - first) * first)


def _bias(
    walkers: Walkers, msd: MeanSquaredDisplacement, line: GlsLine, D: float, found: Scatter
) -> float:
    """What a line that starts twice as late says of the bias that is left, in the unit of D."""
    grid = line.grid
    longest = min(2 * int(grid.frames[-1]), (len(walkers) - 1) // 2)
    later = LagGrid.of(2 * grid.first, longest)
    if len(later.lags) < 2 or D <= 0:
        return 0.0
    other = _line(walkers, msd, later)
    fall = D - D * (other.step_A2 / later.first) / (line.step_A2 / grid.first)
    if fall <= 0:
        return 0.0
    # The later slope is less precise by what the model of the walk says.
    ratio = other.step_variance_A4 / line.step_variance_A4 * (grid.first / later.first) ** 2
    return float(fall**3 / (fall**2 + 4.0 * ratio * found.variance))


def _given(
    msd: MeanSquaredDisplacement, fit_ps: tuple[float, float], trajectory: Trajectory
) -> LagGrid:
    """Lags between the given ones."""
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
    return grid


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
