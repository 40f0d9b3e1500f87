"""The candidates of SISSO: features and formulas made of them, with their units."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray, FloatArray, IntArray

Unit = tuple[tuple[str, Fraction], ...]

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
_JOINS = (("+", False), ("-", False), ("*", False), ("/", False), ("/", True))
OPERATORS = (*_BINARY, *_UNARY)
"""Operators that formulas may have: those of the published input."""

SMALLEST, LARGEST = 1e-4, 1e5  # maxfval_lb and maxfval_ub of the published input
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
class Block:
    """Candidates side by side.

    Attributes
    ----------
    columns : (rows, n) array
        Their values.
    units : (n, bases) array of int
        Exponents of their units, in a common fraction.
    write : callable
        Gives the expression of one of them.
    """

    columns: FloatArray
    units: IntArray
    write: Callable[[int], Expression]

    def of(self, chosen: IntArray) -> Block:
        """Return some of them."""
        return Block(
            self.columns[:, chosen], self.units[chosen], lambda j: self.write(int(chosen[j]))
        )

    def chunks(self) -> list[Block]:
        """Part them into blocks that are small enough to work with."""
        n = len(self.units)
        return [self.of(np.arange(i, min(i + _CHUNK, n))) for i in range(0, n, _CHUNK)]


@dataclass(frozen=True, eq=False)
class Join:
    """All that an operator makes of one of few and one of many, not evaluated yet.

    Attributes
    ----------
    operator : str
        Of two formulas.
    turned : bool
        Whether the one of many comes first.
    few, many : Block
        If they are the same, each pair counts once and nothing is joined to itself.
    """

    operator: str
    turned: bool
    few: Block
    many: Block

    def allowed(self) -> BoolArray:
        """Return which pairs make sense, as (few, many)."""
        few, many = self.few, self.many
        allowed = np.ones((len(few.units), len(many.units)), dtype=bool)
        if self.operator in ("+", "-"):
            allowed = (few.units[:, None] == many.units).all(axis=2)
        elif self.operator == "/":
            divisor = (few if self.turned else many).columns
            allowed &= _keeps_sign(divisor)[:, None] if self.turned else _keeps_sign(divisor)
        return np.triu(allowed, 1) if few is many else allowed

    def of(self, chosen: IntArray) -> Block:
        """Evaluate pairs, counted row by row of (few, many)."""
        i, j = np.divmod(chosen, len(self.many.units))
        few, many = self.few.of(i), self.many.of(j)
        one, other = (many, few) if self.turned else (few, many)
        units = one.units
        if self.operator in ("*", "/"):
            units = units + other.units if self.operator == "*" else units - other.units

        def write(k: int) -> Expression:
            a, b = one.write(k), other.write(k)
            name = f"({a.name} {self.operator} {b.name})"
            return Expression(name, (self.operator, a.tree, b.tree))

        with np.errstate(all="ignore"):
            return Block(_BINARY[self.operator](one.columns, other.columns), units, write)


class Space:
    """All formulas of up to so many operators.

    Those with the most operators are never made but left as joins, and those with one fewer are
    made anew whenever they are asked for. What is divided by keeps its sign in all rows, so that
    no formula has a pole between them.

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
        Unit of each column; one that has none there is measured in a unit of its own. Without
        it all are pure numbers.

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
        self._unary = [o for o in _UNARY if o in operators]
        self._joins = [join for join in _JOINS if join[0] in operators]
        exponents = _whole([() if units is None else _unit(name, units) for name in names])
        primary = [Expression(name, ("x", i)) for i, name in enumerate(names)]
        self._levels = [Block(values, exponents, primary.__getitem__)]
        self._most = max_operators if operators else 0
        for n_operators in range(1, self._most - 1):
            self._levels.append(self._hold(n_operators))

    def candidates(self) -> Iterator[Block | Join]:
        """Give all formulas, those with few operators first; some are given twice."""
        for level in self._levels:
            yield from level.chunks()
        if self._most == 0:
            return
        held = self._most == 1
        for below in self._levels[-1].chunks() if held else self._make(self._most - 1):
            if not held:
                yield below
            yield from (_apply(operator, below) for operator in self._unary)
            if not held:
                for few in self._levels[0].chunks():
                    yield from (Join(*how, few, below) for how in self._joins)
        yield from self._join(self._most, first=0 if held else 1)

    def _hold(self, n_operators: int) -> Block:
        blocks: list[Block] = []
        for block in self._make(n_operators):
            blocks.append(block)
            if sum(len(one.units) for one in blocks) > _MOST_KEPT:
                raise InputError(
                    f"more than {_MOST_KEPT} formulas with {n_operators} operators; give fewer "
                    "features or operators, or a smaller max_operators"
                )
        return _side_by_side(blocks)

    def _make(self, n_operators: int) -> Iterator[Block]:
        """Make the usable formulas with exactly so many operators, some at a time."""
        none = self._levels[0].of(np.arange(0))
        waiting = [none]
        for block in self._make_parts(n_operators):
            waiting.append(block.of(np.flatnonzero(usable(block.columns))))
            if sum(len(one.units) for one in waiting) >= _CHUNK:
                yield _side_by_side(waiting)
                waiting = [none]
        yield _side_by_side(waiting)

    def _make_parts(self, n_operators: int) -> Iterator[Block]:
        for below in self._levels[n_operators - 1].chunks():
            yield from (_apply(operator, below) for operator in self._unary)
        for join in self._join(n_operators):
            pairs = np.flatnonzero(join.allowed())
            yield from (join.of(pairs[i : i + _CHUNK]) for i in range(0, len(pairs), _CHUNK))

    def _join(self, n_operators: int, first: int = 0) -> Iterator[Join]:
        """Join levels held to formulas of so many operators, `first` of them in the smaller."""
        for i in range(first, (n_operators + 1) // 2):
            same = i == n_operators - 1 - i
            left = self._levels[i].chunks()
            right = left if same else self._levels[n_operators - 1 - i].chunks()
            for k, few in enumerate(left):
                for many in right[k:] if same else right:
                    yield from (Join(*how, few, many) for how in self._joins)


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
    return tuple(sorted((base, power) for base, power in exponents.items() if power))


def _unit(name: str, units: Mapping[str, str]) -> Unit:
    return parse_unit(units[name]) if name in units else ((f"unit of {name}", Fraction(1)),)


def _whole(units: Sequence[Unit]) -> IntArray:
    """Return exponents as whole numbers of a common fraction, a row for each unit."""
    bases = sorted({base for unit in units for base, _ in unit})
    common = lcm(*(power.denominator for unit in units for _, power in unit))
    rows = [[int(dict(unit).get(base, 0) * common) for base in bases] for unit in units]
    return np.array(rows, dtype=np.int64).reshape(len(units), len(bases))


def _side_by_side(blocks: Sequence[Block]) -> Block:
    starts = np.cumsum([0, *(len(block.units) for block in blocks)])

    def write(j: int) -> Expression:
        which = int(np.searchsorted(starts, j, side="right")) - 1
        return blocks[which].write(j - int(starts[which]))

    columns = np.hstack([block.columns for block in blocks])
    return Block(columns, np.vstack([block.units for block in blocks]), write)


def _apply(operator: str, block: Block) -> Block:
    """Return the formulas that one operator makes of each candidate."""
    if operator in ("exp", "exp-", "log"):
        block = block.of(np.flatnonzero(~block.units.any(axis=1)))
    elif operator == "^-1":
        block = block.of(np.flatnonzero(_keeps_sign(block.columns)))
    power = int(operator[1:]) if operator[0] == "^" else 1

    def write(j: int) -> Expression:
        of = block.write(j)
        name = f"({of.name}){operator}" if operator[0] == "^" else f"{operator}({of.name})"
        return Expression(name, (operator, of.tree))

    with np.errstate(all="ignore"):
        return Block(_UNARY[operator](block.columns), power * block.units, write)


def _evaluate(tree: tuple[Any, ...], values: FloatArray) -> Any:
    if tree[0] == "x":
        return values[:, tree[1]]
    if tree[0] in _UNARY:
        return _UNARY[tree[0]](_evaluate(tree[1], values))
    return _BINARY[tree[0]](_evaluate(tree[1], values), _evaluate(tree[2], values))


def _keeps_sign(columns: FloatArray) -> BoolArray:
    result: BoolArray = (columns.min(axis=0) > 0) | (columns.max(axis=0) < 0)
    return result


def usable(columns: FloatArray) -> BoolArray:
    """Return which columns vary, and neither vanish nor grow without bound."""
    with np.errstate(all="ignore"):
        lowest, highest = columns.min(axis=0), columns.max(axis=0)
        largest = np.maximum(-lowest, highest)
        varies = highest - lowest > _SAME * largest
    good: BoolArray = (largest >= SMALLEST) & (largest <= LARGEST) & varies
    return good
