"""Vibrational densities of states from velocity autocorrelation functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.analysis.checks import check_trajectory
from mlmd.analysis.vibrations.velocities import velocity_autocorrelation
from mlmd.checks import choice
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.analysis.vibrations.velocities import VelocitySource
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


SpectrumWindow = Literal["hann", "none"]
_PADDING = 4
THZ_IN_1_CM = 33.35640951981521
"""Wave number of one terahertz: 1e12 / (100 c), with c = 299 792 458 m/s."""


@dataclass(frozen=True, eq=False)
class VibrationalDensity:
    """Vibrational density of states, by species and in total.

    Attributes
    ----------
    frequency_THz, wavenumber_1_cm : (n,)
        The same frequencies in two units.
    by_species : mapping of str to (n,)
        States per THz; the integral over all frequencies is three times the number of atoms.
    total : (n,)
        Their sum.
    resolution_THz : float
        Full width at half maximum that the window gives a sharp line.
    window : str
        ``hann`` or ``none``.
    velocities : str
        Where they came from; see
        :class:`mlmd.analysis.vibrations.velocities.VelocityAutocorrelation`.
    n_atoms : mapping of str to int
        Atoms of each species.
    source : str
        Where the trajectory came from.
    """

    frequency_THz: FloatArray
    wavenumber_1_cm: FloatArray
    by_species: Mapping[str, FloatArray]
    total: FloatArray
    resolution_THz: float
    window: SpectrumWindow
    velocities: VelocitySource
    n_atoms: Mapping[str, int]
    source: str


def vibrational_density(
    trajectory: Trajectory,
    *,
    max_lag_ps: float | None = None,
    velocities: VelocitySource | None = None,
    window: SpectrumWindow = "hann",
) -> VibrationalDensity:
    r"""Vibrational density of states: the spectrum of the velocity autocorrelation.

    .. math::

        g_a(\nu) = 3 N_a \cdot 4 \int_0^{T} \frac{C_a(t)}{C_a(0)} \, w(t) \cos(2 \pi \nu t)
        \, dt, \quad w(t) = \cos^2 \frac{\pi t}{2 T}

    whose integral over :math:`\nu \ge 0` is :math:`3 N_a` (J. M. Dickey, A. Paskin, Phys. Rev.
    188, 1407 (1969), DOI 10.1103/PhysRev.188.1407). For classical atoms in equilibrium the
    partial ones add up to the total, since :math:`m_a C_a(0)` is the same for all.

    Parameters
    ----------
    trajectory
        Frames at even intervals; nothing faster than half their rate can be seen.
    max_lag_ps
        T: the longer, the sharper and the noisier. Half the trajectory, at most 4 ps, where
        not given.
    velocities
        As for :func:`mlmd.analysis.vibrations.velocities.velocity_autocorrelation`. The damping
        that differences of positions bring is divided out.
    window
        ``hann`` (the :math:`w` above, a line of width :math:`1/T`), or ``none`` (:math:`0.60/T`,
        with side lobes that are negative).

    Raises
    ------
    InputError
        As there, or if the window is not known or nothing moves.
    """
    from scipy.fft import dct

    check_trajectory(trajectory)
    choice("window", window, get_args(SpectrumWindow))
    if max_lag_ps is None:
        max_lag_ps = min(4.0, trajectory.duration_ps / 2.0)
    found = velocity_autocorrelation(trajectory, max_lag_ps=max_lag_ps, velocities=velocities)
    lags = len(found.lag_ps)
    interval_ps = found.interval_fs / 1000.0
    length_ps = lags * interval_ps
    # Zeros behind the last lag draw the same spectrum at more frequencies.
    n = _PADDING * lags
    frequency_THz = np.arange(n) / (2.0 * n * interval_ps)
    damping = np.ones(n)
    if found.velocities == "positions":
        damping = np.sinc(frequency_THz * interval_ps) ** 2
    by_species = {}
    for symbol, curve in found.by_species.items():
        if not curve[0] > 0:
            raise InputError(f"{symbol} atoms of {trajectory.source} do not move at all")
        tapered = curve * np.cos(0.5 * np.pi * found.lag_ps / length_ps) ** 2
        padded = np.pad(curve if window == "none" else tapered, (0, n + 1 - lags))
        density = dct(padded, type=1)[:n] / damping
        norm = np.trapezoid(density, frequency_THz)
        by_species[symbol] = density * (3.0 * found.n_atoms[symbol] / norm)
    return VibrationalDensity(
        frequency_THz=frequency_THz,
        wavenumber_1_cm=frequency_THz * THZ_IN_1_CM,
        by_species=by_species,
        total=np.sum(list(by_species.values()), axis=0),
        resolution_THz=(1.0 if window == "hann" else 0.60) / length_ps,
        window=window,
        velocities=found.velocities,
        n_atoms=found.n_atoms,
        source=trajectory.source,
    )
