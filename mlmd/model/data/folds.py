"""Ways to part a table into what is learnt from and what is predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import shown, whole_number
from mlmd.errors import InputError
from mlmd.structure.composition import Composition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import IntArray


class TooFewGroupsError(InputError):
    """Rows that cannot be parted in a way, since they are too few or too alike."""


FOLDS = {
    "published": "85 % in shuffled folds and 15 % held out, as in Zheng et al. 2024",
    "random": "rows; the same formula at another temperature is in both: optimistic",
    "formula": "formulas, reduced",
    "chemical_system": "sets of elements",
    "element": "every row with an element is predicted from rows without it",
}
GROUPINGS = ("chemical_system", "formula", "random")
"""Folds of groups, the widest first."""

PUBLISHED_SEED = 62
PUBLISHED_TRAIN_SHARE = 0.85
_FEWEST_FORMULAS = 5


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from and rows to predict; `held_out` says what the latter are."""

    train: IntArray
    test: IntArray
    held_out: str


@dataclass(frozen=True, eq=False)
class Split:
    """Folds for cross-validation, and rows that are kept out of all of them.

    Attributes
    ----------
    folds : tuple of Fold
        Repetitions one after another.
    train, test : array of int, optional
        All rows that the folds are made of, and those kept out; None where none are.
    """

    folds: tuple[Fold, ...]
    train: IntArray | None = None
    test: IntArray | None = None


def known_folds(name: str) -> None:
    """Raise InputError where a name is of none of `FOLDS`."""
    if not isinstance(name, str) or name not in FOLDS:
        raise InputError(f"no folds {shown(name)}; expected {', '.join(FOLDS)}")


def make_folds(
    name: str,
    formulas: Sequence[str],
    n_splits: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
    mobile: str = "Li",
) -> Split:
    """Part rows.

    Parameters
    ----------
    name : str
        One of `FOLDS`. "published" has its own seed and five folds, whatever is given here.
    formulas : sequence of str
        Of each row.
    n_splits, n_repeats : int
        Folds, and how often rows or groups are shuffled anew. "element" has one fold for each
        element that is in at least five formulas and not in at least five, and no repetition.
    seed : int
        Of the shuffling.
    mobile : str
        The element that is no group of its own.

    Raises
    ------
    InputError
        If there is no such way, or too few rows or groups for it.
    """
    known_folds(name)
    whole_number("n_splits", n_splits, least=2)
    whole_number("n_repeats", n_repeats)
    if name == "published":
        return _published(len(formulas))
    if name == "element":
        return Split(tuple(_elements(formulas, mobile)))
    groups = groups_of(name, formulas)
    if len(np.unique(groups)) < n_splits:
        raise TooFewGroupsError(
            f"{len(np.unique(groups))} group(s) by {name} for {n_splits} folds; give more rows, or "
            "take other folds (--folds)"
        )
    rng = np.random.default_rng(seed)
    folds = [f for _ in range(n_repeats) for f in _grouped(groups, n_splits, rng)]
    return Split(tuple(folds))


def groups_of(name: str, formulas: Sequence[str]) -> NDArray[Any]:
    """Return what rows share that these folds, one of `GROUPINGS`, keep together."""
    if name == "random":
        return np.arange(len(formulas))
    group = {"formula": reduced_formula, "chemical_system": chemical_system}[name]
    return np.array([group(formula) for formula in formulas])


def widest_grouping(formulas: Sequence[str], n_groups: int) -> str:
    """Return the first of `GROUPINGS` of which there are so many groups.

    Raises
    ------
    InputError
        If there are not even so many rows.
    """
    for name in GROUPINGS:
        if len(np.unique(groups_of(name, formulas))) >= n_groups:
            return name
    raise TooFewGroupsError(f"{len(formulas)} row(s) to learn from; expected at least {n_groups}")


@cache
def reduced_formula(formula: str) -> str:
    """Return the formula with the smallest whole numbers, elements in alphabetical order."""
    amounts = Composition.parse(formula).reduced
    return "".join(f"{symbol}{amounts[symbol]}" for symbol in sorted(amounts))


@cache
def chemical_system(formula: str) -> str:
    """Return the elements in alphabetical order, as in Li-O-P."""
    return "-".join(sorted(Composition.parse(formula).reduced))


def _published(n_rows: int) -> Split:
    from sklearn.model_selection import KFold, train_test_split

    if n_rows < 20:
        raise TooFewGroupsError(f"{n_rows} rows; the published folds need at least 20")
    train, test = train_test_split(
        np.arange(n_rows), train_size=PUBLISHED_TRAIN_SHARE, random_state=PUBLISHED_SEED
    )
    parts = KFold(5, shuffle=True, random_state=PUBLISHED_SEED).split(train)
    folds = tuple(Fold(train[a], train[b], f"fold {i}") for i, (a, b) in enumerate(parts, start=1))
    return Split(folds, train, test)


def _grouped(groups: NDArray[Any], n_splits: int, rng: np.random.Generator) -> Iterator[Fold]:
    for i, held in enumerate(np.array_split(rng.permutation(np.unique(groups)), n_splits), start=1):
        is_test = np.isin(groups, held)
        yield Fold(np.flatnonzero(~is_test), np.flatnonzero(is_test), f"fold {i}")


def _elements(formulas: Sequence[str], mobile: str) -> Iterator[Fold]:
    made_of = [frozenset(chemical_system(f).split("-")) for f in formulas]
    units = np.array([reduced_formula(f) for f in formulas])
    found = False
    for element in sorted(frozenset().union(*made_of) - {mobile}):
        has = np.array([element in one for one in made_of])
        if min(len(set(units[has])), len(set(units[~has]))) >= _FEWEST_FORMULAS:
            found = True
            yield Fold(np.flatnonzero(~has), np.flatnonzero(has), element)
    if not found:
        raise TooFewGroupsError(
            f"no element is in {_FEWEST_FORMULAS} formulas and not in {_FEWEST_FORMULAS} others; "
            "take other folds"
        )
