"""Structure features over several systems: R^2 of each, and of all together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.numerics.r_squared import r_squared

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.comparison.features.parity import FeatureParity


MIN_SYSTEMS = 3
"""R^2 of two points says nothing."""

_ROUNDING = 1e-9


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


def _why_few(some_set_by_cell: bool, some_unknown: bool) -> str:
    if some_set_by_cell:
        return "equal by construction: the surrogate has the reference's cell"
    if some_unknown:
        return f"defined in fewer than {MIN_SYSTEMS} systems"
    return f"fewer than {MIN_SYSTEMS} systems"
