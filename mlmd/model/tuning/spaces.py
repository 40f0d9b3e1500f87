"""What may be tuned in each model, and within which bounds; the defaults lie inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlmd.errors import InputError

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
        unknown = [name for name in values if name not in self.defaults]
        if unknown:
            raise InputError(
                f"no setting {', '.join(unknown)}; expected {', '.join(self.defaults)}"
            )
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


def _kernel(option: str) -> Any:
    """Return a covariance with the bounds and starting points of the untuned model."""
    from sklearn.gaussian_process import kernels

    length = {"length_scale": 8.0, "length_scale_bounds": (0.5, 200.0)}
    shapes = {
        "rbf": lambda: kernels.RBF(**length),
        "matern_5/2": lambda: kernels.Matern(nu=2.5, **length),
        "matern_3/2": lambda: kernels.Matern(nu=1.5, **length),
        "matern_1/2": lambda: kernels.Matern(nu=0.5, **length),
        "rational_quadratic": lambda: kernels.RationalQuadratic(
            alpha=1.0, alpha_bounds=(1e-2, 1e3), **length
        ),
    }
    noise = kernels.WhiteKernel(0.1, (1e-4, 1e1))
    return kernels.ConstantKernel(1.0, (1e-2, 1e3)) * shapes[option]() + noise


_FOREST, _BOOSTED = "randomforestregressor__", "xgbregressor__"
_BEST = "arrheniusensemble__"
_INNER = "transformedtargetregressor__regressor__"
_SISSO = SearchSpace(
    (
        Number("sissoregressor__dimension", 1, 4, 4),
        Number("sissoregressor__n_screened", 5, 40, 20),
    )
)

SEARCH_SPACES = {
    "random_forest": SearchSpace(
        (
            Number(_FOREST + "max_features", 0.1, 1.0, 1.0),
            Number(_FOREST + "min_samples_leaf", 1, 8, 1),
            Number(_FOREST + "min_samples_split", 2, 16, 2),
        )
    ),
    "xgboost": SearchSpace(
        (
            Number(_BOOSTED + "n_estimators", 50, 800, 100, log=True),
            Number(_BOOSTED + "learning_rate", 0.01, 0.3, 0.1, log=True),
            Number(_BOOSTED + "max_depth", 2, 8, 4),
            Number(_BOOSTED + "min_child_weight", 1.0, 20.0, 1.0, log=True),
            Number(_BOOSTED + "reg_alpha", 1e-3, 10.0, 0.8, log=True),
            Number(_BOOSTED + "reg_lambda", 1e-2, 100.0, 1.0, log=True),
            Number(_BOOSTED + "subsample", 0.4, 1.0, 1.0),
            Number(_BOOSTED + "colsample_bytree", 0.1, 1.0, 1.0),
        )
    ),
    "gaussian_process": SearchSpace(
        # Lengths and amplitudes are fitted to the rows; what is left is the covariance's shape.
        (
            Choice(
                "gaussianprocessregressor__kernel",
                ("rbf", "matern_5/2", "matern_3/2", "matern_1/2", "rational_quadratic"),
                "rbf",
                _kernel,
            ),
        )
    ),
    "ridge": SearchSpace((Number("ridge__alpha", 1e-3, 1e4, 1.0, log=True),)),
    "mlp": SearchSpace(
        (
            Choice(
                _INNER + "hidden_layer_sizes",
                ("16", "32", "64", "128", "16x16", "32x32", "64x64"),
                "32x32",
                _layers,
            ),
            Number(_INNER + "alpha", 1e-1, 3e1, 1.0, log=True),
            Number(_INNER + "learning_rate_init", 5e-4, 1e-2, 3e-3, log=True),
        )
    ),
    "kernel_ridge": SearchSpace(
        (
            Choice(_INNER + "kernel", ("rbf", "laplacian"), "rbf"),
            Number(_INNER + "alpha", 1e-4, 10.0, 0.1, log=True),
            Number(_INNER + "gamma", 1e-4, 1.0, 0.01, log=True),
        )
    ),
    **dict.fromkeys(("sisso", "sisso_formulas"), _SISSO),
    "best": SearchSpace(
        (
            Number(_BEST + "min_samples_leaf", 2, 10, 4),
            Number(_BEST + "max_features", 0.2, 1.0, 0.5),
            Number(_BEST + "boosted_share", 0.0, 0.5, 0.25),
            Number(_BEST + "max_depth", 2, 6, 4),
            Number(_BEST + "learning_rate", 0.02, 0.1, 0.04, log=True),
        )
    ),
}
"""By the name of the model."""
