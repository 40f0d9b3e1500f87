"""A Gaussian process that labels far off the mark do not pull with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.model.arrhenius_kernel import ArrheniusKernel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.gaussian_process import GaussianProcessRegressor

    FloatArray = NDArray[np.floating[Any]]

_JITTER = 1e-8
_STUDENT = 4.0
_REWEIGHTINGS = 3
_FIRST_STEPS, _NEXT_STEPS = 60, 15


def fit_robust_process(
    features: FloatArray, t: FloatArray, composition: FloatArray, y: FloatArray, given: FloatArray
) -> tuple[GaussianProcessRegressor, FloatArray]:
    """Fit a process with `ArrheniusKernel` whose noise has the tails of Student's t.

    A label in twenty of molecular dynamics is off by several standard deviations (a melt that
    froze, an ion that never hopped). The noise of each row is scaled by
    (nu + r^2) / (nu + 1), with nu = 4 and r its residual, left out, in standard deviations: the
    expectation-maximisation step for t-distributed noise (Lange, Little and Taylor 1989,
    doi:10.1080/01621459.1989.10478852). Amplitudes, length and noise are the most likely ones.

    Parameters
    ----------
    features, composition : (n, m) and (n, k) array
        Scaled columns x and z of the kernel.
    t : (n,) array
        Standardised 1/(kB T); zeros where there is no temperature.
    y, given : (n,) array
        Labels, and how much each is to count (1 for all if they are alike).

    Returns
    -------
    process : sklearn.gaussian_process.GaussianProcessRegressor
        Predicts from what `process_inputs` makes.
    noise : (n,) array
        Variance of the noise of each label, in units of the variance of y.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor

    kernel: Any = ArrheniusKernel(features.shape[1])
    scale = 1 / given
    for i in range(1 + _REWEIGHTINGS):
        rows = process_inputs(features, t, composition, scale)
        steps = _limited(_NEXT_STEPS if i else _FIRST_STEPS)
        process = GaussianProcessRegressor(kernel, alpha=_JITTER, optimizer=steps, normalize_y=True)
        process.fit(rows, y)
        kernel = process.kernel_
        if i < _REWEIGHTINGS:
            residual_2 = _left_out_residuals(process) ** 2
            scale = (_STUDENT + residual_2) / (_STUDENT + 1) / given
    # Code that is no part of the model; a saved one would name it.
    process.optimizer = None
    return process, kernel.noise_of(rows)


def process_inputs(
    features: FloatArray,
    t: FloatArray,
    composition: FloatArray,
    scale: FloatArray | float = 1.0,
) -> FloatArray:
    """Return the columns that the kernel wants: t, x, z and the noise scale."""
    n = len(features)
    parts = (np.reshape(t, (n, 1)), features, composition, np.full((n, 1), 1.0) * _column(scale))
    return np.concatenate(parts, axis=1)


def _column(scale: FloatArray | float) -> FloatArray:
    return np.reshape(scale, (-1, 1))


def _left_out_residuals(process: GaussianProcessRegressor) -> FloatArray:
    """Return residuals of each row left out in turn, in their standard deviations.

    Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equation 5.12.
    """
    from scipy.linalg import cho_solve

    precision = np.diag(cho_solve((process.L_, True), np.eye(len(process.L_))))
    residual: FloatArray = np.ravel(process.alpha_) / np.sqrt(precision)
    return residual


def _limited(n_steps: int) -> Callable[[Any, FloatArray, FloatArray], tuple[FloatArray, float]]:
    """Return an optimiser that stops where further steps change nothing that is seen."""

    def optimise(objective: Any, start: FloatArray, bounds: FloatArray) -> tuple[FloatArray, float]:
        from scipy import optimize

        minimise: Any = optimize.minimize
        found = minimise(
            objective,
            start,
            method="L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": n_steps, "ftol": 1e-6},
        )
        return found.x, float(found.fun)

    return optimise
