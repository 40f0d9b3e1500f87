"""Diffusivity from overlapping blocks along each axis, as mpmorph has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate
from mlmd.analysis.diffusion.estimators.options import BlocksOptions
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.errors import InputError
from mlmd.numerics.student import independent_mean
from mlmd.numerics.weighted_line import weighted_line

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.trajectory.trajectory import Trajectory


def blocks(
    trajectory: Trajectory,
    species: str,
    settings: DiffusivitySettings,
    msd: MeanSquaredDisplacement,
) -> Estimate:
    """Ordinary lines through the squared displacements of blocks from one origin each.

    To compare with published numbers. Blocks of ``corr_t * block_l`` frames start every
    ``corr_t`` frames after ``skip_first``; the line starts at ``l_lim`` frames; D along an axis is
    half the slope, averaged over blocks. The original removes no drift: give ``drift="none"``.
    It takes displacements along the cell vectors, which is the same in a rectangular cell only.

    Parameters
    ----------
    trajectory, species
        What is measured.
    settings
        Uses ``options`` (:class:`BlocksOptions`), ``drift`` and ``mobile``.
    msd
        Gives the time between frames.

    Returns
    -------
    Estimate
        With an error only where the blocks do not overlap (``block_l`` 1): it is then that of
        independent windows. ``details["D_std_cm2_s"]`` is the standard deviation over the blocks
        that is published, which is no standard error.

    Raises
    ------
    InputError
        If no block fits, or less than three lags are fitted.

    References
    ----------
    M. Aykol, S. S. Dwaraknath, W. Sun, K. A. Persson, Sci. Adv. 4, eaaq0148 (2018).
    DOI 10.1126/sciadv.aaq0148
    """
    options = settings.options_of(BlocksOptions)
    walkers = Walkers.of(trajectory, species, settings.drift, settings.mobile, settings.atoms)
    width = options.corr_t * options.block_l
    spare = len(trajectory) - options.skip_first - width
    if spare < 0 or width - options.l_lim < 3:
        raise InputError(
            f"{options} asks for {options.skip_first + width} frames and fits the last "
            f"{width - options.l_lim} of a block; {trajectory.source} has {len(trajectory)}: "
            "expected at most that many, and at least 3 in the fit"
        )
    interval_ps = msd.interval_fs / 1000.0
    curves_A2 = []
    for block in range(spare // options.corr_t + 1):
        first = options.skip_first + block * options.corr_t
        # The original's later blocks count from the frame before their first.
        origin = max(options.skip_first, first - 1)
        moved_A = walkers.at(np.arange(first, first + width)) - walkers.at(np.array([origin]))
        curves_A2.append((moved_A**2).mean(axis=1))
    curves = np.array(curves_A2)
    lag_ps = np.arange(width) * interval_ps
    fitted = slice(options.l_lim, width)
    slopes = np.array(
        [
            [weighted_line(lag_ps[fitted], axis).slope for axis in curve[fitted].T]
            for curve in curves
        ]
    )
    along = slopes / 2.0 * A2_PS_IN_CM2_S
    values = along.mean(axis=1)
    mean = independent_mean(values)
    total = curves.sum(axis=2)
    independent = options.block_l == 1
    line = weighted_line(lag_ps[fitted], total.mean(axis=0)[fitted])
    return Estimate(
        D_cm2_s=mean.mean,
        D_stderr_cm2_s=mean.stderr if independent else None,
        D_interval68_cm2_s=mean.interval68 if independent else None,
        D_axes_cm2_s=along.mean(axis=0),
        fit_ps=(float(lag_ps[fitted][0]), float(lag_ps[-1])),
        window_ps=float(lag_ps[-1]),
        n_windows=len(values),
        df=float(len(values) - 1),
        window_D_cm2_s=values,
        lag_ps=lag_ps,
        window_msd_A2=total,
        intercept_A2=line.intercept,
        details={"D_std_cm2_s": float(values.std())},
    )
