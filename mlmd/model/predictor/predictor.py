"""A trained model with everything that is needed to use it without a mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.formula import Formula

from mlmd.checks import one_structure, whole_number
from mlmd.descriptors.elements import ElementTable, package_elements
from mlmd.descriptors.features import UNITS
from mlmd.descriptors.inference import elements_behind
from mlmd.descriptors.table import FeatureTable
from mlmd.descriptors.table_file import import_pandas
from mlmd.errors import InputError
from mlmd.model.data.composition_columns import PREFIX, fraction_columns, with_fractions
from mlmd.model.data.labelled_file import TEMPERATURE
from mlmd.model.data.table import TARGETS, TrainingTable
from mlmd.model.fitting import fit_pipeline
from mlmd.model.predictor.prediction import Prediction, features_of, own_values
from mlmd.model.predictor.saving import Training, damaged, read_model, write_model
from mlmd.model.regressors import PUBLISHED_SEED, regressor_of
from mlmd.model.tuning.tune import Tuning, tune
from mlmd.model.validation.domain import Domain
from mlmd.model.validation.spread import (
    FEWEST_MEMBERS,
    Calibration,
    bootstrap,
    calibrate,
    raw_spread,
)
from mlmd.plain import plain_fields, to_plain, without_nan
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

    from mlmd.arrays import FloatArray


class Predictor:
    """A model that predicts diffusivity from features, or from a structure.

    Parameters
    ----------
    model : str
        Name of one of `mlmd.model.REGRESSORS`.
    target : {"ln_D", "D", "E_a"}
        What it predicts: ln of D in cm2/s, D in 1e-3 cm2/s, or the activation energy in eV.
    n_bootstrap : int
        Models whose standard deviation says how sure it is, where the model itself does not
        say; Zheng et al. 2024 have 100. They are drawn by chemical system.
    seed : int
        Of the bootstrap.
    weighted : bool
        Let rows count by the standard errors of their diffusivities, see
        `mlmd.model.data.label_weights`.
    tuning : Tuning, optional
        Choose the settings of the model by folds of the table.

    Attributes
    ----------
    training : Training
        What it was trained with.

    Raises
    ------
    InputError
        If there is no such model, or too few bootstrapped models are wanted.
    """

    def __init__(
        self,
        model: str = "random_forest",
        target: str = "ln_D",
        n_bootstrap: int = 100,
        seed: int = PUBLISHED_SEED,
        weighted: bool = False,
        tuning: Tuning | None = None,
    ) -> None:
        if regressor_of(model).spread == "bootstrap":
            whole_number("n_bootstrap", n_bootstrap, FEWEST_MEMBERS)
        self.model = model
        self.target = target
        self.n_bootstrap = n_bootstrap
        self.seed = seed
        self.weighted = weighted
        self.tuning = tuning
        self._training: Training | None = None
        self._pipeline: Any = None
        self._members: list[Any] = []
        self._elements: ElementTable | None = None
        self._domain: Domain | None = None

    @property
    def training(self) -> Training:
        """What it was trained with; an error before `fit`."""
        if self._training is None:
            raise InputError("this predictor has not learnt yet; call fit first")
        return self._training

    @property
    def D_from(self) -> str:
        """How the diffusivities were obtained that it has learnt from."""
        return self.training.D_from

    @property
    def elements(self) -> ElementTable:
        """Elemental values that its features are made with: the paper's for the paper's table."""
        return self._elements or package_elements()

    def fit(
        self, table: TrainingTable, progress: Callable[[int, int], None] | None = None
    ) -> Predictor:
        """Learn from a table, and calibrate the standard deviation on grouped folds.

        Parameters
        ----------
        table : TrainingTable
            What to learn from.
        progress : callable, optional
            Called with the number of trials of tuning, then of fits, that are done, and of all.

        Raises
        ------
        InputError
            If the model or target is unknown, or the table too small.
        """
        known = regressor_of(self.model)
        problem = table.problem(self.target, self.weighted, known.learns_elements)
        everything = np.arange(len(problem.y))
        settings, tuned = None, {}
        if self.tuning is not None:
            found = tune(problem, self.model, everything, self.tuning, progress)
            settings, tuned = found.settings, found.values
        if known.spread == "bootstrap":
            self._members, calibration = bootstrap(
                problem, self.model, self.n_bootstrap, self.seed, None, settings, progress
            )
        else:
            self._members = []
            calibration = calibrate(
                problem, self.model, known.spread, self.seed, settings, progress
            )
        self._pipeline = fit_pipeline(problem, self.model, everything, settings)
        self._domain = Domain.of(problem)
        # Their elemental values are not ours: features must be made from the same ones.
        theirs = table.convention == "zheng2024"
        self._elements = elements_behind(table.formulas, table.features) if theirs else None
        columns = tuple(map(str, problem.X.columns))
        self._training = Training(
            self.model,
            self.target,
            TARGETS[self.target],
            columns,
            {name: _unit(name, table.also) for name in columns},
            table.convention,
            table.mobile,
            len(problem.y),
            problem.sha256,
            table.D_from,
            self.weighted,
            dict(tuned),
            calibration,
            table.also,
        )
        return self

    def predict(self, X: pd.DataFrame | FeatureTable) -> FloatArray:
        """Return the target of rows of features, in ``training.unit``.

        A data frame needs the columns of ``training.columns``; instead of those that say what a
        composition is made of, it may have a column ``formula``.

        Raises
        ------
        InputError
            If columns are missing, a number is not finite, or a `FeatureTable` follows another
            convention or is of another mobile element; or the model gives no number for a row.
        """
        rows = self._checked(X)
        found = np.asarray(self._pipeline.predict(rows), dtype=float)
        if n_bad := int((~np.isfinite(found)).sum()):
            raise InputError(
                f"the model gives no number for {n_bad} of {len(rows)} rows; it is damaged (train "
                "it anew), or they are far from all that it has learnt"
            )
        return found

    def standard_deviation(self, X: pd.DataFrame | FeatureTable) -> FloatArray:
        """Return the calibrated standard deviation of what `predict` returns."""
        rows, kind = self._checked(X), regressor_of(self.model).spread
        raw = raw_spread(kind, self._pipeline, self._members, rows)
        return self.training.calibration.factor * np.asarray(raw, dtype=float)

    def predict_structure(
        self,
        structure: Atoms | Trajectory,
        temperature_K: float | None = None,
        also: Mapping[str, float] | None = None,
    ) -> Prediction:
        """Return diffusivity or activation energy of a structure, with an interval.

        Parameters
        ----------
        structure : ase.Atoms or Trajectory
            The structure.
        temperature_K : float, optional
            Temperature, where the model needs one.
        also : mapping of str to float, optional
            Values of the columns of the user's own that the model was trained on
            (``training.also``).

        Raises
        ------
        InputError
            If one of these is missing or not known to the model, or a feature has no value.
        """
        if not isinstance(structure, Trajectory):
            one_structure("structure", structure)
        known, symbols = self.training, list(structure.symbols)
        columns = [c for c in known.columns if not c.startswith(PREFIX)]
        X = features_of(
            structure,
            [c for c in columns if c not in known.also],
            temperature_K,
            known.convention,
            known.mobile,
            self._elements,
        )
        X = X.assign(**own_values(known.also, also))[columns]
        if len(columns) < len(known.columns):
            formula = Formula.from_list(symbols).format("hill")
            X = with_fractions(X, [formula])
        outside = () if self._domain is None else self._domain.outside(symbols, X.iloc[0])
        value, deviation = float(self.predict(X)[0]), float(self.standard_deviation(X)[0])
        calibration = known.calibration
        half_width_95 = deviation * calibration.factor_95 / calibration.factor
        return Prediction.of(known.target, temperature_K, value, deviation, half_width_95, outside)

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write it to a file that `load` reads; what is there is replaced only with `force`.

        Raises
        ------
        InputError
            If the file exists and `force` is not given, or it cannot be written.
        """
        about = plain_fields(self.training)
        if self._elements is not None:
            about["element_values"] = without_nan(to_plain(self._elements.columns))
        about["settings"] = {"n_bootstrap": self.n_bootstrap, "seed": self.seed}
        domain = None if self._domain is None else self._domain.to_arrays()
        parts = {"pipeline": self._pipeline, "members": self._members, "domain": domain}
        write_model(Path(path), about, parts, force)

    @classmethod
    def load(cls, path: str | Path, other_versions: bool = False) -> Predictor:
        """Read what `save` wrote; nothing in the file is run.

        Parameters
        ----------
        path : path
            The file.
        other_versions : bool
            Take a model of another version of scikit-learn or xgboost, which may predict
            something else.

        Raises
        ------
        InputError
            If there is no such file, it is damaged or was changed, holds anything but a model,
            or is of another schema or version.
        """
        path = Path(path)
        about, parts = read_model(path, other_versions)
        try:
            settings, values = about.pop("settings"), about.pop("element_values", None)
            about["calibration"] = Calibration(**about["calibration"])
            about["columns"] = tuple(about["columns"])
            about["also"] = tuple(about.get("also", ()))  # files of before have none
            one = cls(about["model"], about["target"], **settings, weighted=about["weighted"])
            one._training = Training(**about)
            one._pipeline, one._members = parts["pipeline"], list(parts["members"])
            one._domain = Domain.from_arrays(parts["domain"])
            if values is not None:
                columns = {name: np.array(column, dtype=float) for name, column in values.items()}
                one._elements = ElementTable(columns)
            learnt = tuple(map(str, one._pipeline.feature_names_in_))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{path} is no complete model of mlmd; train it anew") from error
        if learnt != one.training.columns:
            raise InputError(f"{path}: its columns are not those of its model; train it anew")
        for name, unit in one.training.units.items():
            here = _unit(name, one.training.also)
            if here != unit:
                raise InputError(
                    f"{path}: feature {name} is in {unit}, this version of mlmd has it in "
                    f"{here}; train it anew"
                )
        try:
            one._try()
        except Exception as error:  # parts that do not fit together fail anywhere
            raise damaged(path, error) from error
        return one

    def _try(self) -> None:
        """Predict in the middle of what was learnt from, so that what does not fit shows."""
        domain = self._domain
        if domain is None:
            return
        X = import_pandas().DataFrame([domain.mean], columns=list(domain.columns))
        if len(domain.columns) < len(self.training.columns):
            X = with_fractions(X, ["".join(domain.elements)])
        domain.outside(domain.elements, X.iloc[0])
        for found in (self.predict(X), self.standard_deviation(X)):
            if found.shape != (1,):
                raise ValueError(f"it gives an array of shape {found.shape} for a structure")

    def _checked(self, X: pd.DataFrame | FeatureTable) -> pd.DataFrame:
        known = self.training
        if isinstance(X, FeatureTable):
            given, wanted = (X.convention, X.mobile), (known.convention, known.mobile)
            if given != wanted:
                raise InputError(
                    f"features are of {given[1]} by convention {given[0]}; this model was trained "
                    f"on {wanted[1]} by {wanted[0]}: make them anew with that"
                )
            if X.elements_sha256 not in ("", self.elements.sha256):
                raise InputError(
                    "features are made with other elemental values than this model's; make them "
                    "with featurize(..., elements=predictor.elements), or use predict_structure"
                )
            X = X.values.assign(temperature_K=X.about["temperature_K"], formula=X.about["formula"])
        composition = set(fraction_columns()) & set(known.columns)
        if composition and "formula" in X and not composition & set(X.columns):
            X = with_fractions(X, list(map(str, X["formula"])))
        missing = [c for c in known.columns if c not in X]
        if missing:
            if composition.issuperset(missing):
                raise InputError(
                    "no column formula; this model has learnt from what compositions are made of"
                )
            raise InputError(
                f"no column {', '.join(missing)}; this model was trained on "
                f"{len(known.columns)} columns, see its training.columns"
            )
        rows = X[list(known.columns)].astype(float)
        bad = [str(c) for c in rows.columns if not np.isfinite(rows[c]).all()]
        if bad or not len(rows):
            raise InputError(f"rows to predict have no finite {', '.join(bad) or 'numbers at all'}")
        return rows


def fit_predictor(
    table: TrainingTable,
    model: str = "random_forest",
    target: str = "ln_D",
    n_bootstrap: int = 100,
    seed: int = PUBLISHED_SEED,
    weighted: bool = False,
    tuning: Tuning | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictor:
    """Train a model on a table; see `Predictor` and `TrainingTable.read`."""
    return Predictor(model, target, n_bootstrap, seed, weighted, tuning).fit(table, progress)


def _unit(column: str, also: Sequence[str]) -> str:
    if column in also:
        return "as given"
    if column == TEMPERATURE:
        return "K"
    return "1" if column.startswith(PREFIX) else UNITS.get(column, "nothing")
