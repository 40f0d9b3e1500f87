r"""Agreement of structure features: each beside its error, and R^2 over many systems.

Only what depends on the run is compared. Features of the composition are equal by construction,
and so is 1/(kB T); they would only improve R^2 and are left out. So are the volume, and what is
nothing but volume (`CELL_FEATURES`), where the surrogate was run in the reference's cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.comparison.r_squared import r_squared
from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.features import FEATURES, UNITS
from mlmd.descriptors.snapshot import Snapshot
from mlmd.errors import InputError
from mlmd.numerics.autocorrelation import standard_error
from mlmd.numerics.short_series import short_series_mean
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

RUN_FEATURES = {
    f.name: f.of_snapshot for f in FEATURES if f.of_snapshot and f.name != "inverse_kbT"
}
"""Structural features by name, and what computes them."""

CELL_FEATURES = ("AAV", "VPA", "density", "PF", "SPF")
"""Composition over volume; PF and SPF only where radii do not depend on the neighbours."""

MOST_FRAMES = 100
"""Frames of a run at most: about 1 ms each, and neighbouring frames are much the same."""

MIN_SYSTEMS = 3
"""R^2 of two points says nothing."""

_BLOCKS = 20
_SAME_VOLUME = 1e-3
_ROUNDING = 1e-9


@dataclass(frozen=True)
class FeatureChoice:
    """Which features are compared.

    Attributes
    ----------
    mobile : str or None
        The mobile element; where None the only species that may diffuse, or Li.
    convention : str
        ``mlmd`` or ``zheng2024`` (:mod:`mlmd.descriptors.conventions`).
    frames : int
        Evenly spaced frames of each run at most.
    """

    mobile: str | None = None
    convention: str = "mlmd"
    frames: int = MOST_FRAMES

    def __post_init__(self) -> None:
        """Refuse what no structure could have."""
        from ase.data import atomic_numbers

        convention_of(self.convention)
        if self.mobile is not None and not atomic_numbers.get(self.mobile):
            raise InputError(f"mobile element {self.mobile!r} is unknown; expected one such as Li")
        if type(self.frames) is not int or self.frames < 1:
            raise InputError(f"frames is {self.frames!r}; expected a whole number of at least 1")

    def mobile_in(self, symbols: Sequence[str], species: Sequence[str] | None) -> str:
        """Return the mobile element of a structure.

        Raises
        ------
        InputError
            If nothing says which it is.
        """
        if self.mobile is not None:
            return self.mobile
        if species is not None and len(species) == 1:
            return species[0]
        if "Li" in symbols:
            return "Li"
        raise InputError(
            f"no mobile element is known among {', '.join(symbols)}; name it with --mobile"
        )


@dataclass(frozen=True)
class FeatureValues:
    """One feature, mean over the frames of each side.

    Attributes
    ----------
    surrogate, reference : float or None
        Means in `unit`; None where a frame does not have the feature.
    surrogate_error, reference_error : float or None
        Their standard errors, which know that frames are correlated; None for one frame.
    unit : str
        Unit of all of them.
    sigma : float or None
        Surrogate minus reference over the standard error of that; None where there is no error.
    relative_difference : float or None
        Surrogate minus reference over the size of the reference.
    noise : float or None
        Standard error of that difference by two halves of each run (or by the runs of a side):
        rough, but its square is right in the mean, which the errors' is not.
    set_by_cell : bool
        Whether it is equal by construction, the surrogate having the reference's volume.
    """

    surrogate: float | None
    surrogate_error: float | None
    reference: float | None
    reference_error: float | None
    unit: str
    sigma: float | None
    relative_difference: float | None
    noise: float | None
    set_by_cell: bool


@dataclass(frozen=True)
class FeatureParity:
    """Structure features of one system.

    Attributes
    ----------
    per_feature : mapping of str to FeatureValues
        By the names of `mlmd.descriptors.FEATURES`, of the features that depend on the run.
    mobile, convention : str
        What the features are about, and which definitions were used.
    n_frames_surrogate, n_frames_reference : int
        Frames that were measured, of all runs of a side.
    """

    per_feature: Mapping[str, FeatureValues]
    mobile: str
    convention: str
    n_frames_surrogate: int
    n_frames_reference: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> FeatureParity:
        """Make it from what `to_dict` gave, whatever else stands beside it."""
        own = {name: content[name] for name in cls.__dataclass_fields__}
        values = {name: FeatureValues(**one) for name, one in content["per_feature"].items()}
        return cls(**{**own, "per_feature": values})


@dataclass(frozen=True, eq=False)
class FeatureAgreement:
    r"""Structure features over several systems.

    Attributes
    ----------
    n_pairs : int
        Systems.
    r2 : mapping of str to (float or None)
        Of each feature over the systems; None where `left_out` says why.
    r2_noise_ceiling : mapping of str to (float or None)
        R^2 to expect of a perfect surrogate, :math:`1 - \sum n^2 / \sum (r - \bar r)^2` with
        the noise n of each system.
    r2_pooled, r2_pooled_noise_ceiling : float or None
        Over all features together, each less its reference mean and over its reference standard
        deviation: whatever the units, every feature counts alike.
    r2_pooled_raw : float or None
        Over the bare numbers of all features with one common mean, as Zheng et al. 2024, Fig. 6d:
        a matter of the features whose numbers are large, and of their units.
    left_out : mapping of str to str
        Features without R^2, and why.
    scaled : mapping of str to ((n,), (n,))
        Reference and surrogate of each feature with R^2, scaled as for `r2_pooled`.
    """

    n_pairs: int
    r2: Mapping[str, float | None]
    r2_noise_ceiling: Mapping[str, float | None]
    r2_pooled: float | None
    r2_pooled_noise_ceiling: float | None
    r2_pooled_raw: float | None
    left_out: Mapping[str, str]
    scaled: Mapping[str, tuple[FloatArray, FloatArray]]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON."""
        return {name: value for name, value in vars(self).items() if name != "scaled"}


