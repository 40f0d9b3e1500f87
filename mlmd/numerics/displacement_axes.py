"""Mean squared displacement along each axis, or of each atom, over all time origins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.numerics.displacement import _blocks

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray


def all_origins_msd_axes(
    positions: FloatArray,
    *,
    atoms: IntArray | None = None,
    offset: FloatArray | None = None,
    max_lag: int | None = None,
) -> FloatArray:
    """Mean squared displacement along x, y and z, averaged over atoms and all time origins.

    As :func:`mlmd.numerics.displacement.all_origins_msd`, at the same cost; the sum over the axes
    is its result.

    Returns
    -------
    (max_lag + 1, 3)
        Squared length in the unit of the positions; the first row is 0.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    frames = positions.shape[0]
    lags = frames if max_lag is None else min(frames, max_lag + 1)
    size = next_fast_len(frames + lags - 1, real=True)
    power = np.zeros((3, size // 2 + 1))
    squares = np.zeros((3, frames))
    n_atoms = 0
    for series in _blocks(positions, atoms, offset, bytes_per_series=24 * size):
        block = np.subtract(series, series.mean(axis=1, keepdims=True), out=series)
        spectrum = rfft(block, size, axis=1)
        n_atoms += len(block) // 3
        for axis in range(3):
            own, waves = block[axis::3], spectrum[axis::3]
            squares[axis] += np.einsum("sf,sf->f", own, own)
            power[axis] += np.einsum("sf,sf->f", waves.real, waves.real)
            power[axis] += np.einsum("sf,sf->f", waves.imag, waves.imag)
    return _from_spectra(squares, irfft(power, size, axis=1)[:, :lags], n_atoms).T


def first_origin_msd_axes(
    positions: FloatArray,
    *,
    atoms: IntArray | None = None,
    offset: FloatArray | None = None,
    max_lag: int | None = None,
) -> FloatArray:
    """Mean squared displacement along x, y and z from the first frame only.

    Parameters and result as :func:`all_origins_msd_axes`.
    """
    frames = positions.shape[0]
    lags = frames if max_lag is None else min(frames, max_lag + 1)
    cut = None if offset is None else offset[:lags]
    squares, n_atoms = np.zeros((3, lags)), 0
    for series in _blocks(positions[:lags], atoms, cut, bytes_per_series=16 * lags):
        block = (series - series[:, :1]).reshape(-1, 3, lags)
        n_atoms += len(block)
        squares += np.einsum("axf,axf->xf", block, block)
    return squares.T / n_atoms


def all_origins_msd_atoms(
    positions: FloatArray,
    *,
    atoms: IntArray | None = None,
    offset: FloatArray | None = None,
    max_lag: int | None = None,
) -> FloatArray:
    """Mean squared displacement of each atom, averaged over all time origins.

    Returns
    -------
    (max_lag + 1, n)
        One column for each of the chosen atoms, in their order.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    frames = positions.shape[0]
    lags = frames if max_lag is None else min(frames, max_lag + 1)
    size = next_fast_len(frames + lags - 1, real=True)
    columns = []
    for series in _blocks(positions, atoms, offset, bytes_per_series=24 * size):
        block = (series - series.mean(axis=1, keepdims=True)).reshape(-1, 3, frames)
        squares = np.einsum("axf,axf->af", block, block)
        spectrum = rfft(block, size, axis=2)
        power = np.einsum("axf,axf->af", spectrum.real, spectrum.real)
        power += np.einsum("axf,axf->af", spectrum.imag, spectrum.imag)
        columns.append(_from_spectra(squares, irfft(power, size, axis=1)[:, :lags], 1))
    return np.concatenate(columns).T


def _from_spectra(squares: FloatArray, correlation: FloatArray, n_atoms: int) -> FloatArray:
    """Mean squared displacements (rows) from sums of squares and autocorrelations."""
    frames, lags = squares.shape[1], correlation.shape[1]
    # Extended precision: short lags are small differences of these large sums.
    running = np.zeros((len(squares), frames + 1), dtype=np.longdouble)
    np.cumsum(squares, axis=1, dtype=np.longdouble, out=running[:, 1:])
    m = np.arange(lags)
    ends = running[:, frames - m] + (running[:, frames, None] - running[:, m])
    summed = (ends - 2.0 * correlation).astype(float)
    result: FloatArray = np.maximum(summed, 0.0) / (n_atoms * (frames - m))
    result[:, 0] = 0.0
    return result
