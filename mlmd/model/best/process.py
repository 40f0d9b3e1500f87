"""A Gaussian process that labels far off the mark do not pull with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.model.best.kernel import ArrheniusKernel

if TYPE_CHECKING:
    from sklearn.gaussian_process import GaussianProcessRegressor

    from mlmd.arrays import FloatArray


_JITTER = 1e-8
_STUDENT = 4.0
_REWEIGHTINGS = 3
_FIRST_STEPS, _NEXT_STEPS = 60, 15


@dataclass(frozen=True, eq=False)
class RobustFit:
    """A fitted process, and what it says of the rows that it has learnt from.

    Attributes
    ----------
    process : sklearn.gaussian_process.GaussianProcessRegressor
        Predicts from what `process_inputs` makes.
    noise : (n,) array
        Variance of the noise of each label.
    left_out : (n,) array
        Label minus prediction without the row, all else the same.
    """

    process: GaussianProcessRegressor
    noise: FloatArray
    left_out: FloatArray


def fit_robust_process(
    features: FloatArray, t: FloatArray, composition: FloatArray, y: FloatArray, given: FloatArray
) -> RobustFit:
    """Fit a process with `ArrheniusKernel` whose noise has the tails of Student's t.

    Labels of molecular dynamics may be far off: a melt that froze, an ion that never hopped. The
    noise of each row is scaled by (nu + r^2) / (nu + 1), with nu = 4 and r how far the label is
    from the prediction without it, in standard deviations of a label that is not far off. That is
    the expectation-maximisation step for t-distributed noise (Lange, Little and Taylor 1989,
    doi:10.1080/01621459.1989.10478852), but for residuals of rows left out: those of rows learnt
    from are small where a row lies apart. Amplitudes, length and noise are the most likely ones
    with these scales.

    Parameters
    ----------
    features, composition : (n, m) and (n, k) array
        Scaled columns x and z of the kernel.
    t : (n,) array
        Standardised 1/(kB T); zeros where there is no temperature.
    y : (n,) array
        Labels of mean 0 and variance 1, for which the kernel has its bounds.
    given : (n,) array
        How much each is to count: above zero, 1 for all if they are alike.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor

    kernel: Any = ArrheniusKernel(features.shape[1])
    tail = np.ones(len(y))
    for i in range(1 + _REWEIGHTINGS):
        rows = process_inputs(features, t, composition, tail / given)
        steps = _limited(_NEXT_STEPS if i else _FIRST_STEPS)
        process = GaussianProcessRegressor(kernel, alpha=_JITTER, optimizer=steps, random_state=0)
        with warnings.catch_warnings():
            # An amplitude at its bound says that the kernel does not need that term.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(rows, y)
        kernel = process.kernel_
        noise, variance = kernel.noise_of(rows), 1 / _precision(process)
        left_out = np.ravel(process.alpha_) * variance
        if i < _REWEIGHTINGS:
            expected = variance - noise + noise / tail
            tail = (_STUDENT + left_out**2 / expected) / (_STUDENT + 1)
    # Code that is no part of the model; a saved one would name it.
    process.optimizer = None
    return RobustFit(process, noise, left_out)


def process_inputs(
    features: FloatArray,
    t: FloatArray,
    composition: FloatArray,
    scale: FloatArray | None = None,
) -> FloatArray:
    """Return the columns that the kernel wants: t, x, z and the noise scale, 1 if not given."""
    scale = np.ones(len(t)) if scale is None else scale
    return np.column_stack([t, features, composition, scale])


def _precision(process: GaussianProcessRegressor) -> FloatArray:
    """Return the diagonal of the inverse covariance K: 1 / variance of each row left out.

    The residual of a row left out is (K^-1 y) / diagonal (Rasmussen and Williams, Gaussian
    Processes for Machine Learning, 2006, equation 5.12).
    """
    from scipy.linalg import solve_triangular

    inverse = solve_triangular(process.L_, np.eye(len(process.L_)), lower=True)
    precision: FloatArray = np.sum(inverse**2, axis=0)
    return precision


def _limited(n_steps: int) -> Callable[[Any, FloatArray, FloatArray], tuple[FloatArray, float]]:
    """Return an optimiser that stops where further steps change nothing that is seen."""

    def optimise(objective: Any, start: FloatArray, bounds: FloatArray) -> tuple[FloatArray, float]:
        from scipy import optimize

        minimise: Any = optimize.minimize
        options = {"maxiter": n_steps, "ftol": 1e-6}
        found = minimise(
            objective, start, method="L-BFGS-B", jac=True, bounds=bounds, options=options
        )
        return found.x, float(found.fun)

    return optimise
