"""Products of features that physics suggests, for models that cannot find them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_Rule = tuple[tuple[str, ...], Callable[..., Any]]

PRODUCTS: dict[str, _Rule] = {
    "free volume per atom": (("AAV", "PF"), lambda AAV, PF: AAV * (1 - PF)),
    "density": (("avg_m_with_Li", "AAV"), lambda m, AAV: m / AAV),
    "mobile ions per volume": (("Li_percentage", "AAV"), lambda share, AAV: share / AAV),
    "log of the volume per atom": (("AAV",), np.log),
    "log of the mean mass": (("avg_m_with_Li",), np.log),
    "SPF and Li share over PF": (
        ("SPF", "Li_percentage", "PF"),
        lambda SPF, share, PF: (SPF + share) / np.maximum(PF, 1e-3),
    ),
    "share of mobile neighbours": (
        ("LLB", "LNC"),
        lambda LLB, LNC: LLB / np.maximum(LNC, 1e-3),
    ),
    "log of the neighbours": (("LNC",), lambda LNC: np.log(np.maximum(LNC, 1e-3))),
    "log of the mobile neighbours": (("LLB",), np.log1p),
    "width times length of the path": (("SLPW", "LLSD"), lambda width, length: width * length),
    "root of the cohesive energy": (
        ("avg_Ecoh_with_Li",),
        lambda energy: np.sqrt(np.maximum(energy, 0)),
    ),
    "volume per atom over radius cubed": (
        ("AAV", "atomic_radius_avg"),
        lambda AAV, radius: AAV / radius**3,
    ),
}
"""What each product is made of. The first in the preprint of Zheng et al. is the sixth here."""


def with_products(features: pd.DataFrame) -> pd.DataFrame:
    """Return the features with those products behind them whose factors are all there."""
    made = {
        name: rule(*(features[factor] for factor in factors))
        for name, (factors, rule) in PRODUCTS.items()
        if set(factors) <= set(features.columns)
    }
    return features.assign(**made)
