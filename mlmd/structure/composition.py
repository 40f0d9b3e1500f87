"""Chemical compositions: from any way of writing one to whole formula units."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from ase.data import atomic_masses, atomic_numbers

from mlmd.checks import whole_number
from mlmd.errors import InputError
from mlmd.structure.formula import parse_formula

logger = logging.getLogger(__name__)

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

        See `mlmd.structure.formula` for what can be written.

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
        amounts = parse_formula(text)
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

        The nearest whole number of formula units is taken (of two equally near, the larger),
        and at least one. That is never fewer than two thirds of `n_atoms`, and at most 1.5
        times as many (or 50 atoms, where a small number is asked for).

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
        wanted = whole_number("n_atoms", n_atoms, least=1)
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
