"""A composition as fractions of atoms."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mlmd.checks import positive_number
from mlmd.errors import InputError
from mlmd.structure.formula import parse_formula


def atomic_fractions(composition: str | Mapping[str, float]) -> dict[str, float]:
    """Return the fraction of atoms of each element; they add up to one.

    Parameters
    ----------
    composition
        A formula (``Li3PS4``), or amounts by chemical symbol.

    Raises
    ------
    InputError
        If the formula is not understood, a symbol is unknown or an amount is not positive.
    """
    if isinstance(composition, Mapping):
        from ase.data import atomic_numbers

        for symbol, amount in composition.items():
            if atomic_numbers.get(symbol, 0) < 1:
                raise InputError(f"composition has {symbol!r}; expected chemical elements")
            positive_number(f"the amount of {symbol} in the composition", amount)
    else:
        composition = {symbol: float(n) for symbol, n in parse_formula(composition).items()}
    total = math.fsum(composition.values())
    if total == 0:
        raise InputError("composition is empty; write it like Li3PS4")
    return {symbol: amount / total for symbol, amount in composition.items()}
