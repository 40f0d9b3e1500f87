"""Products of features that physics suggests, for models that cannot find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_Rule = tuple[tuple[str, ...], Callable[..., Any]]
_SMALLEST = 1e-3


def _positive(values: Any) -> Any:
    """Return what may be divided by; all that comes here is positive but for a count of none."""
    return np.maximum(values, _SMALLEST)


PRODUCTS: dict[str, _Rule] = {
    "free volume per atom": (("AAV", "PF"), lambda AAV, PF: AAV * (1 - PF)),
    "mass per volume": (("avg_m_with_Li", "AAV"), lambda m, AAV: m / _positive(AAV)),
    "mobile ions per volume": (
        ("Li_percentage", "AAV"),
        lambda share, AAV: share / _positive(AAV),
    ),
    "log of the volume per atom": (("AAV",), lambda AAV: np.log(_positive(AAV))),
    "log of the mean mass": (("avg_m_with_Li",), lambda m: np.log(_positive(m))),
    "SPF and Li share over PF": (
        ("SPF", "Li_percentage", "PF"),
        lambda SPF, share, PF: (SPF + share) / _positive(PF),
    ),
    "share of mobile neighbours": (("LLB", "LNC"), lambda LLB, LNC: LLB / _positive(LNC)),
    "log of the neighbours": (("LNC",), lambda LNC: np.log(_positive(LNC))),
    "log of the mobile neighbours": (("LLB",), lambda LLB: np.log1p(np.maximum(LLB, 0))),
    "width times length of the path": (("SLPW", "LLSD"), lambda width, length: width * length),
    "root of the cohesive energy": (
        ("avg_Ecoh_with_Li",),
        lambda energy: np.sqrt(np.maximum(energy, 0)),
    ),
    "volume per atom over radius cubed": (
        ("AAV", "atomic_radius_avg"),
        lambda AAV, radius: AAV / _positive(radius) ** 3,
    ),
}
"""What each product is made of. The sixth is in the preprint's equation of Zheng et al. 2024."""


def with_products(features: pd.DataFrame) -> pd.DataFrame:
    """Return the features with those products behind them whose factors are all there."""
    made = {
        name: rule(*(features[factor] for factor in factors))
        for name, (factors, rule) in PRODUCTS.items()
        if set(factors) <= set(features.columns)
    }
    return features.assign(**made)
