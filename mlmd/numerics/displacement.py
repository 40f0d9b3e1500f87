"""Mean squared displacement of raw arrays: along each axis, or of each atom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmd.arrays import FloatArray, IntArray


# Work memory of one block of atoms: what stays in the cache. 4 MB took two thirds of the time
# of one large block at 100 atoms x 10,000 frames; anything from 2 to 16 MB was within 20 %.
_BLOCK_BYTES = 4 * 2**20


def all_origins_msd_axes(
    positions: FloatArray,
    *,
    atoms: IntArray | None = None,
    offset: FloatArray | None = None,
    max_lag: int | None = None,
) -> FloatArray:
    r"""Mean squared displacement along x, y and z, averaged over atoms and all time origins.

    .. math::

        \mathrm{MSD}_x(m) = \frac{1}{A (N - m)} \sum_{a} \sum_{k=0}^{N-m-1}
        [x_a(k + m) - x_a(k)]^2

    The square is expanded; the cross term is an autocorrelation, so that all lags cost
    :math:`O(N \log N)` by FFT. The power spectra are summed over atoms first, and one inverse
    transform for each axis gives the sum of all autocorrelations.

    Parameters
    ----------
    positions : (frames, atoms, 3)
        Unwrapped positions, of any float type; the arithmetic is in float64.
    atoms : (n,), optional
        Indices of the atoms to average over; all where not given.
    offset : (frames, 3), optional
        Subtracted from all atoms of a frame (the drift).
    max_lag
        Largest lag in frames; all lags where not given.

    Returns
    -------
    (max_lag + 1, 3)
        Squared length in the unit of the positions; the first row is 0. The sum over the axes is
        the mean squared displacement.

    Notes
    -----
    Memory beyond the input is a few megabytes or three trajectories of one atom, whichever
    is more. Positions are taken relative to each atom's mean, which keeps the cancellation
    between the terms small: the absolute error is about 1e-15 of the mean square distance
    from that mean.

    References
    ----------
    V. Calandrini, E. Pellegrini, P. Calligari, K. Hinsen, G. R. Kneller, Collection SFN 12,
    201 (2011), section 4.2. DOI 10.1051/sfn/201112010
    """
    from scipy.fft import irfft, next_fast_len, rfft

    frames = positions.shape[0]
    lags = frames if max_lag is None else min(frames, max_lag + 1)
    size = next_fast_len(frames + lags - 1, real=True)  # padding: no lag wraps around
    power = np.zeros((3, size // 2 + 1))
    squares = np.zeros((3, frames))
    n_atoms = 0
    for series in series_in_blocks(positions, atoms, offset, bytes_per_series=24 * size):
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
    for series in series_in_blocks(positions[:lags], atoms, cut, bytes_per_series=16 * lags):
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

    Parameters as of :func:`all_origins_msd_axes`.

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
    for series in series_in_blocks(positions, atoms, offset, bytes_per_series=24 * size):
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


def series_in_blocks(
    positions: FloatArray,
    atoms: IntArray | None,
    offset: FloatArray | None,
    *,
    bytes_per_series: int,
) -> Iterator[FloatArray]:
    """Yield new float64 arrays (3 x atoms of the block, frames), contiguous in time.

    Parameters
    ----------
    positions, atoms, offset
        As of :func:`all_origins_msd_axes`.
    bytes_per_series
        What the work on one coordinate of one atom takes; a block of them stays in the cache.
    """
    chosen = np.arange(positions.shape[1]) if atoms is None else atoms
    step = max(1, _BLOCK_BYTES // (3 * bytes_per_series))
    frames = positions.shape[0]
    for start in range(0, len(chosen), step):
        part = chosen[start : start + step]
        if part[-1] - part[0] == len(part) - 1 and (np.diff(part) == 1).all():
            taken = positions[:, part[0] : part[-1] + 1]  # a view: no copy of a strided choice
        else:
            taken = positions[:, part]
        block = np.empty((len(part), 3, frames))
        np.copyto(block, taken.transpose(1, 2, 0))
        if offset is not None:
            block -= offset.T
        yield block.reshape(-1, frames)
