"""Velocity autocorrelation functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.analysis.checks import check_finite, check_trajectory
from mlmd.checks import choice
from mlmd.errors import InputError
from mlmd.numerics.displacement import series_in_blocks

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


VelocitySource = Literal["recorded", "positions"]
# One angstrom^2 / fs is 1e-16 cm^2 / 1e-15 s.
A2_FS_IN_CM2_S = 0.1


@dataclass(frozen=True, eq=False)
class VelocityAutocorrelation:
    r"""Velocity autocorrelation functions, over all time origins and the atoms of a species.

    .. math:: C_a(t) = \langle \mathbf v_i(t_0) \cdot \mathbf v_i(t_0 + t) \rangle_{i \in a, t_0}

    Attributes
    ----------
    lag_ps : (lags,)
        Lag times from 0, in picoseconds.
    by_species : mapping of str to (lags,)
        In angstrom^2/fs^2. At lag 0 this is :math:`3 k_B T / m`, if velocities are recorded.
    n_atoms : mapping of str to int
        Atoms of each species.
    velocities : str
        ``recorded`` or ``positions``. Differences of positions are velocities averaged over the
        interval between frames, :math:`\Delta`: the spectrum is that of the velocities times
        :math:`[\sin(\pi \nu \Delta) / (\pi \nu \Delta)]^2`, so that fast vibration is damped
        and C(0) is too small. Their integral, and diffusion, is the same.
    interval_fs : float
        Time between frames.
    source : str
        Where the trajectory came from.
    """

    lag_ps: FloatArray
    by_species: Mapping[str, FloatArray]
    n_atoms: Mapping[str, int]
    velocities: VelocitySource
    interval_fs: float
    source: str

    def running_diffusivity_cm2_s(self, species: str) -> FloatArray:
        r"""Return the integral of C up to each lag over three: D of Green and Kubo, in cm^2/s.

        .. math:: D(t) = \frac13 \int_0^t C(t') \, dt'

        By the trapezoidal rule, in which the slope of the mean squared displacement over six
        is the same number for velocities from positions.

        Raises
        ------
        InputError
            If the species is absent.
        """
        curve = self.of(species)
        steps = 0.5 * (curve[1:] + curve[:-1]) * self.interval_fs
        running: FloatArray = np.concatenate([[0.0], np.cumsum(steps)]) / 3.0 * A2_FS_IN_CM2_S
        return running

    def of(self, species: str) -> FloatArray:
        """Return C of a species in angstrom^2/fs^2.

        Raises
        ------
        InputError
            If the species is absent.
        """
        if species not in self.by_species:
            raise InputError(
                f"no velocities of '{species}' in {self.source}; it has "
                f"{', '.join(self.by_species)}"
            )
        return self.by_species[species]


def velocity_autocorrelation(
    trajectory: Trajectory,
    *,
    max_lag_ps: float | None = None,
    velocities: VelocitySource | None = None,
) -> VelocityAutocorrelation:
    """Velocity autocorrelation function of every species, by FFT.

    Parameters
    ----------
    trajectory
        Frames at even intervals, which must resolve the vibrations: 2 fs or less where there is
        hydrogen, about 10 fs for heavy atoms.
    max_lag_ps
        Longest lag; half the trajectory where not given.
    velocities
        ``recorded``, or ``positions`` for the differences between frames; the recorded ones
        where there are any and this is not given.

    Raises
    ------
    InputError
        If frames are not evenly spaced, the lag does not fit, velocities are not recorded, or
        a number is not finite.
    """
    check_trajectory(trajectory)
    interval_fs = trajectory.uniform_interval_fs()
    recorded = trajectory.velocities_A_fs
    if velocities is None:
        velocities = "positions" if recorded is None else "recorded"
    choice("velocities", velocities, get_args(VelocitySource))
    if velocities == "recorded" and recorded is None:
        raise InputError(
            f"{trajectory.source} has no recorded velocities; give velocities='positions'"
        )
    series = recorded if velocities == "recorded" and recorded is not None else None
    frames = len(trajectory) - int(series is None)
    duration_ps = (frames - 1) * interval_fs / 1000.0
    if max_lag_ps is None:
        max_lag_ps = duration_ps / 2.0
    lags = int(max_lag_ps * 1000.0 / interval_fs + 1e-6) + 1 if max_lag_ps > 0 else 0
    if not 2 <= lags <= frames:
        raise InputError(
            f"a longest lag of {max_lag_ps:g} ps was given for {trajectory.source}; expected "
            f"between {interval_fs / 1000:g} (one frame) and {duration_ps:g} ps (all)"
        )
    source = trajectory.positions_A if series is None else series
    scale = 1.0 / interval_fs if series is None else 1.0
    by_species = {
        symbol: _autocorrelation(source, trajectory.indices(symbol), lags, series is None, scale)
        for symbol in trajectory.species
    }
    what = "positions" if series is None else "velocities"
    for curve in by_species.values():
        check_finite(curve, trajectory, what)
    return VelocityAutocorrelation(
        lag_ps=np.arange(lags) * (interval_fs / 1000.0),
        by_species=by_species,
        n_atoms={symbol: len(trajectory.indices(symbol)) for symbol in trajectory.species},
        velocities=velocities,
        interval_fs=interval_fs,
        source=trajectory.source,
    )


def _autocorrelation(
    values: FloatArray, atoms: IntArray, lags: int, differences: bool, scale: float
) -> FloatArray:
    """Average autocorrelation of (frames, atoms, 3), or of its differences, summed over axes."""
    from scipy.fft import irfft, next_fast_len, rfft

    frames = len(values) - int(differences)
    size = next_fast_len(frames + lags - 1, real=True)
    power = np.zeros(size // 2 + 1)
    for series in series_in_blocks(values, atoms, None, bytes_per_series=24 * size):
        spectrum = rfft(np.diff(series, axis=1) if differences else series, size, axis=1)
        power += np.einsum("sf,sf->f", spectrum.real, spectrum.real)
        power += np.einsum("sf,sf->f", spectrum.imag, spectrum.imag)
    summed = irfft(power, size)[:lags]
    result: FloatArray = summed * scale**2 / (len(atoms) * (frames - np.arange(lags)))
    return result
