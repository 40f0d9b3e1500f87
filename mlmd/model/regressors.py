"""What learns: scikit-learn pipelines by name, with the published settings where there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlmd.checks import shown
from mlmd.errors import InputError
from mlmd.model.extra import import_extra

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

Spread = Literal["trees", "posterior", "bootstrap"]
Build = Callable[[int, str], "Pipeline"]
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
    build: Build
    spread: Spread
    learns_elements: bool = False


REGRESSORS: dict[str, Regressor] = {}
"""Every model by name."""


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
    if not isinstance(name, str) or name not in REGRESSORS:
        raise InputError(f"no model {shown(name)}; expected {', '.join(REGRESSORS)}")
    import_extra("sklearn", "scikit-learn")
    return REGRESSORS[name]


def _known(
    name: str, about: str, spread: Spread = "bootstrap", learns_elements: bool = False
) -> Callable[[Build], Build]:
    """Add what builds a pipeline to `REGRESSORS`."""

    def add(build: Build) -> Build:
        REGRESSORS[name] = Regressor(name, about, build, spread, learns_elements)
        return build

    return add


@_known("random_forest", "100 trees; published settings of Zheng et al. 2024", "trees")
def _random_forest(seed: int, _: str) -> Pipeline:
    from sklearn.ensemble import RandomForestRegressor

    return _pipeline(RandomForestRegressor(n_estimators=100, random_state=seed))


@_known("xgboost", "100 boosted trees of depth 4; published settings of Zheng et al. 2024")
def _xgboost(seed: int, _: str) -> Pipeline:
    # One thread: more of them add in another order, and so give other last digits.
    return _pipeline(
        import_extra("xgboost", "xgboost-cpu").XGBRegressor(
            n_estimators=100,
            max_depth=4,
            reg_alpha=0.8,
            learning_rate=0.1,
            random_state=seed,
            n_jobs=1,
        )
    )


@_known(
    "gaussian_process",
    "radial basis functions and noise, most likely length and amplitudes",
    "posterior",
)
def _gaussian_process(seed: int, _: str) -> Pipeline:
    from sklearn.gaussian_process import GaussianProcessRegressor

    kernel = covariance("rbf")
    return _scaled(GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed))


def covariance(shape: str) -> Any:
    """Return a kernel of one of five shapes, with the bounds and starting points of the model."""
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
    return kernels.ConstantKernel(1.0, (1e-2, 1e3)) * shapes[shape]() + noise


@_known("ridge", "a linear model, slightly shrunk")
def _ridge(seed: int, _: str) -> Pipeline:
    from sklearn.linear_model import Ridge

    return _scaled(Ridge(alpha=1.0, random_state=seed))


@_known("mlp", "two hidden layers of 32")
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


@_known("kernel_ridge", "ridge on radial basis functions")
def _kernel_ridge(seed: int, _: str) -> Pipeline:
    from sklearn.kernel_ridge import KernelRidge

    return _scaled_both(KernelRidge(alpha=0.1, kernel="rbf", gamma=0.01))


@_known("sisso", "four features and a constant, as the published run: no combined features")
def _sisso(_: int, __: str) -> Pipeline:
    from mlmd.model.sisso.regressor import SissoRegressor

    return _pipeline(SissoRegressor(dimension=4))


@_known("sisso_formulas", "four formulas of up to three features and a constant, units respected")
def _sisso_formulas(_: int, __: str) -> Pipeline:
    from mlmd.descriptors.features import UNITS
    from mlmd.model.data.labelled_file import TEMPERATURE
    from mlmd.model.sisso.regressor import SissoRegressor

    return _pipeline(
        SissoRegressor(
            dimension=4,
            operators=("+", "-", "*", "/", "^-1", "^2"),
            max_operators=2,
            units={**UNITS, TEMPERATURE: "K"},
        )
    )


@_known(
    "best",
    "a robust process of prefactor and slope, trees on its residuals, boosted trees beside",
    "posterior",
    learns_elements=True,
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


WITH_XGBOOST = ("xgboost", "best")
"""Those that need xgboost."""
