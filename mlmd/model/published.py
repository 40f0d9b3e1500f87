"""Equations that papers give, ready to use, and the scores to compare our own with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.model.prediction import Prediction, features_of
from mlmd.model.table import TARGETS

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms
    from numpy.typing import NDArray

    from mlmd.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class PublishedEquation:
    """A linear equation for ln D in features.

    Attributes
    ----------
    name, reference : str
        What it is called, and where it is from.
    coefficients : mapping of str to float
        By feature.
    intercept : float
        The constant.
    rmse : float
        Published error of ln D; on the rows that it was fitted to, so on the small side.
    lower, upper : mapping of str to float
        Least and greatest value of each feature in those rows.
    convention : str
        The convention that the features follow.
    """

    name: str
    reference: str
    coefficients: Mapping[str, float]
    intercept: float
    rmse: float
    lower: Mapping[str, float]
    upper: Mapping[str, float]
    convention: str = "zheng2024"
    mobile: str = "Li"
    target: str = "ln_D"

    def predict(self, X: pd.DataFrame) -> NDArray[np.floating[Any]]:
        """Return ln D (D in cm2/s) of rows of features."""
        missing = [name for name in self.coefficients if name not in X]
        if missing:
            raise InputError(f"no column {', '.join(missing)}; {self.name} needs them")
        columns = X[list(self.coefficients)].to_numpy(dtype=float)
        result: NDArray[np.floating[Any]] = self.intercept + columns @ np.array(
            list(self.coefficients.values())
        )
        return result

    def predict_structure(
        self, structure: Atoms | Trajectory, temperature_K: float | None = None
    ) -> Prediction:
        """Return the diffusivity in a structure at a temperature."""
        columns = list(self.coefficients)
        X = features_of(structure, columns, temperature_K, self.convention, self.mobile, None)
        row = X.iloc[0]
        outside = [c for c in columns if not self.lower[c] <= row[c] <= self.upper[c]]
        value = float(self.predict(X)[0])
        return Prediction.of(
            self.target, TARGETS[self.target], temperature_K, value, self.rmse, outside
        )


PUBLISHED_MODELS = {
    "zheng2024_sisso": PublishedEquation(
        "zheng2024_sisso",
        "Zheng et al. 2024, doi:10.1038/s41524-024-01469-2, 4-D model of their SISSO output",
        {
            "inverse_kbT": -0.3339406718,
            "LNC": -0.1064562223,
            "LLB": 0.1124328014,
            "PF": -1.946232403,
        },
        -3.550389618,
        0.3645380858,
        {"inverse_kbT": 4.6418, "LNC": 4.8214, "LLB": 0.2, "PF": 0.1517},
        {"inverse_kbT": 11.6046, "LNC": 27.8677, "LLB": 18.9706, "PF": 0.9268},
    )
}
"""Models that need no training, by name."""

PUBLISHED_SCORES: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("random_forest", "D"): {
        "rmse": 0.141,
        "rmse_std": 0.009,
        "test_rmse": 0.120,
        "test_r2": 0.955,
    },
    ("xgboost", "D"): {"rmse": 0.123, "rmse_std": 0.020, "test_rmse": 0.096, "test_r2": 0.971},
}
"""What Zheng et al. 2024 give for folds ``published``, by model and target, in 1e-3 cm2/s."""
