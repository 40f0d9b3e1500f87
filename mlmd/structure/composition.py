"""Chemical compositions: from any way of writing one to whole formula units."""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from mlmd.errors import InputError

logger = logging.getLogger(__name__)

_OPENING = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(r"(?P<symbol>[A-Z][a-z]?)|(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)|(?P<sign>.)")
_LONGEST_TEXT = 300
_LONGEST_NUMBER = 12
_EXAMPLES = "write it like Li3PS4, Li0.5Si0.5 or (Li2S)0.75(P2S5)0.25"

# A cell may have up to this many times the atoms asked for, or this many atoms, whichever is
# more, so that one whole formula unit fits; beyond that the answer would not be what was meant.
_MOST_TIMES_ASKED = 1.5
_ALWAYS_ALLOWED_ATOMS = 50


@dataclass(frozen=True)
class Composition:
    """What a material is made of, in exact proportions.

    Attributes
    ----------
    text : str
        The composition as it was written.
    amounts : tuple of (str, Fraction)
        Chemical symbol and amount, in the order in which the elements first appear.

    Examples
    --------
    >>> Composition.parse("(Li2S)0.75(P2S5)0.25").formula
    'Li3S4P'
    """

    text: str
    amounts: tuple[tuple[str, Fraction], ...]

    @classmethod
    def parse(cls, text: str) -> Composition:
        """Read a composition with nested brackets and whole or decimal amounts.

        Amounts are exact. A decimal of four or more places that is a rounded third, sixth,
        seventh, ninth, eleventh or twelfth (0.3333, 0.6667, 0.1429) is taken for that
        fraction, which is nearer to what is meant than 3333/10000.

        Parameters
        ----------
        text : str
            For example ``Li3PS4``, ``Li0.5Si0.5`` or ``(Li2S)0.75(P2S5)0.25``.

        Raises
        ------
        InputError
            If the text is empty, names an unknown element, has an amount that is not
            positive, unbalanced brackets, or anything else.
        """
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"composition is empty (given: {text!r}); {_EXAMPLES}")
        if len(text) > _LONGEST_TEXT:
            raise InputError(
                f"composition has {len(text)} characters; expected at most {_LONGEST_TEXT}"
            )
        amounts = _Parser(text).parse()
        return cls(text=text.strip(), amounts=tuple(amounts.items()))

    @cached_property
    def reduced(self) -> dict[str, int]:
        """Atoms of each element in the smallest formula unit of whole numbers."""
        scale = math.lcm(*(amount.denominator for _, amount in self.amounts))
        whole = {symbol: int(amount * scale) for symbol, amount in self.amounts}
        divisor = math.gcd(*whole.values())
        return {symbol: number // divisor for symbol, number in whole.items()}

    @cached_property
    def formula(self) -> str:
        """The smallest formula unit of whole numbers as text, such as ``Li3PS4``."""
        return "".join(f"{s}{n if n > 1 else ''}" for s, n in self.reduced.items())

    @cached_property
    def atoms_per_unit(self) -> int:
        """Number of atoms in the smallest formula unit of whole numbers."""
        return sum(self.reduced.values())

    @cached_property
    def fractions(self) -> dict[str, float]:
        """Share of each element among the atoms; the shares add up to 1."""
        return {symbol: n / self.atoms_per_unit for symbol, n in self.reduced.items()}

    @cached_property
    def mass_per_atom_u(self) -> float:
        """Mean mass of an atom, in unified atomic mass units."""
        return float(sum(x * atomic_masses[atomic_numbers[s]] for s, x in self.fractions.items()))

    def counts(self, n_atoms: int) -> dict[str, int]:
        """Atoms of each element in about `n_atoms`, in whole formula units.

        The nearest whole number of formula units is taken, and at least one. That is never
        fewer than two thirds of `n_atoms`, and at most 1.5 times as many (or 50 atoms, where
        a small number is asked for).

        Parameters
        ----------
        n_atoms : int
            Number of atoms wished for, at least 1.

        Raises
        ------
        InputError
            If `n_atoms` is not a positive whole number, or a single formula unit has far
            more atoms than that.
        """
        wanted = positive_integer("n_atoms", n_atoms)
        unit = self.atoms_per_unit
        if unit > max(_MOST_TIMES_ASKED * wanted, _ALWAYS_ALLOWED_ATOMS):
            shown = self.formula if len(self.formula) <= 40 else self.text
            raise InputError(
                f"the smallest whole formula unit of {shown} has {unit} atoms, but about {wanted} "
                "are asked for; give a composition with simpler ratios (1/3 is 0.3333, or write "
                "whole numbers), or raise n_atoms"
            )
        units = max(1, math.floor(Fraction(wanted, unit) + Fraction(1, 2)))
        if abs(units * unit - wanted) > 0.1 * wanted:
            logger.info("%d atoms of %s instead of %d", units * unit, self.formula, wanted)
        return {symbol: units * number for symbol, number in self.reduced.items()}


def positive_integer(name: str, value: Any) -> int:
    """Return `value` as an int, or raise InputError if it is not a whole number above 0."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} is {value!r}; expected a whole number of at least 1")
    return int(value)


class _Parser:
    """Recursive descent over ``group := (symbol | '(' group ')') [number]``, repeated."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()
        plain = "".join(unicodedata.normalize("NFKC", text).split())  # subscripts become digits
        self.tokens = [(m.lastgroup, m.group()) for m in _TOKEN.finditer(plain)]
        self.place = 0

    def parse(self) -> dict[str, Fraction]:
        """Read the whole text."""
        return self._group(closing=None)

    def _fail(self, what: str) -> InputError:
        return InputError(f"composition {self.text!r}: {what}")

    def _group(self, closing: str | None) -> dict[str, Fraction]:
        total: dict[str, Fraction] = {}
        while self.place < len(self.tokens):
            kind, token = self.tokens[self.place]
            self.place += 1
            if kind == "symbol":
                if token == "X" or token not in atomic_numbers:
                    raise self._fail(f"unknown element {token!r}; {_EXAMPLES}")
                part = {token: Fraction(1)}
            elif token in _OPENING:
                part = self._group(closing=_OPENING[token])
            elif token in _OPENING.values():
                if token != closing:
                    raise self._fail(f"unbalanced bracket {token!r}; close each bracket once")
                if not total:
                    raise self._fail("empty brackets; put a formula into them or leave them out")
                return total
            else:
                raise self._unexpected(kind, token)
            factor = self._number()
            for symbol, amount in part.items():
                total[symbol] = total.get(symbol, Fraction(0)) + amount * factor
        if closing is not None:
            raise self._fail(f"unbalanced bracket, {closing!r} is missing; close each bracket once")
        return total

    def _unexpected(self, kind: str | None, token: str) -> InputError:
        if kind == "number":
            return self._fail(f"{token} stands before what it counts; {_EXAMPLES}")
        if token in "-\N{MINUS SIGN}":
            return self._fail(f"{token!r} is not allowed, amounts are positive; {_EXAMPLES}")
        return self._fail(f"{token!r} is no element and no amount; {_EXAMPLES}")

    def _number(self) -> Fraction:
        if self.place == len(self.tokens) or self.tokens[self.place][0] != "number":
            return Fraction(1)
        token = self.tokens[self.place][1]
        self.place += 1
        if len(token) > _LONGEST_NUMBER:
            raise self._fail(f"amount {token} has more than {_LONGEST_NUMBER} digits; round it")
        amount = _amount(token)
        if amount <= 0:
            raise self._fail(f"amount {token} is not positive; leave the element out")
        return amount


def _amount(token: str) -> Fraction:
    """Value of a decimal number; what is a rounded small fraction becomes that fraction."""
    exact = Fraction(token if token[0] != "." else f"0{token}")
    places = len(token.partition(".")[2])
    simple = exact.limit_denominator(12)
    recurring = any(simple.denominator % prime == 0 for prime in (3, 7, 11))
    if places >= 4 and recurring and abs(simple - exact) <= Fraction(1, 2 * 10**places):
        logger.info("amount %s is taken as %s", token, simple)
        return simple
    return exact
