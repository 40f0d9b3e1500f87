"""How each feature goes with the target by itself, as Table 1 of Zheng et al. 2024 has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import whole_number
from mlmd.descriptors.features import UNITS
from mlmd.errors import InputError
from mlmd.model.data.folds import reduced_formula
from mlmd.model.data.labelled_file import TEMPERATURE
from mlmd.model.data.table import TrainingTable
from mlmd.plain import plain_fields

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray

_FEWEST_FORMULAS = 4
_QUANTILES = (0.025, 0.975)


@dataclass(frozen=True)
class Correlation:
    """A feature and the target.

    Attributes
    ----------
    feature, unit : str
        The feature and its unit.
    r, p_value : float
        Pearson's coefficient, and how often as large a one comes from rows without any
        correlation. It takes rows as independent, which several temperatures of one formula are
        not: then it is too small, and the interval is to be trusted instead.
    low, high : float
        Interval of 95 % for r, from formulas drawn with replacement.
    spearman, spearman_p_value : float
        The same of ranks: any monotonous relation counts, and an outlier counts little.
    """

    feature: str
    unit: str
    r: float
    p_value: float
    low: float
    high: float
    spearman: float
    spearman_p_value: float


@dataclass(frozen=True)
class PearsonTable:
    """Correlations of all features with the target.

    Attributes
    ----------
    target, unit : str
        What they correlate with.
    temperature_K : float or None
        Of the rows; None where rows of all temperatures are taken together.
    n_rows, n_formulas : int
        How many.
    rows : tuple of Correlation
        As in the paper's table: negative ones from the strongest, then positive ones from the
        strongest.
    constant : tuple of str
        Features that are the same in all rows, and so correlate with nothing.
    """

    target: str
    unit: str
    temperature_K: float | None
    n_rows: int
    n_formulas: int
    rows: tuple[Correlation, ...]
    constant: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return plain_fields(self)


def pearson_table(
    table: TrainingTable,
    temperature_K: float | None = None,
    target: str = "ln_D",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> PearsonTable:
    """Correlate every feature with the target.

    Correlation is neither cause nor the whole relation: features of one composition correlate
    among themselves, too. Table 1 of Zheng et al. 2024 is of D at 5000 K, which their data file
    does not have.

    Parameters
    ----------
    table : TrainingTable
        The rows.
    temperature_K : float, optional
        Take rows of this temperature only; all where not given.
    target : {"ln_D", "D", "E_a"}
        What to correlate with.
    n_bootstrap : int
        How often formulas are drawn for the intervals.
    seed : int
        Of that.

    Raises
    ------
    InputError
        If there are no rows of that temperature, or fewer than four formulas.
    """
    from scipy import stats

    whole_number("n_bootstrap", n_bootstrap, least=100)
    problem = _at(table, temperature_K, target).problem(target)
    names = [str(name) for name in problem.X.columns]
    X, y = problem.X.to_numpy(dtype=float), problem.y
    formulas, of_row = np.unique(
        [reduced_formula(f) for f in problem.formulas], return_inverse=True
    )
    if len(formulas) < _FEWEST_FORMULAS or np.ptp(y) == 0:
        raise InputError(
            f"{len(y)} row(s) of {len(formulas)} formula(s) to correlate; expected at least "
            f"{_FEWEST_FORMULAS} formulas, with different {target}"
        )
    varies = np.ptp(X, axis=0) > 1e-12 * np.abs(X).max(axis=0)
    low, high = _intervals(X[:, varies], y, of_row, n_bootstrap, np.random.default_rng(seed))
    rows = []
    for i, column in enumerate(np.flatnonzero(varies)):
        plain, ranks = stats.pearsonr(X[:, column], y), stats.spearmanr(X[:, column], y)
        rows.append(
            Correlation(
                names[column],
                "K" if names[column] == TEMPERATURE else UNITS.get(names[column], "as given"),
                *map(float, (plain[0], plain[1], low[i], high[i], ranks[0], ranks[1])),
            )
        )
    return PearsonTable(
        problem.target,
        problem.unit,
        temperature_K,
        len(y),
        len(formulas),
        tuple(sorted(rows, key=lambda one: (one.r >= 0, -abs(one.r)))),
        tuple(names[i] for i in np.flatnonzero(~varies)),
    )


def _at(table: TrainingTable, temperature_K: float | None, target: str) -> TrainingTable:
    if temperature_K is None:
        return table
    if target == "E_a":
        raise InputError("an activation energy is of all temperatures; give no temperature_K")
    rows = np.flatnonzero(np.isclose(table.temperature_K, temperature_K, rtol=1e-6))
    if not len(rows):
        there = ", ".join(f"{T:g}" for T in np.unique(table.temperature_K)[:10])
        raise InputError(f"no row of {temperature_K:g} K; there are {there} K")
    return TrainingTable(
        table.features.iloc[rows],
        tuple(table.formulas[i] for i in rows),
        table.temperature_K[rows],
        table.D_cm2_s[rows],
        table.convention,
        table.mobile,
    )


def _intervals(
    X: FloatArray,
    y: FloatArray,
    of_row: IntArray,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of 95 % intervals; rows of a formula are drawn together."""
    n_formulas = int(of_row.max()) + 1
    drawn = rng.multinomial(n_formulas, np.full(n_formulas, 1 / n_formulas), size=n_bootstrap)
    weights = drawn[:, of_row] / drawn[:, of_row].sum(axis=1, keepdims=True)
    # Of order one, so that differences of squares lose no digits.
    x, t = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    mean_x, mean_t = weights @ x, (weights @ t)[:, None]
    covariance = weights @ (x * t[:, None]) - mean_x * mean_t
    variances = (weights @ x**2 - mean_x**2) * ((weights @ t**2)[:, None] - mean_t**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where(variances > 1e-12, covariance / np.sqrt(variances), np.nan)
    low, high = np.nanquantile(r, _QUANTILES, axis=0)
    return low, high
