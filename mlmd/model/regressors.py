"""What learns: scikit-learn pipelines by name, with the published settings where there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlmd.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Spread = Literal["trees", "posterior", "bootstrap"]
PUBLISHED_SEED = 62


@dataclass(frozen=True)
class Regressor:
    """A way to learn.

    Attributes
    ----------
    name : str
        What it is called on the command line.
    about : str
        In one line.
    build : callable
        Makes an unfitted pipeline from a seed and the target.
    spread : {"trees", "posterior", "bootstrap"}
        Where its standard deviation comes from.
    learns_elements : bool
        Whether it learns from what a composition is made of, beside the features: see
        `mlmd.model.data.composition_columns`.
    """

    name: str
    about: str
    build: Callable[[int, str], Pipeline]
    spread: Spread
    learns_elements: bool = False


def make_regressor(name: str, seed: int = PUBLISHED_SEED, target: str = "ln_D") -> Pipeline:
    """Return an unfitted pipeline for a target.

    Raises
    ------
    InputError
        If there is none of that name.
    MissingExtraError
        If scikit-learn or xgboost is not installed.
    """
    return regressor_of(name).build(seed, target)


def regressor_of(name: str) -> Regressor:
    """Return what is known of a regressor by its name."""
    if name not in REGRESSORS:
        raise InputError(f"no model '{name}'; expected {', '.join(REGRESSORS)}")
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "model") from error
    return REGRESSORS[name]


def _random_forest(seed: int, _: str) -> Pipeline:
    from sklearn.ensemble import RandomForestRegressor

    return _pipeline(RandomForestRegressor(n_estimators=100, random_state=seed))


def _xgboost(seed: int, _: str) -> Pipeline:
    try:
        from xgboost import XGBRegressor
    except ImportError as error:
        raise MissingExtraError("xgboost-cpu", "model") from error
    # One thread: more of them add in another order, and so give other last digits.
    return _pipeline(
        XGBRegressor(
            n_estimators=100,
            max_depth=4,
            reg_alpha=0.8,
            learning_rate=0.1,
            random_state=seed,
            n_jobs=1,
        )
    )


def _gaussian_process(seed: int, _: str) -> Pipeline:
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels

    kernel = kernels.ConstantKernel(1.0, (1e-2, 1e3)) * kernels.RBF(
        8.0, (0.5, 200.0)
    ) + kernels.WhiteKernel(0.1, (1e-4, 1e1))
    return _scaled(GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed))


def _ridge(seed: int, _: str) -> Pipeline:
    from sklearn.linear_model import Ridge

    return _scaled(Ridge(alpha=1.0, random_state=seed))


def _mlp(seed: int, _: str) -> Pipeline:
    from sklearn.neural_network import MLPRegressor

    network = MLPRegressor(
        hidden_layer_sizes=(32, 32),
        alpha=1.0,
        learning_rate_init=3e-3,
        max_iter=1000,
        tol=1e-3,
        random_state=seed,
    )
    return _scaled_both(network)


def _kernel_ridge(seed: int, _: str) -> Pipeline:
    from sklearn.kernel_ridge import KernelRidge

    return _scaled_both(KernelRidge(alpha=0.1, kernel="rbf", gamma=0.01))


def _sisso(_: int, __: str) -> Pipeline:
    from mlmd.model.sisso.regressor import SissoRegressor

    return _pipeline(SissoRegressor(dimension=4))


def _sisso_formulas(_: int, __: str) -> Pipeline:
    from mlmd.descriptors.features import UNITS
    from mlmd.model.data.table import TEMPERATURE
    from mlmd.model.sisso.regressor import SissoRegressor

    return _pipeline(
        SissoRegressor(
            dimension=4,
            operators=("+", "-", "*", "/", "^-1", "^2"),
            max_operators=2,
            units={**UNITS, TEMPERATURE: "K"},
        )
    )


def _best(seed: int, target: str) -> Pipeline:
    from mlmd.model.best.ensemble import ArrheniusEnsemble

    return _pipeline(ArrheniusEnsemble(learns_log=target == "D", seed=seed))


def _scaled(model: Any) -> Pipeline:
    from sklearn.preprocessing import StandardScaler

    return _pipeline(StandardScaler(), model)


def _scaled_both(model: Any) -> Pipeline:
    """Return a model of scaled features that learns the scaled target."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler

    return _scaled(TransformedTargetRegressor(model, transformer=StandardScaler()))


def _pipeline(*steps: Any) -> Pipeline:
    from sklearn.pipeline import make_pipeline

    return make_pipeline(*steps)


_ALL: tuple[Regressor, ...] = (
    Regressor(
        "random_forest",
        "100 trees; published settings of Zheng et al. 2024",
        _random_forest,
        "trees",
    ),
    Regressor(
        "xgboost",
        "100 boosted trees of depth 4; published settings of Zheng et al. 2024",
        _xgboost,
        "bootstrap",
    ),
    Regressor(
        "gaussian_process",
        "radial basis functions and noise, most likely length and amplitudes",
        _gaussian_process,
        "posterior",
    ),
    Regressor("ridge", "a linear model, slightly shrunk", _ridge, "bootstrap"),
    Regressor("mlp", "two hidden layers of 32", _mlp, "bootstrap"),
    Regressor("kernel_ridge", "ridge on radial basis functions", _kernel_ridge, "bootstrap"),
    Regressor(
        "sisso",
        "four features and a constant, as the published run: no combined features",
        _sisso,
        "bootstrap",
    ),
    Regressor(
        "sisso_formulas",
        "four formulas of up to three features and a constant, units respected",
        _sisso_formulas,
        "bootstrap",
    ),
    Regressor(
        "best",
        "a robust process of prefactor and slope, trees on its residuals, boosted trees beside",
        _best,
        "posterior",
        learns_elements=True,
    ),
)
REGRESSORS = {one.name: one for one in _ALL}
"""Every model by name."""

WITH_XGBOOST = ("xgboost", "best")
"""Those that need xgboost."""
