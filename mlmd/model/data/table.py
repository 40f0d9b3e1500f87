"""Tables to learn from: features of structures and the diffusivities that go with them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlmd.analysis.activation.arrhenius import arrhenius
from mlmd.checks import choice, texts
from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.features import BOLTZMANN_EV_K, UNITS
from mlmd.descriptors.table import FeatureTable
from mlmd.descriptors.table_file import FRAMES, import_pandas
from mlmd.errors import InputError
from mlmd.model.data.composition_columns import PREFIX
from mlmd.model.data.folds import chemical_system, reduced_formula
from mlmd.model.data.label_weights import label_weights
from mlmd.model.data.labelled_file import (
    AS_GIVEN,
    BOUND,
    BOUND_COLUMN,
    D_COLUMN,
    D_ERROR_COLUMN,
    D_FROM_COLUMN,
    D_SCALE,
    INVERSE_KBT,
    TEMPERATURE,
    read_labelled,
    read_zheng2024,
)
from mlmd.model.data.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray, IntArray

logger = logging.getLogger(__name__)

Target = Literal["ln_D", "D", "E_a"]
TARGETS = {"ln_D": "ln(cm2/s)", "D": "1e-3 cm2/s", "E_a": "eV"}
"""What can be predicted, and its unit."""

_FASTEST_CM2_S = 1.0


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Features and diffusivities.

    Attributes
    ----------
    features : pandas.DataFrame
        Columns of `mlmd.descriptors.FEATURES`, without the temperature, and those of `also`.
    formulas : tuple of str
        Formula of each row.
    temperature_K : (n,) array
        Temperature of each row.
    D_cm2_s : (n,) array
        Self-diffusion coefficient of the mobile element.
    convention, mobile : str
        Which definitions the features follow, and the mobile element.
    D_error_cm2_s : (n,) array, optional
        Standard error of D; NaN where it is not known.
    names : tuple of str, optional
        What each row is called: the run and stage that it is of, say.
    n_frames : (n,) array of int, optional
        Number of frames that the features of a row are the mean of; 1, a snapshot, if not given.
    frames : tuple of str, optional
        Which they are, as `FeatureTable.about` says it.
    D_from : str
        How D was obtained; the same for all rows, so that conventions are never mixed.
    bounds : TrainingTable, optional
        Rows whose D is an upper bound of 95 %, of motion that was not diffusive.
    also : tuple of str
        Columns of `features` that are the user's own: what is predicted with a model of them needs
        them too.
    """

    features: pd.DataFrame
    formulas: tuple[str, ...]
    temperature_K: FloatArray
    D_cm2_s: FloatArray
    convention: str
    mobile: str = "Li"
    D_error_cm2_s: FloatArray | None = None
    names: tuple[str, ...] | None = None
    n_frames: IntArray | None = None
    frames: tuple[str, ...] | None = None
    D_from: str = AS_GIVEN
    bounds: TrainingTable | None = None
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every number can be learnt from."""
        convention_of(self.convention)
        # Rows are by place: an index that repeats, as of joined tables, would mix them up.
        object.__setattr__(self, "features", self.features.reset_index(drop=True))
        n = len(self.features)
        parts = [self.formulas, self.temperature_K, self.D_cm2_s]
        known = (self.D_error_cm2_s, self.names, self.n_frames, self.frames)
        parts += [part for part in known if part is not None]
        if n == 0 or any(len(part) != n for part in parts):
            raise InputError(f"a training table needs rows, all parts the same number; got {n}")
        for name in self.also:
            if (
                name in (*UNITS, TEMPERATURE)
                or name.startswith(PREFIX)
                or name not in self.features
            ):
                raise InputError(
                    f"also has {name!r}; expected a column of features that is none of mlmd's own"
                )
        unknown = [str(c) for c in self.features.columns if c not in (*UNITS, *self.also)]
        if unknown:
            raise InputError(
                f"no feature {', '.join(unknown)}; see mlmd features --list, or name it in also="
            )
        for row, formula in enumerate(self.formulas):
            try:
                chemical_system(formula)  # what folds are made of
            except InputError as error:
                raise self._wrong(row, str(error)) from error
        errors = 1.0 if self.D_error_cm2_s is None else self.D_error_cm2_s
        numbers_of = {
            "temperature": self.temperature_K,
            "D": self.D_cm2_s,
            "the standard error of D": np.where(np.isnan(errors), 1.0, errors),
        }
        for name, values in numbers_of.items():
            for i in np.flatnonzero(~(np.isfinite(values) & (values > 0))):
                told = " (mlmd features --temperature-K)" if name == "temperature" else ""
                raise self._wrong(i, f"{name} is {values[i]}; expected a number above zero{told}")
        for i in np.flatnonzero(self.D_cm2_s > _FASTEST_CM2_S):
            said = f"D is {self.D_cm2_s[i]:g} cm2/s, more than any liquid's; expected at most"
            raise self._wrong(i, f"{said} {_FASTEST_CM2_S:g}: see its unit")
        for i, j in np.argwhere(~np.isfinite(self.features.to_numpy(dtype=float))):
            said = f"feature {self.features.columns[j]} is no finite number"
            raise self._wrong(i, f"{said}; leave out row or column")

    def _wrong(self, row: int | np.integer[Any], what: str) -> InputError:
        return InputError(f"row {row + 1} ({self.formulas[row]}): {what}")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.features)

    @classmethod
    def read(
        cls,
        path: str | Path,
        format: Literal["mlmd", "zheng2024"] = "mlmd",
        also: Sequence[str] = (),
        convention: str | None = None,
        mobile: str | None = None,
    ) -> TrainingTable:
        """Read a table.

        Parameters
        ----------
        path : path
            For "zheng2024" the data file of Zheng et al. 2024 (``feature_target.dat``: separated
            by blanks, D in 1e-3 cm2/s in ``diff_coeff_mul_thousand``); for "mlmd" what `to_csv`
            or ``mlmd features -o`` write, the latter with a column ``D_cm2_s`` added, by hand, by
            pandas or by a spreadsheet; ``D_error_cm2_s`` and ``D_from`` are read where they are
            there.
        format : {"mlmd", "zheng2024"}
            Which of them it is.
        also : sequence of str
            Columns of the user's own to learn from; the log says which others there are.
        convention, mobile : str, optional
            Of a table that has lost its first line (`mlmd.descriptors.table_file.TableFile`).

        Raises
        ------
        InputError
            If the file cannot be read, lacks a column, has something that is no number, or
            diffusivities of more than one origin.
        """
        choice("format", format, ("zheng2024", "mlmd"))
        if format == "mlmd":
            found = read_labelled(path, texts("also", list(also)), convention, mobile)
        elif also or convention or mobile:
            raise InputError("also, convention and mobile are of tables of mlmd features")
        else:
            found = read_zheng2024(path)
        content = dict(vars(found))
        is_bound = content.pop("is_bound")
        try:
            table = cls(**content).parted(is_bound)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        rows = table.features.assign(D=table.D_cm2_s, T=table.temperature_K, of=table.formulas)
        if n_twice := int(rows.duplicated().sum()):
            logger.warning("%s: %d row(s) are there twice; they count twice", path, n_twice)
        return table

    def to_csv(self, path: str | Path, force: bool = False) -> None:
        """Write it to a file that `read` reads, every digit.

        The layout is that of ``mlmd features -o`` (`FeatureTable.to_csv`) with three columns
        more: ``D_cm2_s``, ``D_error_cm2_s`` (empty where not known) and ``D_from``. `bounds` come
        last, and then there is a column ``D_is`` that says "upper bound" there.

        Raises
        ------
        InputError
            If the file exists and `force` is not given, it cannot be written, or two rows have
            the same name.
        """
        if self.bounds is None:
            self._written().to_csv(path, force)
            return
        pandas, parts = import_pandas(), (self._written(""), self.bounds._written(BOUND))
        values, spread, about = (
            pandas.concat([getattr(part, name) for part in parts])
            for name in ("values", "spread", "about")
        )
        FeatureTable(values, spread, about, self.convention, self.mobile).to_csv(path, force)

    def _written(self, what_D_is: str | None = None) -> FeatureTable:
        """Return it in the layout of a table of features."""
        pandas = import_pandas()
        names = range(len(self)) if self.names is None else self.names
        index = pandas.Index(map(str, names), name="name", dtype=object)
        about = {
            "formula": self.formulas,
            "temperature_K": np.asarray(self.temperature_K, dtype=float),
            "n_frames": 1 if self.n_frames is None else self.n_frames,
            FRAMES: "" if self.frames is None else self.frames,
            D_COLUMN: np.asarray(self.D_cm2_s, dtype=float),
            D_ERROR_COLUMN: np.nan if self.D_error_cm2_s is None else self.D_error_cm2_s,
            D_FROM_COLUMN: self.D_from,
            **({} if what_D_is is None else {BOUND_COLUMN: what_D_is}),
            **{name: self.features[name].to_numpy(dtype=float) for name in self.also},
        }
        values = self.features.drop(columns=list(self.also)).astype(float).set_axis(index, axis=0)
        rows = pandas.DataFrame(about, index)
        return FeatureTable(values, values * np.nan, rows, self.convention, self.mobile)

    def parted(self, is_bound: NDArray[np.bool_]) -> TrainingTable:
        """Return the rows that are no bounds, the others as their bounds.

        Raises
        ------
        InputError
            If all are bounds.
        """

        def some(chosen: NDArray[np.bool_]) -> TrainingTable:
            rows = np.flatnonzero(chosen)
            return replace(
                self,
                features=self.features.iloc[rows],
                temperature_K=self.temperature_K[rows],
                D_cm2_s=self.D_cm2_s[rows],
                formulas=tuple(self.formulas[i] for i in rows),
                D_error_cm2_s=None if self.D_error_cm2_s is None else self.D_error_cm2_s[rows],
                names=None if self.names is None else tuple(self.names[i] for i in rows),
                n_frames=None if self.n_frames is None else self.n_frames[rows],
                frames=None if self.frames is None else tuple(self.frames[i] for i in rows),
            )

        if is_bound.all():
            raise InputError(f"all {len(self)} row(s) are bounds of D; give some D as well")
        return replace(some(~is_bound), bounds=some(is_bound) if is_bound.any() else None)

    def problem(
        self, target: str = "ln_D", weighted: bool = False, elements: bool = False
    ) -> Problem:
        """Return what there is to learn for a target.

        The temperature joins the features in front, as the published settings want it: as
        1/(kB T) for ``ln_D``, in K for ``D``. For ``E_a`` there is a row per formula with at
        least two temperatures: the mean of its features, and the slope of ln D over 1/(kB T).

        With `weighted`, rows count by `label_weights` of their standard errors: that of ln D is
        the relative one of D, that of a slope follows from its points. The labels stay the same.

        Bounds go with ``ln_D`` and ``D``; into the slope of points with errors they are fitted
        (:func:`mlmd.arrhenius`).

        With `elements`, what each composition is made of joins the features at the end: see
        `mlmd.model.data.composition_columns.element_fractions`.

        Raises
        ------
        InputError
            If the target is unknown, no formula has two temperatures for ``E_a``, or weights are
            wanted and no standard error is known.
        """
        if target not in TARGETS:
            raise InputError(f"no target '{target}'; expected {', '.join(TARGETS)}")
        error = np.nan if self.D_error_cm2_s is None else self.D_error_cm2_s
        sigma = error / self.D_cm2_s if weighted else None  # of ln D
        is_slope = target == "E_a"
        made = self._activation_energies(sigma) if is_slope else self._diffusivities(target, sigma)
        if self.bounds is not None and not is_slope:
            made = replace(made, bounds=self.bounds._diffusivities(target, None))
        return made.with_elements() if elements else made

    def _diffusivities(self, target: str, sigma: FloatArray | None) -> Problem:
        """Return a row per row; `sigma` is the standard error of ln D."""
        if target == "D":
            name, thermal, y = TEMPERATURE, self.temperature_K, self.D_cm2_s * D_SCALE
            sigma = None if sigma is None else sigma * y
        else:
            inverse = 1 / (BOLTZMANN_EV_K * self.temperature_K)
            name, thermal, y = INVERSE_KBT, inverse, np.log(self.D_cm2_s)
        pandas = import_pandas()
        first = pandas.DataFrame({name: thermal}, index=self.features.index)
        X = pandas.concat([first, self.features], axis=1).astype(float)
        weights = None if sigma is None else label_weights(X.to_numpy(), y, sigma)
        return Problem(X, y, self.formulas, target, TARGETS[target], weights)

    def _activation_energies(self, sigma: FloatArray | None) -> Problem:
        units = [reduced_formula(formula) for formula in self.formulas]
        inverse_eV, ln_D = 1 / (BOLTZMANN_EV_K * self.temperature_K), np.log(self.D_cm2_s)
        energies: dict[str, float] = {}
        errors: list[float] = []
        for unit in dict.fromkeys(units):
            rows = np.array(units) == unit
            x, y = inverse_eV[rows], ln_D[rows]
            if np.ptp(x) > 0:
                energies[unit] = self._slope_with_bounds(unit, rows)
                if np.isnan(energies[unit]):
                    energies[unit] = -float(np.polyfit(x, y, 1)[0])
                if sigma is not None:
                    away = x - x.mean()
                    errors.append(float(np.linalg.norm(away * sigma[rows]) / (away @ away)))
        if not energies:
            raise InputError("no formula has two temperatures; E_a needs them, or take ln_D")
        X = self.features.astype(float).groupby(units).mean().loc[list(energies)]
        y = np.array(list(energies.values()))
        weights = None if sigma is None else label_weights(X.to_numpy(), y, np.array(errors))
        return Problem(X, y, tuple(energies), "E_a", TARGETS["E_a"], weights)

    def _slope_with_bounds(self, formula: str, rows: NDArray[Any]) -> float:
        """Return E_a of a formula that has bounds, by `arrhenius`; NaN where it has none."""
        bounds, errors = self.bounds, self.D_error_cm2_s
        if bounds is None or errors is None or np.isnan(errors[rows]).any():
            return np.nan
        its = [i for i, one in enumerate(bounds.formulas) if reduced_formula(one) == formula]
        if not its:
            return np.nan
        n, of_bounds = int(rows.sum()), bounds.D_error_cm2_s
        none = [np.nan] * len(its)
        law = arrhenius(
            np.concatenate([self.temperature_K[rows], bounds.temperature_K[its]]),
            np.concatenate([self.D_cm2_s[rows], none]),
            np.concatenate([errors[rows], none if of_bounds is None else of_bounds[its]]),
            D_upper_bound_cm2_s=np.concatenate([[np.nan] * n, bounds.D_cm2_s[its]]),
        )
        return law.E_a_eV
