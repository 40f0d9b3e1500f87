"""What may be tuned in each model, and within which bounds; the defaults lie inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlmd.checks import known_keys
from mlmd.errors import InputError
from mlmd.model.regressors import covariance

Plain = float | int | str


@dataclass(frozen=True)
class Number:
    """A setting that is a number.

    Attributes
    ----------
    name : str
        As the pipeline's ``set_params`` has it.
    low, high : float or int
        Bounds, both inside; where both are whole numbers, so is the setting.
    default : float or int
        What the untuned model has.
    log : bool
        Whether its logarithm is searched evenly.
    """

    name: str
    low: float
    high: float
    default: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """A setting that is one of a few.

    Attributes
    ----------
    name : str
        As the pipeline's ``set_params`` has it.
    options : tuple of str
        What there is to choose from, as it is written to a study.
    default : str
        What the untuned model has.
    build : callable
        Makes of an option what ``set_params`` takes.
    """

    name: str
    options: tuple[str, ...]
    default: str
    build: Callable[[str], Any] = field(default=str, repr=False)


@dataclass(frozen=True)
class SearchSpace:
    """All that is tuned in a model."""

    parameters: tuple[Number | Choice, ...]

    @property
    def defaults(self) -> dict[str, Plain]:
        """The untuned model in this space."""
        return {one.name: one.default for one in self.parameters}

    def settings(self, values: Mapping[str, Plain]) -> dict[str, Any]:
        """Return what the pipeline's ``set_params`` takes, from values as a study has them."""
        builds = {one.name: one.build for one in self.parameters if isinstance(one, Choice)}
        known_keys("the search space", values, self.defaults)
        return {
            name: builds[name](str(value)) if name in builds else value
            for name, value in values.items()
        }


def search_space(model: str) -> SearchSpace:
    """Return what is tuned in a model, by its name in `mlmd.model.REGRESSORS`.

    Raises
    ------
    InputError
        If nothing is known of such a model.
    """
    if model not in SEARCH_SPACES:
        raise InputError(f"no search space for '{model}'; expected {', '.join(SEARCH_SPACES)}")
    return SEARCH_SPACES[model]


def _layers(option: str) -> tuple[int, ...]:
    return tuple(int(width) for width in option.split("x"))


_FOREST, _BOOSTED = "randomforestregressor__", "xgbregressor__"
_BEST = "arrheniusensemble__"
_INNER = "transformedtargetregressor__regressor__"
_SISSO = (
    Number("sissoregressor__dimension", 1, 4, 4),
    Number("sissoregressor__n_screened", 5, 40, 20),
)

_TUNED: dict[str, tuple[Number | Choice, ...]] = {
    "random_forest": (
        Number(_FOREST + "max_features", 0.1, 1.0, 1.0),
        Number(_FOREST + "min_samples_leaf", 1, 8, 1),
        Number(_FOREST + "min_samples_split", 2, 16, 2),
    ),
    "xgboost": (
        Number(_BOOSTED + "n_estimators", 50, 800, 100, log=True),
        Number(_BOOSTED + "learning_rate", 0.01, 0.3, 0.1, log=True),
        Number(_BOOSTED + "max_depth", 2, 8, 4),
        Number(_BOOSTED + "min_child_weight", 1.0, 20.0, 1.0, log=True),
        Number(_BOOSTED + "reg_alpha", 1e-3, 10.0, 0.8, log=True),
        Number(_BOOSTED + "reg_lambda", 1e-2, 100.0, 1.0, log=True),
        Number(_BOOSTED + "subsample", 0.4, 1.0, 1.0),
        Number(_BOOSTED + "colsample_bytree", 0.1, 1.0, 1.0),
    ),
    "gaussian_process": (
        # Lengths and amplitudes are fitted to the rows; what is left is the covariance's shape.
        Choice(
            "gaussianprocessregressor__kernel",
            ("rbf", "matern_5/2", "matern_3/2", "matern_1/2", "rational_quadratic"),
            "rbf",
            covariance,
        ),
    ),
    "ridge": (Number("ridge__alpha", 1e-3, 1e4, 1.0, log=True),),
    "mlp": (
        Choice(
            _INNER + "hidden_layer_sizes",
            ("16", "32", "64", "128", "16x16", "32x32", "64x64"),
            "32x32",
            _layers,
        ),
        Number(_INNER + "alpha", 1e-1, 3e1, 1.0, log=True),
        Number(_INNER + "learning_rate_init", 5e-4, 1e-2, 3e-3, log=True),
    ),
    "kernel_ridge": (
        Choice(_INNER + "kernel", ("rbf", "laplacian"), "rbf"),
        Number(_INNER + "alpha", 1e-4, 10.0, 0.1, log=True),
        Number(_INNER + "gamma", 1e-4, 1.0, 0.01, log=True),
    ),
    **dict.fromkeys(("sisso", "sisso_formulas"), _SISSO),
    "best": (
        Number(_BEST + "min_samples_leaf", 2, 10, 4),
        Number(_BEST + "max_features", 0.2, 1.0, 0.5),
        Number(_BEST + "boosted_share", 0.0, 0.5, 0.25),
        Number(_BEST + "max_depth", 2, 6, 4),
        Number(_BEST + "learning_rate", 0.02, 0.1, 0.04, log=True),
    ),
}
SEARCH_SPACES = {model: SearchSpace(parameters) for model, parameters in _TUNED.items()}
"""By the name of the model."""
