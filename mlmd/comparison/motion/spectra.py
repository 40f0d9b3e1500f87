"""Vibrations and structure factors: what g(r) does not see, and what scattering does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.diffusion.units import BOLTZMANN_EV_K
from mlmd.analysis.structure.scattering.structure_factor import structure_factor
from mlmd.analysis.vibrations.density_of_states import vibrational_density
from mlmd.comparison.noise import noise_ceiling
from mlmd.comparison.structure.runs import frame_weights
from mlmd.comparison.systems import part
from mlmd.errors import InputError
from mlmd.numerics.r_squared import r_squared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlmd.analysis.structure.radial_distribution import RadialDistribution
    from mlmd.analysis.structure.scattering.structure_factor import StructureFactor
    from mlmd.analysis.vibrations.density_of_states import VibrationalDensity
    from mlmd.arrays import FloatArray
    from mlmd.comparison.structure.runs import RdfRuns
    from mlmd.comparison.systems import System
    from mlmd.trajectory.trajectory import Trajectory


_AT_THE_EDGE, _EDGE = 0.05, 0.8
"""Share of a density above that part of the highest frequency that frames see, from which on what
is faster has been folded in: of molten LiCl, which ends at 10 THz, 0.4 % with frames 20 fs apart,
4 % at 60 fs, 7 % at 100 fs and 17 % at 400 fs. Noise has 20 %."""
_HIDDEN = (0.3, 0.8)
"""Share of the thermal kinetic energy that differences of positions show of atoms some of whose
motion is faster than the frames: a bond that stretches hides a third. Less is no hidden vibration,
but a wrong time or temperature, which the comparison is to show."""
_LONGEST_LAG_PS = 2.0
"""Of the velocity autocorrelation: a resolution of 0.5 THz, at which 10 ps have little noise."""
_LOOKED_AT = 1000
_EV_IN_U_A2_FS2 = 9.648533212e-3
"""1 eV / (1 u) in angstrom^2 / fs^2."""


@dataclass(frozen=True, eq=False)
class VdosParity:
    r"""Agreement of the vibrational densities of states of one system.

    Attributes
    ----------
    vdos_overlap : float
        :math:`\int \min(g_s, g_r) \, d\nu` of the totals, each of integral 1: 1 where equal.
    vdos_overlap_by_species : mapping of str to float
        The same by species.
    vdos_ceiling : float
        Overlap to expect of a perfect surrogate (see :func:`vdos_parity`).
    vdos_mean_ratio : float
        Mean frequency of the surrogate over that of the reference.
    max_lag_ps : float
        Of the velocity autocorrelation: the resolution is one over it.
    length_ps : float
        Length of the longer side.
    frequency_THz, surrogate, reference : (n,)
        The totals, of integral 1.
    """

    vdos_overlap: float
    vdos_overlap_by_species: Mapping[str, float]
    vdos_ceiling: float
    vdos_mean_ratio: float
    max_lag_ps: float
    length_ps: float
    frequency_THz: FloatArray
    surrogate: FloatArray
    reference: FloatArray

    def curves_dict(self) -> dict[str, Any]:
        """Return the totals as plain types for JSON."""
        return {
            "frequency_THz": self.frequency_THz.tolist(),
            "surrogate": self.surrogate.tolist(),
            "reference": self.reference.tolist(),
        }


@dataclass(frozen=True, eq=False)
class StructureFactorParity:
    """R^2 of the total S(q) (atoms as points) and its ceiling, as for g(r).

    ``method`` says how S(q) was had; ``q_1_A``, ``surrogate`` and ``reference`` are the curves,
    ``length_ps`` that of the runs where times are known.
    """

    sq_r2: float | None
    sq_noise_ceiling: float | None
    method: str
    length_ps: float | None
    q_1_A: FloatArray
    surrogate: FloatArray
    reference: FloatArray

    def curves_dict(self) -> dict[str, Any]:
        """Return the curves as plain types for JSON."""
        return {
            "q_1_A": self.q_1_A.tolist(),
            "surrogate": self.surrogate.tolist(),
            "reference": self.reference.tolist(),
        }


def structure_factor_parity(runs: RdfRuns) -> StructureFactorParity:
    """Compare the total S(q) by way of the partial g(r).

    Its noise is that of blocks of time, and as much more as that of g(r) is.

    Raises
    ------
    InputError
        If g(r) is not in the ``exact`` convention or its range holds fewer than two bins.
    """
    first = [structure_factor(one) for one in runs.surrogate]
    other = [structure_factor(one) for one in runs.reference]
    q_min_1_A = max(one.q_min_1_A for one in (*first, *other))
    q_1_A = other[0].q_1_A
    meant = q_1_A >= q_min_1_A * (1 - 1e-9)
    surrogate = _mean([one.total.s[meant] for one in first], runs.surrogate)
    reference = _mean([one.total.s[meant] for one in other], runs.reference)
    noise, ceiling = runs.noise(), None
    if noise is not None:
        shown = _in_time(first, runs.surrogate, meant) + _in_time(other, runs.reference, meant)
        ceiling = noise_ceiling(shown / noise.in_time_share, reference)
    return StructureFactorParity(
        sq_r2=r_squared(surrogate, reference),
        sq_noise_ceiling=ceiling,
        method=other[0].method,
        length_ps=None if noise is None else noise.length_ps,
        q_1_A=q_1_A[meant],
        surrogate=surrogate,
        reference=reference,
    )


def vdos_parity(system: System) -> VdosParity:
    r"""Compare the vibrational densities of states of one system.

    Both sides have the same resolution, and velocities of one kind: the recorded ones if both
    have them, else differences of positions. Noise makes two equal densities differ by an amount
    that goes with its standard deviation, so that two of the K = 2 halves of the reference, or of
    its K runs, give

    .. math:: 1 - C = (1 - O_{12}) \sqrt{(1 + \rho) / 2 K}

    with :math:`\rho` the length of the reference over that of the surrogate.

    Raises
    ------
    InputError
        If a side has fewer than a handful of frames, frames that are not evenly spaced, or that are
        too far apart for its fastest vibrations.
    """
    surrogate, reference = system.runs()
    for name, side in (("surrogate", surrogate), ("reference", reference)):
        _check_frames(name, side)
    runs = (*surrogate, *reference)
    lag_ps = min(_LONGEST_LAG_PS, *(run.duration_ps / 4.0 for run in runs))
    recorded = all(run.velocities_A_fs is not None for run in runs)

    def densities(some: Sequence[Trajectory], kind_recorded: bool) -> list[VibrationalDensity]:
        kind: Any = "recorded" if kind_recorded else "positions"
        return [vibrational_density(run, max_lag_ps=lag_ps, velocities=kind) for run in some]

    first, other = densities(surrogate, recorded), densities(reference, recorded)
    for name, side, found in (("surrogate", surrogate, first), ("reference", reference, other)):
        for run, density in zip(side, found, strict=True):
            _check_resolved(name, run, density, system.temperature_K)
    # Beyond what the coarser side resolves there is nothing to compare.
    end = min(one.frequency_THz[-1] for one in (*first, *other))
    grid = other[0].frequency_THz[other[0].frequency_THz <= end]
    species = list(other[0].by_species)
    left = {s: _density(first, s, grid) for s in (None, *species)}
    right = {s: _density(other, s, grid) for s in (None, *species)}
    pieces = list(reference)
    if len(pieces) == 1:
        half = len(reference[0]) // 2
        pieces = [part(reference[0], slice(half)), part(reference[0], slice(-half, None))]
    apart = [_density([one], None, grid) for one in densities(pieces[:2], False)]
    lengths_ps = [sum(run.duration_ps for run in side) for side in (surrogate, reference)]
    share = (1.0 + lengths_ps[1] / lengths_ps[0]) / (2.0 * len(pieces))
    ceiling = 1.0 - (1.0 - _overlap(*apart)) * float(np.sqrt(share))
    total_left, total_right = left[None], right[None]
    return VdosParity(
        vdos_overlap=_overlap(total_left, total_right),
        vdos_overlap_by_species={s: _overlap(left[s], right[s]) for s in species},
        vdos_ceiling=ceiling,
        vdos_mean_ratio=float((grid @ total_left) / (grid @ total_right)),
        max_lag_ps=lag_ps,
        length_ps=max(lengths_ps),
        frequency_THz=grid,
        surrogate=total_left / (grid[1] - grid[0]),
        reference=total_right / (grid[1] - grid[0]),
    )


def _check_frames(name: str, side: Sequence[Trajectory]) -> None:
    """Raise InputError for a side whose frames are too few, or so far apart that none vibrates."""
    if min(len(run) for run in side) < 2:
        raise InputError(f"a single frame of the {name} shows no vibration; expected more")
    apart_fs = max(run.uniform_interval_fs() for run in side)
    if apart_fs > 1000.0 * _LONGEST_LAG_PS:
        raise InputError(
            f"the frames of the {name} are {apart_fs:g} fs apart, and atoms vibrate within less; "
            "record at least every 25 fs"
        )


def _check_resolved(
    side: str, run: Trajectory, density: VibrationalDensity, temperature_K: float | None
) -> None:
    """Raise InputError where frames are too far apart for what vibrates.

    Frames see frequencies up to half their rate (Nyquist); what is faster is folded in below. It
    shows at the edge, or as kinetic energy that differences of positions do not have.
    """
    highest_THz = float(density.frequency_THz[-1])
    curve = np.maximum(density.total, 0.0)
    edge = float(curve[density.frequency_THz > _EDGE * highest_THz].sum() / curve.sum())
    at_K = temperature_K if run.temperatures_K is None else float(run.temperatures_K.mean())
    shares = {}
    if at_K is not None:
        shares = {s: _kinetic_share(run, s, density, at_K) for s in density.by_species}
    hidden = {s: share for s, share in shares.items() if _HIDDEN[0] < share < _HIDDEN[1]}
    if edge <= _AT_THE_EDGE and not hidden:
        return
    interval_fs = run.uniform_interval_fs()
    why = f"{edge:.0%} of its density lie at that edge"
    if edge <= _AT_THE_EDGE:
        symbol, share = min(hidden.items(), key=lambda one: one[1])
        why = f"positions of {symbol} show {share:.0%} of its kinetic energy at {at_K:.0f} K"
    raise InputError(
        f"the frames of the {side} are {interval_fs:g} fs apart and see nothing above "
        f"{highest_THz:.3g} THz, and {why}: record at least every {interval_fs / 4:.2g} fs"
    )


def _kinetic_share(
    run: Trajectory, species: str, density: VibrationalDensity, temperature_K: float
) -> float:
    """Mean square velocity of a species by its positions over that at a temperature.

    What differences of positions lose of frequencies that are seen is given back.
    """
    interval_fs, atoms = run.uniform_interval_fs(), run.indices(species)
    assert run.masses_u is not None  # Trajectory fills them in
    frames = np.arange(0, len(run) - 1, -(-len(run) // _LOOKED_AT))
    moved = run.positions_A[frames + 1][:, atoms] - run.positions_A[frames][:, atoms]
    kinetic_u_A2_fs2 = float((run.masses_u[atoms][:, None] * moved.astype(float) ** 2).mean())
    curve = np.maximum(density.by_species[species], 0.0)
    kept = np.sinc(density.frequency_THz * interval_fs / 1000.0) ** 2
    thermal = BOLTZMANN_EV_K * temperature_K * _EV_IN_U_A2_FS2
    return kinetic_u_A2_fs2 / interval_fs**2 / float((curve @ kept) / curve.sum()) / thermal


def _density(
    results: Sequence[VibrationalDensity], species: str | None, grid: FloatArray
) -> FloatArray:
    """Return a density on a grid of frequencies as shares that sum up to 1."""
    curves = [one.total if species is None else one.by_species[species] for one in results]
    each = [
        np.interp(grid, one.frequency_THz, curve)
        for one, curve in zip(results, curves, strict=True)
    ]
    mean: FloatArray = np.maximum(np.mean(each, axis=0), 0.0)
    shares: FloatArray = mean / mean.sum()
    return shares


def _overlap(first: FloatArray, other: FloatArray) -> float:
    return float(np.minimum(first, other).sum())


def _mean(curves: Sequence[FloatArray], runs: Sequence[RadialDistribution]) -> FloatArray:
    mean: FloatArray = frame_weights(runs) @ np.array(curves)
    return mean


def _in_time(
    curves: Sequence[StructureFactor],
    runs: Sequence[RadialDistribution],
    meant: NDArray[np.bool_],
) -> float:
    """Variance of a side's total S(q) by blocks of time, summed over the wave numbers."""
    errors = [one.total.stderr for one in curves]
    each = [float(np.sum(error[meant] ** 2)) for error in errors if error is not None]
    return float(frame_weights(runs) ** 2 @ each)
