"""Diffusivity from one long MSD: lags up to half the run, a line on their upper half."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate
from mlmd.analysis.diffusion.estimators.windowed import axes_of_line, fit_range
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.errors import InputError
from mlmd.numerics.weighted_line import weighted_line

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.trajectory.trajectory import Trajectory


def lag(
    trajectory: Trajectory,
    species: str,
    settings: DiffusivitySettings,
    msd: MeanSquaredDisplacement,
) -> Estimate:
    """Straight line through the MSD over all origins, from a quarter to half of the run.

    The two to four independent intervals of that length in a run leave nothing to estimate an
    error from, and the standard error of the line itself is worthless: none is given.

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
        If fewer than three lags are fitted.

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
    return Estimate(
        D_cm2_s=line.slope / 6.0 * A2_PS_IN_CM2_S,
        D_axes_cm2_s=axes_of_line(lag_ps, msd.msd_axes_A2[fitted]),
        fit_ps=fit_ps,
        lag_ps=msd.lag_ps,
        window_msd_A2=msd.msd_A2[None],
        intercept_A2=line.intercept,
    )
