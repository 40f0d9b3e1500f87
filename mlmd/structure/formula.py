"""Chemical formulas as text: nested brackets, whole and decimal amounts, exact."""

from __future__ import annotations

import logging
import re
import unicodedata
from fractions import Fraction

from ase.data import atomic_numbers

from mlmd.errors import InputError

logger = logging.getLogger(__name__)

_OPENING = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(r"(?P<symbol>[A-Z][a-z]?)|(?P<number>[0-9]+\.?[0-9]*|\.[0-9]+)|(?P<sign>.)")
_LONGEST_TEXT = 300
_LONGEST_NUMBER = 12
_EXAMPLES = "write it like Li3PS4, Li0.5Si0.5 or (Li2S)0.75(P2S5)0.25"


def parse_formula(text: str) -> dict[str, Fraction]:
    """Amount of each element of a formula, in the order in which they first appear.

    Amounts are exact: 0.75 is 3/4. A decimal of four or more places that is a rounded third,
    sixth, seventh, ninth, eleventh or twelfth (0.3333, 0.6667, 0.1429) is taken for that
    fraction, which is nearer to what is meant than 3333/10000.

    Parameters
    ----------
    text : str
        For example ``Li3PS4``, ``Li0.5Si0.5`` or ``(Li2S)0.75(P2S5)0.25``; spaces and
        subscript digits are allowed, and brackets of three kinds.

    Raises
    ------
    InputError
        If the text is empty, names an unknown element, has an amount that is not positive,
        unbalanced brackets, or anything else.
    """
    if not isinstance(text, str) or not text.strip():
        shown = repr(text) if isinstance(text, str) else type(text).__name__
        raise InputError(f"composition is empty (given: {shown}); {_EXAMPLES}")
    if len(text) > _LONGEST_TEXT:
        raise InputError(
            f"composition has {len(text)} characters; expected at most {_LONGEST_TEXT}"
        )
    return _Parser(text).parse()


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
