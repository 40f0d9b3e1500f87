"""Generalised least squares of a straight line through a mean squared displacement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.numerics.displacement_covariance import DisplacementCovariance

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.walkers import Walkers
    from mlmd.arrays import FloatArray, IntArray


# Lags in units of the first: enough for a walk that is buried in a cage of 25 of its steps.
_MULTIPLES = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_ITERATIONS = 30
FINE = 12  # a first lag of up to so many frames is not coarsened
_ORIGINS = 768  # as many as are looked at: more cost time and say little
_SAMPLES = 20_000  # atoms times origins, for the fourth cumulant
_COARSE = (4, 6, 8, 10, 12)  # otherwise there are so many origins within the first lag


@dataclass(frozen=True)
class LagGrid:
    """Lags, which are multiples of the first, and the origins that they are averaged over.

    Attributes
    ----------
    first : int
        First lag in frames.
    stride : int
        Frames between two origins, a divisor of ``first``.
    lags : (n,)
        Lags in strides.
    """

    first: int
    stride: int
    lags: IntArray

    @classmethod
    def of(cls, first: int, longest: int) -> LagGrid:
        """Lags from ``first`` (or just above) to at most ``longest`` frames.

        A few origins for each first lag tell as much as all of them: what is averaged over the
        rest is vibration.
        """
        stride = 1
        if first > FINE:
            fitting = [first // n for n in _COARSE if first % n == 0]
            stride = fitting[0] if fitting else -(-first // 4)
            first = first if fitting else 4 * stride
        multiples = list(_MULTIPLES)
        while multiples[-1] * first < longest:
            multiples += [1.5 * multiples[-1], 2 * multiples[-1]]
        frames = [m * first for m in multiples if m * first <= longest]
        lags = [int(lag) // stride for lag in frames if lag % stride == 0]
        return cls(first, stride, np.array(lags, dtype=int))

    @property
    def memory(self) -> int:
        """First lag in strides."""
        return self.first // self.stride

    @property
    def frames(self) -> IntArray:
        """Lags in frames."""
        return self.lags * self.stride


@dataclass(frozen=True, eq=False)
class GlsLine:
    """Straight line a2 + step2 t / first through the MSD of one axis (average over axes).

    Attributes
    ----------
    grid : LagGrid
        Lags of the fit.
    intercept_A2, step_A2 : float
        Static part and growth within one first lag.
    step_variance_A4 : float
        Variance of ``step_A2`` by the model.
    walk_variance_A4 : float
        The part of it that is the randomness of the walk itself, which grows with D^2.
    weights : (n,)
        ``step_A2`` is the sum of these times the MSD at the lags.
    chi2 : float
        Squared residuals over the covariance.
    squares_A4 : (n, n, s)
        Covariance of the squared displacements of one atom by shift, in strides.
    geometry : DisplacementCovariance
        Where the shifts are.
    """

    grid: LagGrid
    intercept_A2: float
    step_A2: float
    step_variance_A4: float
    walk_variance_A4: float
    weights: FloatArray
    chi2: float
    squares_A4: FloatArray
    geometry: DisplacementCovariance

    @property
    def df(self) -> int:
        """Degrees of freedom of chi2."""
        return len(self.weights) - 2


def fit_gls_line(
    msd_axis_A2: FloatArray,
    grid: LagGrid,
    *,
    n_frames: int,
    n_atoms: int,
    axes: float,
    fourth_cumulant_A4: float,
) -> GlsLine:
    r"""Fit :math:`a^2 + \sigma^2 t` with the covariance that this walk itself implies.

    Line and covariance are iterated to a fixed point. The walk's MSD in the covariance is the
    measured one below the first lag (the memory of the vibration) and the line beyond.

    Parameters
    ----------
    msd_axis_A2 : (lags,)
        Mean squared displacement over all origins, atoms and axes, at every frame.
    grid
        Lags of the fit, three or more.
    n_frames, n_atoms, axes
        Size of the data: independent atoms, and independent axes (fewer than three where
        motion is anisotropic).
    fourth_cumulant_A4
        Of the squared displacement, averaged over axes, of one atom for each stride.
    """
    lags, memory = grid.lags, grid.memory
    geometry = DisplacementCovariance.of(lags, (n_frames - 1) // grid.stride + 1, memory)
    measured = msd_axis_A2[grid.frames]
    short = msd_axis_A2[np.arange(memory) * grid.stride]
    design = np.stack([np.ones(len(lags)), lags / memory], axis=1)
    times = np.arange(geometry.longest_step + 1) / memory
    floor = max(float(measured.max()), 1e-12) * 1e-9
    scale = 1.0 / (np.sqrt(lags) * np.maximum(measured, floor))
    line = np.linalg.lstsq(design * scale[:, None], measured * scale, rcond=None)[0]
    for _ in range(_ITERATIONS):
        model = _model(line, times, short, float(measured.mean()), floor)
        squares = geometry.of_squares(model, axes, fourth_cumulant_A4)
        covariance = geometry.of_averages(squares) / n_atoms
        covariance += np.eye(len(lags)) * 1e-9 * np.trace(covariance) / len(lags)
        weighted = np.linalg.solve(covariance, design)
        variances = np.linalg.inv(design.T @ weighted)
        solver = variances @ weighted.T
        before, line = line, solver @ measured
        if abs(line[1] - before[1]) < 1e-3 * np.sqrt(variances[1, 1]):
            break
    residual = measured - design @ line
    pure = geometry.of_squares(max(line[1], 0.0) * times, axes, fourth_cumulant_A4)
    walk = solver[1] @ geometry.of_averages(pure) @ solver[1] / n_atoms
    return GlsLine(
        grid=grid,
        intercept_A2=float(line[0]),
        step_A2=float(line[1]),
        step_variance_A4=float(variances[1, 1]),
        walk_variance_A4=float(min(walk, variances[1, 1])),
        weights=solver[1],
        chi2=float(residual @ np.linalg.solve(covariance, residual)),
        squares_A4=squares,
        geometry=geometry,
    )


def _model(
    line: FloatArray, times: FloatArray, short: FloatArray, mean: float, floor: float
) -> FloatArray:
    """Mean squared displacement that the covariance is made of."""
    slope = max(float(line[1]), 0.0)
    static = float(line[0]) if slope else mean
    model: FloatArray = np.maximum(static + slope * times, floor)
    model[: len(short)] = short
    return model


def fourth_cumulant_A4(walkers: Walkers, grid: LagGrid) -> float:
    r"""Fourth cumulant of the displacement in one stride, for the average over axes.

    .. math:: \kappa = \tfrac19 \left[\langle |\Delta r|^4 \rangle - \langle |\Delta r|^2
        \rangle^2 - 2 \sum_x \langle \Delta x^2 \rangle^2 \right]

    at the first lag, over its number of strides. It is 0 for a Gaussian walk and the rate of
    jumps times their fourth power, over 9, for jumps; vibration about a site does not enter.
    What does not exceed twice its standard error, :math:`s^4 \sqrt{120/n}` for n Gaussian
    displacements of variance :math:`s^2` in each direction, is noise, and 0 is given.
    """
    last = len(walkers) - grid.first
    n_origins = min(_ORIGINS, max(_ORIGINS // 8, _SAMPLES // walkers.n))
    origins = np.arange(0, last, max(grid.stride, last // n_origins))
    squares = (walkers.at(origins + grid.first) - walkers.at(origins)) ** 2
    length = squares.sum(axis=2)
    mean = float(length.mean())
    excess = float((length**2).mean()) - mean**2
    excess -= 2.0 * float((squares.mean(axis=(0, 1)) ** 2).sum())
    independent = walkers.n * max(1.0, last / grid.first)
    noise = (mean / 3.0) ** 2 * math.sqrt(120.0 / independent)
    return excess / (9.0 * grid.memory) if excess > 2.0 * noise else 0.0
