"""Diffusivity parity: how D of a surrogate agrees with D of its reference, over many points."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.activation.arrhenius import Arrhenius, arrhenius
from mlmd.comparison.motion.diffusivity_point import CLIP_D_CM2_S
from mlmd.comparison.motion.line import line_with_errors_in_both
from mlmd.comparison.systems import temperature_key
from mlmd.errors import InputError
from mlmd.numerics.r_squared import r_squared

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlmd.arrays import FloatArray
    from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint, DiffusivitySide


_LOG10_2 = math.log10(2.0)


@dataclass(frozen=True)
class TemperatureParity:
    """Agreement at one temperature: log10 D of the surrogate minus that of the reference.

    ``n_bounds`` points have a bound on one side or both and are in no mean; the fraction counts
    those among them that a bound puts outside a factor of 2.
    """

    n_points: int
    n_bounds: int
    log10_mae: float | None
    log10_bias: float | None
    fraction_within_factor_2: float | None


@dataclass(frozen=True)
class ActivationEnergyPair:
    """Activation energies of one species in one composition, and their difference."""

    composition: str
    species: str
    surrogate_eV: float
    surrogate_interval68_eV: tuple[float, float] | None
    reference_eV: float
    reference_interval68_eV: tuple[float, float] | None
    difference_eV: float
    difference_stderr_eV: float | None


@dataclass(frozen=True)
class DiffusivityParity:
    """Agreement of diffusivities in log10 over all points measured on both sides.

    Attributes
    ----------
    points : tuple of DiffusivityPoint
        All, with bounds too.
    n_points, n_bounds : int
        Points measured on both sides; points with a bound on either.
    log10_mae : float or None
        Mean absolute difference of log10 D.
    r2 : float or None
        Coefficient of determination of log10 D; with three points or more.
    fraction_within_factor_2 : float or None
        Of the points measured, and of those that a bound puts outside.
    spearman : float or None
        Rank correlation; with three points or more.
    slope, slope_stderr : float or None
        Of log10 D of the surrogate on that of the reference, with errors in both.
    by_temperature : mapping of str to TemperatureParity
        Keys as in JSON.
    activation_energies : tuple of ActivationEnergyPair
        Of species with D at two temperatures or more on both sides.
    """

    points: tuple[DiffusivityPoint, ...]
    n_points: int
    n_bounds: int
    log10_mae: float | None
    r2: float | None
    fraction_within_factor_2: float | None
    spearman: float | None
    slope: float | None
    slope_stderr: float | None
    by_temperature: Mapping[str, TemperatureParity]
    activation_energies: tuple[ActivationEnergyPair, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {
            "n_points": self.n_points,
            "n_bounds": self.n_bounds,
            "log10_mae": self.log10_mae,
            "r2": self.r2,
            "fraction_within_factor_2": self.fraction_within_factor_2,
            "spearman": self.spearman,
            "slope": self.slope,
            "slope_stderr": self.slope_stderr,
            "clip_D_cm2_s": CLIP_D_CM2_S,
            "by_temperature": {key: asdict(one) for key, one in self.by_temperature.items()},
            "points": [point.to_dict() for point in self.points],
            "activation_energy": [asdict(pair) for pair in self.activation_energies],
        }


def diffusivity_parity(points: Sequence[DiffusivityPoint]) -> DiffusivityParity:
    """Sum up points: agreement in log10 D in all and by temperature, and activation energies.

    Diffusivities are clipped from below at 1.67e-8 cm^2/s (an MSD slope of 1e-3 A^2/ps). Points
    with a bound are not clipped into a number: they are counted apart.

    Raises
    ------
    InputError
        If there is no point.
    """
    if not points:
        raise InputError("no diffusivity was given to compare; expected at least one point")
    measured = [point for point in points if point.log10_ratio is not None]
    left = np.array([point.surrogate.log10_D for point in measured], dtype=float)
    right = np.array([point.reference.log10_D for point in measured], dtype=float)
    enough = len(measured) >= 3
    line = line_with_errors_in_both(right, left, *_errors(measured)) if enough else None
    whole = _agreement(points)
    keys = dict.fromkeys(temperature_key(point.temperature_K) for point in points)
    return DiffusivityParity(
        points=tuple(points),
        n_points=whole.n_points,
        n_bounds=whole.n_bounds,
        log10_mae=whole.log10_mae,
        r2=r_squared(left, right) if enough else None,
        fraction_within_factor_2=whole.fraction_within_factor_2,
        spearman=_spearman(left, right) if enough else None,
        slope=None if line is None else line.slope,
        slope_stderr=None if line is None else line.slope_stderr,
        by_temperature={
            key: _agreement([p for p in points if temperature_key(p.temperature_K) == key])
            for key in keys
        },
        activation_energies=_activation_energies(points),
    )


def _agreement(points: Sequence[DiffusivityPoint]) -> TemperatureParity:
    ratios = np.array([p.log10_ratio for p in points if p.log10_ratio is not None])
    excluded = sum(
        p.log10_ratio_bounds[0] > _LOG10_2 or p.log10_ratio_bounds[1] < -_LOG10_2 for p in points
    )
    judged = len(ratios) + excluded
    within = int(np.sum(np.abs(ratios) <= _LOG10_2))
    return TemperatureParity(
        n_points=len(ratios),
        n_bounds=len(points) - len(ratios),
        log10_mae=float(np.abs(ratios).mean()) if len(ratios) else None,
        log10_bias=float(ratios.mean()) if len(ratios) else None,
        fraction_within_factor_2=within / judged if judged else None,
    )


def _errors(points: Sequence[DiffusivityPoint]) -> tuple[FloatArray | None, FloatArray | None]:
    """Errors of log10 D of reference and surrogate, half the 68 % intervals; all or none."""
    halves = [[side.log10_halves for side in (p.reference, p.surrogate)] for p in points]
    if any(half is None or sum(half) == 0 for pair in halves for half in pair):
        return None, None
    widths = np.array([[sum(half or ()) / 2.0 for half in pair] for pair in halves])
    return widths[:, 0], widths[:, 1]


def _spearman(left: FloatArray, right: FloatArray) -> float | None:
    """Pearson correlation of the ranks, ties with their mean rank; None where all are tied."""
    from scipy.stats import rankdata

    ranks = rankdata(left), rankdata(right)
    if min(np.ptp(rank) for rank in ranks) == 0:
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _activation_energies(points: Sequence[DiffusivityPoint]) -> tuple[ActivationEnergyPair, ...]:
    """Fit both sides at the temperatures at which both have a D."""
    pairs = []
    for composition, species in dict.fromkeys((p.composition, p.species) for p in points):
        chosen = [
            p
            for p in points
            if (p.composition, p.species) == (composition, species)
            and p.temperature_K is not None
            and p.log10_ratio is not None
        ]
        if len({p.temperature_K for p in chosen}) < 2:
            continue
        temperatures = [p.temperature_K or 0.0 for p in chosen]
        try:
            surrogate = _law(temperatures, [p.surrogate for p in chosen])
            reference = _law(temperatures, [p.reference for p in chosen])
        except InputError:
            continue  # these points do not determine a law
        errors = [law.E_a_stderr_eV for law in (surrogate, reference)]
        known = [error for error in errors if error is not None]
        pairs.append(
            ActivationEnergyPair(
                composition=composition,
                species=species,
                surrogate_eV=surrogate.E_a_eV,
                surrogate_interval68_eV=surrogate.E_a_interval68_eV,
                reference_eV=reference.E_a_eV,
                reference_interval68_eV=reference.E_a_interval68_eV,
                difference_eV=surrogate.E_a_eV - reference.E_a_eV,
                difference_stderr_eV=math.hypot(*known) if len(known) == 2 else None,
            )
        )
    return tuple(pairs)


def _law(temperatures_K: Sequence[float], sides: Sequence[DiffusivitySide]) -> Arrhenius:
    return arrhenius(
        temperatures_K,
        [side.D_raw_cm2_s for side in sides],
        [side.D_stderr_cm2_s for side in sides],
        df=[math.inf if side.df is None else side.df for side in sides],
    )
