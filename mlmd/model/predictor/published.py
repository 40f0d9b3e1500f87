"""Equations that papers give, ready to use, and the scores to compare our own with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.formula import Formula

from mlmd.checks import usable_path
from mlmd.errors import InputError
from mlmd.model.data.labelled_file import AS_PUBLISHED
from mlmd.model.predictor.prediction import Prediction, features_of, own_values
from mlmd.model.predictor.predictor import Predictor
from mlmd.model.sisso.space import Expression

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory

Tree = str | tuple[Any, ...]
_SIGMA_95 = 1.959964
_ELEMENTS = frozenset(
    Formula(
        "AgAlAsAuBBaBiBrCCaCdClCoCrCsCuFFeGaGeHfHgIInKLiMgMnMoNNaNbNiOOsPPbPdPtRb"
        "ReRhRuSSbScSeSiSnSrTaTcTeTiTlVWYZnZr"
    ).count()
)
"""Elements in the rows that the equations were fitted to."""


@dataclass(frozen=True)
class PublishedEquation:
    """A linear equation in features, or in formulas of features.

    Attributes
    ----------
    name, reference : str
        What it is called, and where it is from.
    target : str
        What it gives, as `mlmd.model.TARGETS` names it.
    bounds : mapping of str to tuple of float
        Features in it, with their least and greatest value in the rows that it was fitted to.
    terms : sequence of (float, tree)
        Coefficient and formula of each term; a formula is the name of a feature, or an operator of
        `mlmd.model.sisso.space.OPERATORS` before the formulas that it works on.
    intercept : float
        The constant.
    rmse : float
        Error in the unit of the target, on the rows that it was fitted to: on the small side.
    convention, mobile : str
        Which definitions the features follow, and the mobile element.
    D_from : str
        How the diffusivities were obtained that it was fitted to.
    """

    name: str
    reference: str
    target: str
    bounds: Mapping[str, tuple[float, float]]
    terms: Sequence[tuple[float, Tree]]
    intercept: float
    rmse: float
    convention: str = "zheng2024"
    mobile: str = "Li"
    D_from: str = AS_PUBLISHED

    def predict(self, X: pd.DataFrame) -> FloatArray:
        """Return the target of rows of features, in the unit of `TARGETS`.

        Raises
        ------
        InputError
            If a column is missing, or the equation has no finite value for a row.
        """
        missing = [name for name in self.bounds if name not in X]
        if missing:
            raise InputError(f"no column {', '.join(missing)}; {self.name} needs them")
        columns = list(self.bounds)
        values = X[columns].to_numpy(dtype=float)
        result = np.full(len(values), self.intercept)
        for coefficient, tree in self.terms:
            term = Expression(self.name, _by_number(tree, columns))
            result = result + coefficient * term.evaluate(values)
        if not np.isfinite(result).all():
            raise InputError(
                f"{self.name} has no finite value where a denominator is zero; take another model"
            )
        return result

    def predict_structure(
        self,
        structure: Atoms | Trajectory,
        temperature_K: float | None = None,
        also: Mapping[str, float] | None = None,
    ) -> Prediction:
        """Return the diffusivity in a structure at a temperature; `also` must be empty."""
        own_values((), also)
        columns = list(self.bounds)
        X = features_of(structure, columns, temperature_K, self.convention, self.mobile, None)
        row = X.iloc[0]
        outside = sorted(set(structure.symbols) - _ELEMENTS)
        outside += [c for c, (low, high) in self.bounds.items() if not low <= row[c] <= high]
        value = float(self.predict(X)[0])
        half_width_95 = _SIGMA_95 * self.rmse
        return Prediction.of(self.target, temperature_K, value, self.rmse, half_width_95, outside)


def _by_number(tree: Tree, columns: list[str]) -> tuple[Any, ...]:
    """Return the tree with columns by number, as `Expression` has them."""
    if isinstance(tree, str):
        return ("x", columns.index(tree))
    operator, *inner = tree
    return (operator, *(_by_number(one, columns) for one in inner))


_DOI = "doi:10.1038/s41524-024-01469-2"

_ALL = (
    PublishedEquation(
        "zheng2024_sisso",
        f"Zheng et al. 2024, {_DOI}, 4-D model of their SISSO output",
        "ln_D",
        {
            "inverse_kbT": (4.6418, 11.6046),
            "LNC": (4.8214, 27.8677),
            "LLB": (0.2, 18.9706),
            "PF": (0.1517, 0.9268),
        },
        (
            (-0.3339406718, "inverse_kbT"),
            (-0.1064562223, "LNC"),
            (0.1124328014, "LLB"),
            (-1.946232403, "PF"),
        ),
        -3.550389618,
        0.3645380858,
    ),
    # The printed equation has two digits. Its fractions were read so that a fit of the four
    # numbers to the published table gives the printed ones: 4.38e-4, -2.14, -0.284, -0.672.
    PublishedEquation(
        "zheng2024_preprint_sisso",
        f"preprint of Zheng et al. 2024 ({_DOI}), equation 1, the 3-D model",
        "D",
        {
            "temperature_K": (1000.0, 2500.0),
            "SPF": (0.0272, 0.717),
            "Li_percentage": (0.0555, 0.8438),
            "PF": (0.1517, 0.9268),
            "BR5_M_without_Li": (0.1177, 5.0839),
            "LLB": (0.2, 18.9706),
            "LNC": (4.8214, 27.8677),
            "SBI": (0.0247, 1.7641),
            "SDLI": (0.0112, 1.4357),
            "ratio_r_without_Li_with": (0.5142, 1.343),
        },
        (
            (4.4e-4, ("*", "temperature_K", ("/", ("+", "SPF", "Li_percentage"), "PF"))),
            (-2.1, ("/", ("/", "BR5_M_without_Li", "LLB"), ("-", "LLB", "LNC"))),
            (
                -0.28,
                ("*", ("-", "Li_percentage", "SBI"), ("-", "SDLI", "ratio_r_without_Li_with")),
            ),
        ),
        -0.67,
        0.1385,
    ),
)
PUBLISHED_MODELS = {one.name: one for one in _ALL}
"""Models that need no training, by name."""

PUBLISHED_SCORES: Mapping[tuple[str, str], Mapping[str, float]] = {
    ("random_forest", "D"): {
        "rmse": 0.141,
        "rmse_std": 0.009,
        "test_rmse": 0.120,
        "test_r2": 0.955,
    },
    ("xgboost", "D"): {"rmse": 0.123, "rmse_std": 0.020, "test_rmse": 0.096, "test_r2": 0.971},
    # Their SISSO run has learnt from the rows held out as well.
    ("sisso", "ln_D"): {"test_rmse": 0.341},
}
"""What Zheng et al. 2024 give for folds ``published``, by model and target, in its unit."""


def load_model(name: str | Path, other_versions: bool = False) -> Predictor | PublishedEquation:
    """Return one of `PUBLISHED_MODELS` by its name, or what a file of `Predictor.save` holds.

    Raises
    ------
    InputError
        If there is neither, or the file cannot be used (`Predictor.load`).
    """
    if isinstance(name, str) and name in PUBLISHED_MODELS:
        return PUBLISHED_MODELS[name]
    if not usable_path("model", name).exists():
        raise InputError(
            f"no model {name}; expected a file of mlmd train -o, or {', '.join(PUBLISHED_MODELS)}"
        )
    return Predictor.load(name, other_versions)
