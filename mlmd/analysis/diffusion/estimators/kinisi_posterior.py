"""Diffusivity by the posterior of the package kinisi."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings, Estimate, check_lags
from mlmd.analysis.diffusion.estimators.gls import gls
from mlmd.analysis.diffusion.estimators.options import KinisiOptions
from mlmd.analysis.diffusion.estimators.windowed import axes_of_line
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.analysis.diffusion.walkers import Walkers
from mlmd.errors import MissingExtraError
from mlmd.numerics.student import ONE_SIGMA

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.msd import MeanSquaredDisplacement
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


_N_LAGS = 100  # the package's time grows with their square


def kinisi_posterior(
    trajectory: Trajectory,
    species: str,
    settings: DiffusivitySettings,
    msd: MeanSquaredDisplacement,
) -> Estimate:
    """Posterior of slope and intercept, sampled by kinisi from its own covariance of the MSD.

    The displacements that are handed over are ours: unwrapped, with the drift removed as
    ``drift`` says. Lags are at most 100, evenly spaced over the fit.

    Parameters
    ----------
    trajectory, species
        What is measured.
    settings
        Uses ``fit_ps`` (from the first lag that ``gls`` chooses to half of the run where not
        given), ``drift``, ``mobile`` and ``options`` (:class:`KinisiOptions`).
    msd
        Of these atoms, over all origins.

    Returns
    -------
    Estimate
        Mean, standard deviation and central 68.27 % of the samples.

    Raises
    ------
    MissingExtraError
        If the package is not installed.
    InputError
        If fewer than three lags are fitted.

    References
    ----------
    A. R. McCluskey, S. W. Coles, B. J. Morgan, J. Chem. Theory Comput. 21, 79 (2025).
    DOI 10.1021/acs.jctc.4c01249
    """
    if find_spec("kinisi") is None:
        raise MissingExtraError("kinisi", "kinisi")
    options = settings.options_of(KinisiOptions)
    interval_ps = msd.interval_fs / 1000.0
    fit_ps = settings.fit_ps
    if fit_ps is None:
        start_ps = gls(trajectory, species, settings, msd).fit_ps[0]
        fit_ps = (start_ps, max(trajectory.duration_ps / 2.0, 6.0 * start_ps))
    lags = _lags(fit_ps, interval_ps, len(trajectory))
    check_lags(fit_ps, len(lags), f"of {interval_ps:g}")
    walkers = Walkers.of(trajectory, species, settings.drift, settings.mobile, settings.atoms)
    slopes, intercepts = _posterior(walkers, lags, interval_ps, options)
    values = slopes / 6.0 * A2_PS_IN_CM2_S
    tail = 0.5 * (1.0 - ONE_SIGMA)
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return Estimate(
        D_cm2_s=float(values.mean()),
        D_stderr_cm2_s=float(values.std(ddof=1)),
        D_interval68_cm2_s=(float(low), float(high)),
        D_axes_cm2_s=axes_of_line(lags * interval_ps, msd.msd_axes_A2[lags]),
        fit_ps=(float(lags[0]) * interval_ps, float(lags[-1]) * interval_ps),
        df=np.inf,
        lag_ps=msd.lag_ps,
        window_msd_A2=msd.msd_A2[None],
        intercept_A2=float(intercepts.mean()),
        details={"n_lags": len(lags), "n_posterior": len(values)},
    )


def _lags(fit_ps: tuple[float, float], interval_ps: float, frames: int) -> IntArray:
    """Lags in frames, evenly spaced."""
    first = max(1, int(np.ceil(fit_ps[0] / interval_ps - 1e-6)))
    last = min(frames - 2, int(np.floor(fit_ps[1] / interval_ps + 1e-6)))
    return (
        np.unique(np.linspace(first, last, _N_LAGS).astype(int)) if last > first else np.array([])
    )


def _posterior(
    walkers: Walkers, lags: IntArray, interval_ps: float, options: KinisiOptions
) -> tuple[FloatArray, FloatArray]:
    """Samples of slope (A^2/ps) and intercept (A^2)."""
    scipp = import_module("scipp")  # untyped, and not installed everywhere
    diffusion, displacement = (
        import_module(f"kinisi.{name}") for name in ("diffusion", "displacement")
    )
    frames = np.arange(len(walkers))
    moved_A = walkers.at(frames[1:]) - walkers.at(frames[:1])
    given = SimpleNamespace(
        displacements=scipp.array(
            dims=["obs", "particle", "dimension"], values=moved_A, unit=scipp.units.angstrom
        ),
        dt_index=scipp.array(dims=["time interval"], values=lags),
        dt=scipp.array(dims=["time interval"], values=lags * interval_ps, unit="ps"),
        dimensionality=3 * scipp.units.dimensionless,
    )
    before = np.random.get_state()  # noqa: NPY002 - the package seeds the global generator
    try:
        fit = diffusion.Diffusion(displacement.calculate_msd(given, progress=False))
        fit.bayesian_regression(
            start_dt=given.dt["time interval", 0],
            n_samples=options.n_samples,
            progress=False,
            random_state=np.random.RandomState(options.seed),
        )
    finally:
        np.random.set_state(before)  # noqa: NPY002
    return np.asarray(fit.gradient.values), np.asarray(fit.intercept.values)
