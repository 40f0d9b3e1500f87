"""A covariance of ln D that is a straight line in 1/(kB T), line by line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import MissingExtraError

try:
    from sklearn.gaussian_process.kernels import Hyperparameter, Kernel
except ImportError as error:
    raise MissingExtraError("scikit-learn", "model") from error

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


AMPLITUDES = (0.5, 1.0, 0.5, 0.1, 0.1, 0.3, 0.1)
_CONSTANT = 0.1
_AMPLITUDE_BOUNDS, _LENGTH_BOUNDS = (1e-6, 1e3), (0.05, 50.0)
_NOISE_BOUNDS, _GROWTH_BOUNDS = (1e-5, 10.0), (0.1, 20.0)
_FARTHEST = 2.0


class ArrheniusKernel(Kernel):
    r"""Covariance of :math:`y = a(x) + b(x) t` with noise that depends on t.

    Prefactor a and slope b are functions of the features x, and t is the standardised 1/(kB T).
    Each is the sum of a smooth function (radial basis functions), a linear one, and one that is
    linear in what a composition is made of:

    .. math::
        k = c + A_0 t t' + (A_1 + A_2 t t')\, e^{-|x - x'|^2 / (2 m l^2)}
            + (A_3 + A_4 t t')\, x \cdot x' / m + (A_5 + A_6 t t')\, z \cdot z'
            + s \sigma^2 g^t \delta

    with c = 0.1, m the number of features and s the noise scale of a row. Where all t are zero
    (activation energies) it is a covariance of a alone. The noise grows no further than to
    t = 2 and falls no further than to -2: how it would go on is not known, and extrapolated to
    room temperature the power would say that nothing is known there.

    Parameters
    ----------
    n_features : int
        Number of columns x. Before them comes t; after them come the columns z of the
        composition, and the noise scale s last.
    amplitudes : sequence of 7 floats
        A_0 to A_6.
    length_scale, noise, noise_growth : float
        l, sigma^2 and g.
    """

    def __init__(
        self,
        n_features: int,
        amplitudes: Sequence[float] = AMPLITUDES,
        length_scale: float = 1.0,
        noise: float = 0.03,
        noise_growth: float = 2.5,
    ) -> None:
        self.n_features = n_features
        self.amplitudes = amplitudes
        self.length_scale = length_scale
        self.noise = noise
        self.noise_growth = noise_growth

    @property
    def hyperparameter_amplitudes(self) -> Hyperparameter:
        """A_0 to A_6."""
        return Hyperparameter("amplitudes", "numeric", _AMPLITUDE_BOUNDS, len(AMPLITUDES))

    @property
    def hyperparameter_length_scale(self) -> Hyperparameter:
        """Length of the smooth functions."""
        return Hyperparameter("length_scale", "numeric", _LENGTH_BOUNDS)

    @property
    def hyperparameter_noise(self) -> Hyperparameter:
        """Variance of the noise where t is zero."""
        return Hyperparameter("noise", "numeric", _NOISE_BOUNDS)

    @property
    def hyperparameter_noise_growth(self) -> Hyperparameter:
        """How much more variance the noise has where t is greater by one."""
        return Hyperparameter("noise_growth", "numeric", _GROWTH_BOUNDS)

    def __call__(
        self, X: FloatArray, Y: FloatArray | None = None, eval_gradient: bool = False
    ) -> Any:
        """Return the covariance of rows, and its derivatives by theta where wanted.

        Between rows and others, Y, there is no noise and no derivative, as scikit-learn has it.
        """
        other = X if Y is None else Y
        tt, smooth, squared, linear, elements = self._parts(X, other)
        terms = [tt]
        for part in (smooth, linear, elements):
            terms += [part, part * tt]
        covariance = np.full_like(tt, _CONSTANT)
        for a, term in zip(self.amplitudes, terms, strict=True):
            covariance += a * term
        if Y is not None:
            return covariance
        noise = self.noise_of(X)
        covariance[np.diag_indices(len(X))] += noise
        if not eval_gradient:
            return covariance
        # By the logarithms, in the order of the names: amplitudes, length, noise, growth.
        gradient = np.empty((*covariance.shape, len(AMPLITUDES) + 3))
        for i, (a, term) in enumerate(zip(self.amplitudes, terms, strict=True)):
            gradient[..., i] = a * term
        gradient[..., -3] = (gradient[..., 1] + gradient[..., 2]) * squared
        gradient[..., -2] = np.diag(noise)
        gradient[..., -1] = np.diag(noise * _within_reach(X[:, 0]))
        return covariance, gradient

    def diag(self, X: FloatArray) -> FloatArray:
        """Return the variance of each row, its noise included."""
        t2, x, z = X[:, 0] ** 2, *self._split(X)
        A = self.amplitudes
        linear, elements = np.sum(x * x, axis=1) / self._m, np.sum(z * z, axis=1)
        variance: FloatArray = (
            _CONSTANT
            + A[0] * t2
            + (A[1] + A[2] * t2)
            + (A[3] + A[4] * t2) * linear
            + (A[5] + A[6] * t2) * elements
            + self.noise_of(X)
        )
        return variance

    def noise_of(self, X: FloatArray) -> FloatArray:
        """Return the variance of the noise of each row."""
        noise: FloatArray = self.noise * self.noise_growth ** _within_reach(X[:, 0]) * X[:, -1]
        return noise

    def is_stationary(self) -> bool:
        """Return whether it depends on differences only."""
        return False

    @property
    def _m(self) -> int:
        return max(self.n_features, 1)

    def _split(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        return X[:, 1 : 1 + self.n_features], X[:, 1 + self.n_features : -1]

    def _parts(
        self, X: FloatArray, Y: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        (x, z), (x2, z2) = self._split(X), self._split(Y)
        dot = x @ x2.T
        distance = np.sum(x * x, axis=1)[:, None] + np.sum(x2 * x2, axis=1) - 2 * dot
        squared = np.maximum(distance, 0) / (self._m * self.length_scale**2)
        tt = np.outer(X[:, 0], Y[:, 0])
        return tt, np.exp(-squared / 2), squared, dot / self._m, z @ z2.T


def _within_reach(t: FloatArray) -> FloatArray:
    return np.clip(t, -_FARTHEST, _FARTHEST)
