"""Diffusivity of one species in one system, by surrogate and by reference."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from mlmd.analysis.diffusion.combining import combine
from mlmd.analysis.diffusion.diffusivity import Diffusivity, diffusivity
from mlmd.analysis.diffusion.units import A2_PS_IN_CM2_S
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.numerics.student import student_factor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlmd.analysis.diffusion.estimators.estimate import DiffusivityOptions
    from mlmd.comparison.systems import System
    from mlmd.trajectory.trajectory import Trajectory

CLIP_MSD_SLOPE_A2_PS = 1e-3
"""A. Maevskiy et al., arXiv:2411.06804 (2024), figure 6, clip slopes of the MSD from below."""

CLIP_D_CM2_S = CLIP_MSD_SLOPE_A2_PS / 6.0 * A2_PS_IN_CM2_S
"""The same as a diffusivity, slope / 6: 1.67e-8 cm^2/s."""


_GRID_FRAMES, _GRID_STEP = 4, 1.5


@dataclass(frozen=True)
class DiffusivitySide:
    """What one side says; names as in :class:`mlmd.analysis.diffusion.diffusivity.Diffusivity`.

    ``df`` is None where the error is known as exactly as that of infinitely many values;
    ``duration_ps`` is the length of all runs.
    """

    D_cm2_s: float | None
    D_raw_cm2_s: float
    D_interval68_cm2_s: tuple[float, float] | None
    D_upper_bound_cm2_s: float | None
    is_diffusive: bool
    reason: str
    D_lower_bound_cm2_s: float | None = None
    verdict: str | None = None
    needs_ps: float | None = None
    df: float | None = None
    duration_ps: float | None = None
    D_stderr_cm2_s: float | None = None

    @classmethod
    def of(cls, result: Diffusivity) -> DiffusivitySide:
        """Take the numbers of one run, or of several together."""
        n_runs = int(result.details.get("n_runs") or 1)
        return cls(
            D_cm2_s=result.D_cm2_s,
            D_raw_cm2_s=result.D_raw_cm2_s,
            D_interval68_cm2_s=result.D_interval68_cm2_s,
            D_upper_bound_cm2_s=result.D_upper_bound_cm2_s,
            is_diffusive=result.is_diffusive,
            reason=result.reason,
            D_lower_bound_cm2_s=result.D_lower_bound_cm2_s,
            verdict=result.verdict,
            needs_ps=result.needs_ps,
            df=result.df if math.isfinite(result.df) else None,
            duration_ps=n_runs * result.duration_ps,
            D_stderr_cm2_s=result.D_stderr_cm2_s,
        )

    def findings(self, species: str) -> tuple[Finding, ...]:
        """What doubts D of a species, as the analysis of the side by itself has it."""
        if self.is_diffusive:
            return ()
        numbers = {
            "D_upper_bound_cm2_s": self.D_upper_bound_cm2_s,
            "D_lower_bound_cm2_s": self.D_lower_bound_cm2_s,
            "needs_ps": self.needs_ps,
        }
        verdict = self.verdict or "not_diffusive"
        text = f"{species} is {verdict.replace('_', ' ')}: {self.reason}"
        return (Finding(f"motion_{verdict}", "invalid", text, numbers),)

    @property
    def log10_D(self) -> float | None:
        """Decadic logarithm of D in cm^2/s, clipped from below; None where not diffusive."""
        return None if self.D_cm2_s is None else _log10(self.D_cm2_s)

    @property
    def log10_halves(self) -> tuple[float, float] | None:
        """Lower and upper half of the 68 % interval in log10 D; None where not known.

        An interval that reaches the clipping value ends there.
        """
        if self.log10_D is None or self.D_interval68_cm2_s is None:
            return None
        low, high = (_log10(end) for end in self.D_interval68_cm2_s)
        return max(self.log10_D - low, 0.0), max(high - self.log10_D, 0.0)

    @property
    def width_squared(self) -> float:
        """Square of half the 68 % interval in log10 D; 0 where not known."""
        halves = self.log10_halves
        return 0.0 if halves is None else (0.5 * sum(halves)) ** 2

    @property
    def lower_half(self) -> float:
        """Lower half of the 95 % interval in log10 D; infinite where not known."""
        halves = self.log10_halves
        df = math.inf if self.df is None else self.df
        if halves is None or not df > 0:
            return math.inf
        return halves[0] * student_factor(df, 0.95) / student_factor(df)


@dataclass(frozen=True)
class DiffusivityPoint:
    """One point of a parity plot.

    Attributes
    ----------
    label, composition, temperature_K, species
        The system and what diffuses in it.
    surrogate, reference : DiffusivitySide
        Both sides; bounds where the motion is not diffusive.
    settings : mapping
        Estimator, window, fit range and drift: the same on both sides.
    """

    label: str
    composition: str
    temperature_K: float | None
    species: str
    surrogate: DiffusivitySide
    reference: DiffusivitySide
    settings: dict[str, Any]

    @property
    def log10_ratio(self) -> float | None:
        """log10 of D of the surrogate over that of the reference; None if either has none."""
        left, right = self.surrogate.log10_D, self.reference.log10_D
        return None if left is None or right is None else left - right

    @property
    def log10_ratio_interval68(self) -> tuple[float, float] | None:
        """Its 68 % interval: the halves of both sides added in squares."""
        left, right = self.surrogate.log10_halves, self.reference.log10_halves
        ratio = self.log10_ratio
        if ratio is None or left is None or right is None:
            return None
        return ratio - math.hypot(left[0], right[1]), ratio + math.hypot(left[1], right[0])

    def log10_ratio_interval(self, probability: float) -> tuple[float, float] | None:
        """Its interval of another probability, by Student's t.

        With few degrees of freedom an interval of 95 % is much more than twice that of 68 %:
        seven times with one. Both sides are put together after Welch (doi:10.2307/2332510).
        """
        interval, ratio = self.log10_ratio_interval68, self.log10_ratio
        if interval is None or ratio is None:
            return None
        parts = [(side.width_squared, side.df) for side in (self.surrogate, self.reference)]
        squares = sum(width**2 / df for width, df in parts if df)
        df = sum(width for width, _ in parts) ** 2 / squares if squares > 0 else math.inf
        factor = student_factor(df, probability) / student_factor(df)
        return ratio - factor * (ratio - interval[0]), ratio + factor * (interval[1] - ratio)

    @property
    def length_ps(self) -> float | None:
        """Length of the longer side, where it is known."""
        known = [side.duration_ps for side in (self.surrogate, self.reference)]
        return max((one for one in known if one is not None), default=None)

    @property
    def log10_ratio_bounds(self) -> tuple[float, float]:
        """What upper bounds say of the ratio where one side has a D and the other has not.

        Infinite where nothing is said.
        """
        low, high = -math.inf, math.inf
        left, right = self.surrogate, self.reference
        if left.D_cm2_s is None and left.D_upper_bound_cm2_s and right.log10_D is not None:
            high = _log10(left.D_upper_bound_cm2_s) - right.log10_D
        if right.D_cm2_s is None and right.D_upper_bound_cm2_s and left.log10_D is not None:
            low = left.log10_D - _log10(right.D_upper_bound_cm2_s)
        return low, high

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DiffusivityPoint:
        """Take back what :meth:`to_dict` gave."""
        given = {item.name: content[item.name] for item in fields(cls)}
        sides = {name: DiffusivitySide(**given[name]) for name in ("surrogate", "reference")}
        return cls(**{**given, **sides})

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        interval = self.log10_ratio_interval68
        return {
            **asdict(self),
            "log10_ratio": self.log10_ratio,
            "log10_ratio_interval68": None if interval is None else list(interval),
        }


def diffusivity_point(
    system: System, species: str, options: DiffusivityOptions
) -> DiffusivityPoint:
    """Estimate D of one species on both sides, over the same range of lags.

    Where the estimator chooses the range, each side is asked first and the later start is then
    taken for both, the earlier where the later does not fit into the shorter run: a range that
    begins too early for one side would take its vibration for diffusion.

    Raises
    ------
    InputError
        If a diffusivity cannot be had from a side, such as one shorter than the window.
    """
    surrogate, reference = system.runs()
    runs = [*surrogate, *reference]
    results = [_named(run, species, options, i < len(surrogate)) for i, run in enumerate(runs)]
    if options.get("fit_ps") is None:
        results = _over_one_range(runs, results, species, options)
    sides = results[: len(surrogate)], results[len(surrogate) :]
    joined = [side[0] if len(side) == 1 else combine(side) for side in sides]
    for result in results[1:]:
        check_same_settings(result, results[0])
    return DiffusivityPoint(
        label=system.label,
        composition=system.composition,
        temperature_K=system.temperature_K,
        species=species,
        surrogate=DiffusivitySide.of(joined[0]),
        reference=DiffusivitySide.of(joined[1]),
        settings=_settings(results[len(surrogate)]),
    )


def point_of(
    surrogate: Diffusivity,
    reference: Diffusivity,
    *,
    composition: str,
    temperature_K: float | None,
) -> DiffusivityPoint:
    """Make a point of two diffusivities that are there already.

    Raises
    ------
    InputError
        If they are of different species, or estimator, window or fit range differ.
    """
    if surrogate.species != reference.species:
        raise InputError(
            f"D of {surrogate.species} and of {reference.species} were given; expected one species"
        )
    check_same_settings(surrogate, reference)
    name = composition if temperature_K is None else f"{composition} {temperature_K:g} K"
    return DiffusivityPoint(
        label=name,
        composition=composition,
        temperature_K=temperature_K,
        species=reference.species,
        surrogate=DiffusivitySide.of(surrogate),
        reference=DiffusivitySide.of(reference),
        settings=_settings(reference),
    )


def check_same_settings(one: Diffusivity, other: Diffusivity) -> None:
    """Raise InputError unless two diffusivities were obtained alike.

    Fit ranges begin and end on frames and may differ by one frame of either run; those of ``gls``,
    whose lags are multiples of the first (1, 1.5, 2, 3 ... times), by four and by one multiple.
    """
    different = []
    for name in (
        "estimator",
        "origins",
        "drift",
        "mobile",
        "options",
        "atoms",
        "window_ps",
        "fit_ps",
    ):
        left, right = getattr(one.settings, name), getattr(other.settings, name)
        if left != right and not (name == "fit_ps" and _same_range(one, other)):
            different.append(f"{name} {_shown(left)} and {_shown(right)}")
    if different:
        raise InputError(
            f"diffusivities of {one.source} and {other.source} were not obtained alike "
            f"({'; '.join(different)}); expected the same estimator, window and fit range: give "
            "fit_ps for both"
        )


def _over_one_range(
    runs: list[Trajectory],
    results: list[Diffusivity],
    species: str,
    options: DiffusivityOptions,
) -> list[Diffusivity]:
    """Estimate again over the range that one of the results has chosen."""
    ranges = {result.settings.fit_ps for result in results}
    if len(ranges) == 1:
        return results
    for fit_ps in sorted((r for r in ranges if r is not None), reverse=True):
        chosen: DiffusivityOptions = {**options, "fit_ps": fit_ps}
        try:
            return [
                result if result.settings.fit_ps == fit_ps else diffusivity(run, species, **chosen)
                for run, result in zip(runs, results, strict=True)
            ]
        except InputError:
            continue
    shown = "; ".join(f"{r[0]:g} to {r[1]:g}" for r in ranges if r is not None)
    raise InputError(f"no range of lags ({shown} ps) fits into all runs; give fit_ps")


def _log10(D_cm2_s: float) -> float:
    """Decadic logarithm, clipped from below."""
    return math.log10(max(D_cm2_s, CLIP_D_CM2_S))


def _named(
    run: Trajectory, species: str, options: DiffusivityOptions, is_surrogate: bool
) -> Diffusivity:
    try:
        return diffusivity(run, species, **options)
    except InputError as error:
        raise InputError(f"{'surrogate' if is_surrogate else 'reference'}: {error}") from error


def _settings(result: Diffusivity) -> dict[str, Any]:
    settings = result.settings
    return {
        "estimator": settings.estimator,
        "window_ps": settings.window_ps,
        "fit_ps": None if settings.fit_ps is None else list(settings.fit_ps),
        "origins": settings.origins,
        "drift": settings.drift,
        "mobile": settings.mobile,
    }


def _same_range(one: Diffusivity, other: Diffusivity) -> bool:
    left, right = one.settings.fit_ps, other.settings.fit_ps
    if left is None or right is None:
        return False
    grid = one.settings.estimator == "gls"
    frames = _GRID_FRAMES if grid else 1
    slack_ps = frames * max(one.interval_fs, other.interval_fs) / 1000.0 * (1 + 1e-6)
    ends = sorted((left[1], right[1]))
    near = ends[1] - ends[0] <= slack_ps or (grid and ends[1] <= _GRID_STEP * ends[0] + slack_ps)
    return abs(left[0] - right[0]) <= slack_ps and near


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " to ".join(f"{v:g}" for v in value)
    return "none" if value is None else str(value)
