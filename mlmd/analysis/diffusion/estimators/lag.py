"""Diffusivity from one long MSD: lags up to half the run, a line on their upper half."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate
from mlmd.analysis.diffusion.estimators.interval import diffusion_interval
from mlmd.analysis.diffusion.estimators.windowed import axes_of_line, fit_range
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.errors import InputError
from mlmd.numerics.displacement import all_origins_msd_atoms
from mlmd.numerics.weighted_line import slope_weights, weighted_line

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


_FEWEST_INTERVALS = 2  # below, the middle of the fit has no second interval to differ from
_ORIGINS_PER_INTERVAL = 16  # all would change the factor by 8 %, a tenth of its own scatter
_DF_PER_INTERVAL = 1.5
"""Degrees of freedom of a variance from overlapping intervals, for each interval: one and a half
times as many as from those that do not overlap (A. W. Lo, A. C. MacKinlay, Rev. Financ. Stud. 1, 41
(1988)); measured 1.3 to 2.1 on liquids and walks."""
_BYTES_OF_CURVES = 16 * 2**20


def lag(
    trajectory: Trajectory,
    species: str,
    settings: DiffusivitySettings,
    msd: MeanSquaredDisplacement,
) -> Estimate:
    r"""Straight line through the MSD over all origins, from a quarter to half of the run.

    The standard error of the line itself takes correlated points as independent and is worthless.
    The error is the scatter of the :math:`N` atoms, each with the slope :math:`s_i` of its own
    MSD, times what they have in common:

    .. math:: V = \kappa \frac{\sum_i (s_i - \bar s)^2}{N (N - 1)}, \qquad
        \kappa = N \frac{\mathrm{Var}_t\, \overline{q_i(t)}}
        {\overline{\mathrm{Var}_t\, q_i(t)}}, \qquad
        q_i(t) = |\mathbf r_i(t + h) - \mathbf r_i(t)|^2.

    The slopes carry everything that single atoms do, slow modes too. :math:`\kappa` is 1 for atoms
    that move independently, and the size of the groups that move as one otherwise (2.5 to 1.1 in
    ordinary liquids of 100 atoms at h of 1.5 to 40 ps, around ten in supercooled ones); it falls
    with the lag, and is thus taken at the middle of the fitted lags, :math:`h`. A run of length T
    has only two or three intervals of that length: :math:`\kappa` has 1.5 T/h degrees of freedom,
    and the interval is as wide as Student's t says. Without an error are one atom alone, and fits
    whose middle is beyond half of the run.

    Parameters
    ----------
    trajectory, species
        What was measured.
    settings
        Uses ``fit_ps`` (from a quarter to half of the run where not given).
    msd
        Of these atoms, over all origins.

    Raises
    ------
    InputError
        If fewer than three lags are fitted, or the fit ends behind the run.

    References
    ----------
    C. Lopez et al., Mater. Horiz. (2023), Methods. DOI 10.1039/d2mh01516a
    """
    half_ps = trajectory.duration_ps / 2.0
    fit_ps = settings.fit_ps or (half_ps / 2.0, half_ps)
    if fit_ps[1] > trajectory.duration_ps:
        raise InputError(
            f"a fit up to {fit_ps[1]:g} ps was given for {trajectory.source} of "
            f"{trajectory.duration_ps:g} ps; expected it to end within"
        )
    fitted = fit_range(msd.lag_ps, fit_ps)
    lag_ps = msd.lag_ps[fitted]
    line = weighted_line(lag_ps, msd.msd_A2[fitted])
    D = line.slope / 6.0 * A2_PS_IN_CM2_S
    walkers = Walkers.of(trajectory, species, settings.drift, settings.mobile, settings.atoms)
    middle = (fitted.start + fitted.stop - 1) // 2
    intervals = (len(trajectory) - 1) / middle
    stderr = interval = None
    df, details = 0.0, {}
    if walkers.n > 1 and intervals >= _FEWEST_INTERVALS:
        slopes = _slopes_of_atoms(walkers, fitted, lag_ps) / 6.0 * A2_PS_IN_CM2_S
        together = _in_common(walkers, middle)
        stderr = math.sqrt(together * float(slopes.var(ddof=1)) / walkers.n)
        # Two factors, each a chi-squared over its degrees of freedom: relative variances add.
        df = 1.0 / (1.0 / (walkers.n - 1) + 1.0 / (_DF_PER_INTERVAL * intervals))
        interval = diffusion_interval(D, stderr**2, 0.0, df=df)
        details = {"collective_factor": together}
    return Estimate(
        D_cm2_s=D,
        D_stderr_cm2_s=stderr,
        D_interval68_cm2_s=interval,
        D_axes_cm2_s=axes_of_line(lag_ps, msd.msd_axes_A2[fitted]),
        fit_ps=fit_ps,
        n_windows=math.floor(intervals),
        df=df,
        details=details,
        lag_ps=msd.lag_ps,
        window_msd_A2=msd.msd_A2[None],
        intercept_A2=line.intercept,
    )


def _slopes_of_atoms(walkers: Walkers, fitted: slice, lag_ps: FloatArray) -> FloatArray:
    """Slope of each atom's own MSD (A^2/ps), by the same line."""
    weights = slope_weights(lag_ps)
    last = fitted.stop - 1
    blocks = math.ceil(8 * fitted.stop * walkers.n / _BYTES_OF_CURVES)
    slopes = [
        weights
        @ all_origins_msd_atoms(
            walkers.positions_A, atoms=atoms, offset=walkers.offset_A, max_lag=last
        )[fitted]
        for atoms in np.array_split(walkers.atoms, min(blocks, walkers.n))
    ]
    return np.concatenate(slopes)


def _in_common(walkers: Walkers, lag: int) -> float:
    """Variance of the atoms' mean over that of independent atoms, of squares moved in a lag."""
    origins = np.arange(0, len(walkers) - lag, max(1, lag // _ORIGINS_PER_INTERVAL))
    squares_A2 = ((walkers.at(origins + lag) - walkers.at(origins)) ** 2).sum(axis=2)
    alone = float(squares_A2.var(axis=0).mean())
    return walkers.n * float(squares_A2.mean(axis=1).var()) / alone if alone > 0 else 1.0