def feature_parity(
    surrogate: Trajectory | Sequence[Trajectory],
    reference: Trajectory | Sequence[Trajectory],
    *,
    mobile: str = "Li",
    convention: str = "mlmd",
    frames: int = MOST_FRAMES,
) -> FeatureParity:
    """Compare the structure features of two sides that have the same composition.

    Parameters
    ----------
    surrogate, reference
        A run, or several that differ in their seed.
    mobile
        The mobile element.
    convention
        ``mlmd`` or ``zheng2024``.
    frames
        Evenly spaced frames of each run at most.

    Raises
    ------
    InputError
        If a run has no frame, no volume or no mobile atom, or an option is unknown.

    Notes
    -----
    The error of a mean is that of the autocorrelation function where a run has 50 independent
    frames, else that of twenty blocks of time, which may be correlated in turn
    (:func:`mlmd.numerics.short_series.short_series_mean`). In thirty short runs of a liquid one
    such error held the truth in 66 % of the cases, two in 89 %; ten blocks 71 and 90 %, with errors
    now and then far too large.
    """
    choice = FeatureChoice(mobile, convention, frames)
    first, other = (
        [_measured(run, mobile, choice) for run in _listed(side)] for side in (surrogate, reference)
    )
    cell = CELL_FEATURES if convention_of(convention).radii == "covalent" else CELL_FEATURES[:3]
    imposed = _is_imposed(first, other)
    values = {
        name: _compared(
            _Mean.of([run[name] for run in first]),
            _Mean.of([run[name] for run in other]),
            UNITS[name],
            set_by_cell=imposed and name in cell,
        )
        for name in RUN_FEATURES
    }
    return FeatureParity(
        per_feature=values,
        mobile=mobile,
        convention=convention,
        n_frames_surrogate=sum(len(run["AAV"]) for run in first),
        n_frames_reference=sum(len(run["AAV"]) for run in other),
    )


