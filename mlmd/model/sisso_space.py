"""The candidates of SISSO: features and formulas made of them, with their units."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

Unit = tuple[tuple[str, Fraction], ...]
_PURE: Unit = ()

_UNARY: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "exp-": lambda x: np.exp(-x),
    "log": np.log,
    "^-1": lambda x: 1.0 / x,
    "^2": lambda x: x**2,
    "^3": lambda x: x**3,
    "^6": lambda x: x**6,
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}
OPERATORS = (*_BINARY, *_UNARY)
"""Operators that formulas may have: those of the published input."""

_SMALLEST, _LARGEST = 1e-4, 1e5  # maxfval_lb and maxfval_ub of the published input
_CHUNK = 1024
_MOST_KEPT = 50_000
_SAME = 1e-10
_TOKEN = re.compile(r"\s*(/?)\s*([A-Za-z]+|1)(?:\^\((-?\d+)(?:/(\d+))?\)|(\d+))?\s*")


@dataclass(frozen=True)
class Expression:
    """A feature or a formula of features.

    Attributes
    ----------
    name : str
        As it is written.
    tree : tuple
        Either ``("x", column)`` or the operator and the trees it works on: plain values, so that
        a saved model holds nothing that could run.
    """

    name: str
    tree: tuple[Any, ...]

    def evaluate(self, values: FloatArray) -> FloatArray:
        """Return its value for each row of (n, features)."""
        with np.errstate(all="ignore"):
            return np.asarray(_evaluate(self.tree, values), dtype=float)


@dataclass(frozen=True, eq=False)
class _Level:
    """All candidates with one number of operators."""

    expressions: list[Expression]
    units: list[Unit]
    columns: FloatArray


_Block = tuple[Callable[[int], tuple[Expression, Unit]], "FloatArray"]


class Space:
    """Formulas of up to so many operators.

    Those with the most operators are made anew for each screening and never held together.

    Parameters
    ----------
    names : sequence of str
        Names of the columns.
    values : (n, features) array
        Their values.
    operators : sequence of str
        Of `OPERATORS`.
    max_operators : int
        Most of them in a formula.
    units : mapping of str to str, optional
        Unit of each column; without it all are pure numbers.

    Raises
    ------
    InputError
        If an operator or unit is unknown, or there are too many formulas to hold.
    """

    def __init__(
        self,
        names: Sequence[str],
        values: FloatArray,
        operators: Sequence[str] = (),
        max_operators: int = 0,
        units: Mapping[str, str] | None = None,
    ) -> None:
        unknown = [o for o in operators if o not in OPERATORS]
        if unknown:
            raise InputError(f"no operator {', '.join(unknown)}; expected {' '.join(OPERATORS)}")
        missing = [name for name in names if units is not None and name not in units]
        if missing:
            raise InputError(f"no unit for {', '.join(missing)}; give one, '1' for a pure number")
        self._operators = [o for o in OPERATORS if o in operators]
        of = {} if units is None else {name: parse_unit(units[name]) for name in names}
        primary = [Expression(name, ("x", i)) for i, name in enumerate(names)]
        self._levels = [_Level(primary, [of.get(name, _PURE) for name in names], values)]
        self._most = max_operators if self._operators else 0
        for n_operators in range(1, self._most):
            self._levels.append(self._hold(n_operators))

    def screen(
        self, residual: FloatArray, n: int, taken: Sequence[FloatArray]
    ) -> list[tuple[Expression, FloatArray]]:
        """Return the `n` candidates that correlate best with `residual`, best first.

        Candidates that are a straight line of one another, or of one `taken`, count once.
        """
        best: list[tuple[float, Expression, FloatArray]] = []
        enough = 4 * n + len(taken)
        least = 0.0
        for make, block in self._all_blocks():
            scores = _correlations(block, residual)
            for j in np.flatnonzero(scores > least):
                best.append((float(scores[j]), make(int(j))[0], block[:, j].copy()))
            if len(best) > 2 * enough:
                best = sorted(best, key=lambda one: -one[0])[:enough]
                least = best[-1][0]
        chosen: list[tuple[Expression, FloatArray]] = []
        seen = [_unit_vector(column) for column in taken]
        for _, expression, column in sorted(best, key=lambda one: -one[0]):
            if len(chosen) == n:
                break
            direction = _unit_vector(column)
            if all(abs(float(direction @ other)) < 1 - _SAME for other in seen):
                chosen.append((expression, column))
                seen.append(direction)
        return chosen

    def _all_blocks(self) -> Iterator[_Block]:
        for level in self._levels:
            yield partial(_member, level), level.columns
        if self._most > 0:
            yield from self._blocks(self._most)

    def _hold(self, n_operators: int) -> _Level:
        expressions: list[Expression] = []
        units: list[Unit] = []
        columns: list[FloatArray] = []
        for make, block in self._blocks(n_operators):
            for j in np.flatnonzero(_usable(block)):
                expression, unit = make(int(j))
                expressions.append(expression)
                units.append(unit)
                columns.append(block[:, j])
            if len(columns) > _MOST_KEPT:
                raise InputError(
                    f"more than {_MOST_KEPT} formulas with {n_operators} operators; give fewer "
                    "features or operators, or a smaller max_operators"
                )
        n_rows = len(self._levels[0].columns)
        table = np.column_stack(columns) if columns else np.empty((n_rows, 0))
        return _Level(expressions, units, table)

    def _blocks(self, n_operators: int) -> Iterator[_Block]:
        """Make the formulas with exactly so many operators, some at a time."""
        below = self._levels[n_operators - 1]
        for operator in (o for o in self._operators if o in _UNARY):
            pure = operator in ("exp", "exp-", "log")
            fit = [i for i, unit in enumerate(below.units) if not (pure and unit)]
            for start in range(0, len(fit), _CHUNK):
                part = fit[start : start + _CHUNK]
                with np.errstate(all="ignore"):
                    yield (
                        partial(_unary, operator, below, part),
                        _UNARY[operator](below.columns[:, part]),
                    )
        for i in range((n_operators + 1) // 2):
            few, many = self._levels[i], self._levels[n_operators - 1 - i]
            for left in range(len(few.expressions)):
                yield from self._pairs(few, left, many, left + 1 if few is many else 0)

    def _pairs(self, few: _Level, left: int, many: _Level, first: int) -> Iterator[_Block]:
        """Join one formula with many; a quotient both ways round."""
        for operator in (o for o in self._operators if o in _BINARY):
            sums = operator in ("+", "-")
            rights = range(first, len(many.expressions))
            fit = [j for j in rights if not sums or many.units[j] == few.units[left]]
            for start in range(0, len(fit), _CHUNK):
                part = fit[start : start + _CHUNK]
                one, others = few.columns[:, [left]], many.columns[:, part]
                for turned in (False, True) if operator == "/" else (False,):
                    with np.errstate(all="ignore"):
                        block = _BINARY[operator](*((others, one) if turned else (one, others)))
                    yield partial(_binary, operator, (few, left), (many, part), turned), block


def parse_unit(text: str) -> Unit:
    """Read a unit as `mlmd.descriptors.features.UNITS` writes it: 1, A3, g/cm3, u^(-1/2)."""
    exponents: dict[str, Fraction] = {}
    place = 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise InputError(f"unit '{text}' is not understood; write it like A3, 1/eV, A^(5/2) u")
        over, base, upper, lower, whole = token.groups()
        power = Fraction(int(upper or whole or 1), int(lower or 1)) * (-1 if over else 1)
        if base != "1":
            exponents[base] = exponents.get(base, Fraction(0)) + power
        place = token.end()
    return _sorted(exponents)


def _member(level: _Level, j: int) -> tuple[Expression, Unit]:
    return level.expressions[j], level.units[j]


def _unary(operator: str, level: _Level, part: list[int], j: int) -> tuple[Expression, Unit]:
    of, unit = _member(level, part[j])
    named = f"({of.name}){operator}" if operator[0] == "^" else f"{operator}({of.name})"
    power = Fraction(operator[1:]) if operator[0] == "^" else Fraction(1)
    return Expression(named, (operator, of.tree)), _sorted({b: e * power for b, e in unit})


def _binary(
    operator: str,
    one: tuple[_Level, int],
    many: tuple[_Level, list[int]],
    turned: bool,
    j: int,
) -> tuple[Expression, Unit]:
    sides = [_member(*one), _member(many[0], many[1][j])]
    (a, unit_a), (b, unit_b) = sides[::-1] if turned else sides
    expression = Expression(f"({a.name} {operator} {b.name})", (operator, a.tree, b.tree))
    if operator in ("+", "-"):
        return expression, unit_a
    exponents = dict(unit_a)
    for base, power in unit_b:
        exponents[base] = exponents.get(base, Fraction(0)) + (power if operator == "*" else -power)
    return expression, _sorted(exponents)


def _sorted(exponents: Mapping[str, Fraction]) -> Unit:
    return tuple(sorted((base, power) for base, power in exponents.items() if power))


def _evaluate(tree: tuple[Any, ...], values: FloatArray) -> Any:
    if tree[0] == "x":
        return values[:, tree[1]]
    if tree[0] in _UNARY:
        return _UNARY[tree[0]](_evaluate(tree[1], values))
    return _BINARY[tree[0]](_evaluate(tree[1], values), _evaluate(tree[2], values))


def _usable(block: FloatArray) -> NDArray[np.bool_]:
    """Whether each column varies, and neither vanishes nor grows without bound."""
    with np.errstate(all="ignore"):
        largest = np.abs(block).max(axis=0)
        varies = np.ptp(block, axis=0) > _SAME * largest
    usable: NDArray[np.bool_] = (largest >= _SMALLEST) & (largest <= _LARGEST) & varies
    return usable


def _correlations(block: FloatArray, residual: FloatArray) -> FloatArray:
    """Return the size of each column's correlation with the residual, 0 for unusable ones."""
    usable = _usable(block)
    clean = np.where(usable, block, 0.0)
    centred = clean - clean.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    aim = residual - residual.mean()
    size = float(np.linalg.norm(aim))
    if size == 0:
        return np.zeros(block.shape[1])
    scores: FloatArray = np.abs(aim @ centred) / np.where(norms > 0, norms, 1.0) / size
    return np.where(usable, scores, 0.0)


def _unit_vector(column: FloatArray) -> FloatArray:
    centred = column - column.mean()
    direction: FloatArray = centred / np.linalg.norm(centred)
    return direction
