"""What a composition is made of, as columns that say which elements are alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from mlmd.descriptors.elements import package_elements
from mlmd.descriptors.table_file import import_pandas
from mlmd.errors import InputError
from mlmd.structure.composition import Composition

if TYPE_CHECKING:
    import pandas as pd

    from mlmd.arrays import FloatArray


PREFIX, COMPOSITION = "fraction_", "composition"
_HEAVIEST = 94
_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)  # where periods end
_N_GROUPS = 18


def fraction_columns() -> list[str]:
    """Return the names of the columns of `element_fractions`: fraction_H to fraction_Pu."""
    return [PREFIX + symbol for symbol in chemical_symbols[1 : _HEAVIEST + 1]]


def element_fractions(formulas: Sequence[str], index: Any = None) -> pd.DataFrame:
    """Return the share of the atoms that is of each element, a row for each formula.

    Raises
    ------
    InputError
        If a formula has an element beyond plutonium.
    """
    fractions = np.zeros((len(formulas), _HEAVIEST))
    for i, formula in enumerate(formulas):
        amounts = Composition.parse(formula).reduced
        for symbol, amount in amounts.items():
            if atomic_numbers[symbol] > _HEAVIEST:
                raise InputError(f"{formula} has {symbol}; expected elements up to Pu")
            fractions[i, atomic_numbers[symbol] - 1] = amount
    fractions /= fractions.sum(axis=1, keepdims=True)
    return import_pandas().DataFrame(fractions, index=index, columns=fraction_columns())


def with_fractions(X: pd.DataFrame, formulas: Sequence[str]) -> pd.DataFrame:
    """Return rows with the columns of `element_fractions` behind them, by place."""
    fractions = element_fractions(formulas)
    both = import_pandas().concat([X.reset_index(drop=True), fractions], axis=1)
    return both.set_axis(X.index, axis=0)


def players(columns: Iterable[Any]) -> dict[str, list[int]]:
    """Return which columns are varied together: each for itself, those of elements as one.

    The share of a single element cannot be changed without that of others. All of them together
    are called "composition".
    """
    found: dict[str, list[int]] = {}
    for i, name in enumerate(map(str, columns)):
        found.setdefault(COMPOSITION if name.startswith(PREFIX) else name, []).append(i)
    return found


@cache
def element_coordinates() -> FloatArray:
    """Return coordinates of the elements in which a scalar product is their likeness.

    Likeness is exp(-d^2 / 2), d the distance in electronegativity, atomic radius, group and
    period, each scaled to unit variance over the elements. An element that no row has lies close
    to those it resembles. Where the package has no electronegativity (noble gases) or radius, it
    counts as the mean.

    Returns
    -------
    (94, 94) array
        Row Z - 1 is element Z: the symmetric square root of the likenesses, so that column Z - 1
        stands for Z and, to a smaller share, what is like it. One array for all callers; it
        cannot be written to.
    """
    table, numbers = package_elements(), np.arange(1, _HEAVIEST + 1)
    places = np.array([(_group(z), _period(z)) for z in numbers.tolist()], dtype=float)
    known = [table.of(name, numbers) for name in ("electronegativity", "atomic_radius_A")]
    properties = np.column_stack([*known, places])
    scaled = (properties - np.nanmean(properties, axis=0)) / np.nanstd(properties, axis=0)
    scaled = np.nan_to_num(scaled)
    squared = np.sum((scaled[:, None] - scaled) ** 2, axis=-1)
    values, vectors = np.linalg.eigh(np.exp(-squared / 2))
    coordinates: FloatArray = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    coordinates.setflags(write=False)
    return coordinates


def _period(z: int) -> int:
    return int(np.searchsorted(_NOBLE, z))


def _group(z: int) -> int:
    """Return the group; 3 for lanthanoids and actinoids."""
    period = _period(z)
    place, to_noble = z - _NOBLE[period - 1], _NOBLE[period] - z
    if place <= (1 if period == 1 else 2):
        return place
    return max(_N_GROUPS - to_noble, 3)