def feature_agreement(parities: Sequence[FeatureParity]) -> FeatureAgreement:
    """Return R^2 of the features over systems.

    Parameters
    ----------
    parities
        One of each system, from :func:`feature_parity`.
    """
    r2: dict[str, float | None] = {}
    ceilings: dict[str, float | None] = {}
    left_out, scaled, raw, noise = {}, {}, [], 0.0
    for name in dict.fromkeys(name for one in parities for name in one.per_feature):
        found = [one.per_feature[name] for one in parities if name in one.per_feature]
        free = [one for one in found if not one.set_by_cell]
        # A None becomes NaN.
        table = np.array([(v.reference, v.surrogate, v.noise) for v in free], float).reshape(-1, 3)
        table = table[np.isfinite(table[:, :2]).all(axis=1)]
        raw.append(table[:, :2])
        r2[name] = ceilings[name] = None
        if len(table) < MIN_SYSTEMS:
            left_out[name] = _why_few(len(free) < len(found), len(table) < len(free))
            continue
        mean, spread = float(table[:, 0].mean()), float(table[:, 0].std())
        if spread <= _ROUNDING * abs(mean):
            left_out[name] = "the same in all systems of the reference"
            continue
        reference, surrogate = (table[:, :2].T - mean) / spread
        scaled[name] = (reference, surrogate)
        r2[name] = r_squared(surrogate, reference)
        variance = float(np.sum((table[:, 2] / spread) ** 2))
        ceilings[name] = _known(1.0 - variance / len(table))
        noise += variance
    pooled = [np.concatenate(side) for side in zip(*scaled.values(), strict=True)]
    numbers = np.concatenate(raw) if raw else np.empty((0, 2))
    enough = len(parities) >= MIN_SYSTEMS and len(numbers) > 0
    return FeatureAgreement(
        n_pairs=len(parities),
        r2=r2,
        r2_noise_ceiling=ceilings,
        r2_pooled=r_squared(pooled[1], pooled[0]) if pooled else None,
        r2_pooled_noise_ceiling=_known(1.0 - noise / len(pooled[0])) if pooled else None,
        r2_pooled_raw=r_squared(numbers[:, 1], numbers[:, 0]) if enough else None,
        left_out=left_out,
        scaled=scaled,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _listed(side: Trajectory | Sequence[Trajectory]) -> Sequence[Trajectory]:
    return [side] if isinstance(side, Trajectory) else side


def _measured(run: Trajectory, mobile: str, choice: FeatureChoice) -> dict[str, FloatArray]:
    """Return every feature of evenly spaced frames, (frames,)."""
    if len(run) == 0:
        raise InputError(f"{run.source} has no frame; expected at least one")
    chosen = np.unique(np.linspace(0, len(run) - 1, choice.frames).round().astype(int))
    cells_A = run.cells_A()
    values = []
    for index in chosen:
        snapshot = Snapshot(
            np.asarray(run.positions_A[index], dtype=float),
            np.asarray(cells_A[index], dtype=float),
            run.numbers,
            mobile,
            convention_of(choice.convention),
            masses_u=run.masses_u,
        )
        values.append([of_snapshot(snapshot) for of_snapshot in RUN_FEATURES.values()])
    return dict(zip(RUN_FEATURES, np.array(values).T, strict=True))


def _is_imposed(
    surrogate: Sequence[Mapping[str, FloatArray]], reference: Sequence[Mapping[str, FloatArray]]
) -> bool:
    """Whether the surrogate was held at the reference's mean volume."""
    own = np.concatenate([run["AAV"] for run in surrogate])
    aim = float(np.concatenate([run["AAV"] for run in reference]).mean())
    return bool(np.ptp(own) <= 1e-6 * aim and abs(own[0] / aim - 1.0) <= _SAME_VOLUME)


@dataclass(frozen=True)
class _Mean:
    """Mean over the frames of all runs of a side, its standard error, and its noise by parts."""

    value: float | None = None
    error: float | None = None
    noise: float | None = None

    @classmethod
    def of(cls, runs: Sequence[FloatArray]) -> _Mean:
        if not all(np.isfinite(run).all() for run in runs):
            return cls()
        weights = np.array([len(run) for run in runs]) / sum(len(run) for run in runs)
        value = float(weights @ [run.mean() for run in runs])
        errors = [_error(run) for run in runs]
        known = np.array([error for error in errors if error is not None])
        error = float(np.sqrt(weights**2 @ known**2)) if len(known) == len(errors) else None
        parts = runs if len(runs) > 1 else np.array_split(runs[0], 2)
        means = [part.mean() for part in parts if len(part)]
        noise = float(np.std(means, ddof=1)) / math.sqrt(len(means)) if len(means) > 1 else None
        return cls(value, error, noise)


def _error(series: FloatArray) -> float | None:
    """Standard error of the mean of one run."""
    found = standard_error(series)
    if found.is_reliable:
        return found.stderr
    if len(series) < 2 * _BLOCKS:
        return short_series_mean(series).stderr
    return short_series_mean([part.mean() for part in np.array_split(series, _BLOCKS)]).stderr


def _compared(own: _Mean, aim: _Mean, unit: str, *, set_by_cell: bool) -> FeatureValues:
    sigma = relative = None
    if own.value is not None and aim.value is not None:
        difference = own.value - aim.value
        relative = difference / abs(aim.value) if aim.value != 0.0 else None
        error = _both(own.error, aim.error)
        # Where rounding is the only error there is none.
        if error is not None and error > _ROUNDING * abs(aim.value):
            sigma = difference / error
    both = (own.value, own.error, aim.value, aim.error)
    return FeatureValues(*both, unit, sigma, relative, _both(own.noise, aim.noise), set_by_cell)


def _both(own: float | None, aim: float | None) -> float | None:
    return None if own is None or aim is None else math.hypot(own, aim)


def _why_few(some_set_by_cell: bool, some_unknown: bool) -> str:
    if some_set_by_cell:
        return "equal by construction: the surrogate has the reference's cell"
    if some_unknown:
        return f"defined in fewer than {MIN_SYSTEMS} systems"
    return f"fewer than {MIN_SYSTEMS} systems"
