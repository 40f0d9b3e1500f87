"""Vacancies: atoms of one element taken out of a crystal at random."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from mlmd import checks
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)


def with_vacancies(
    atoms: Atoms,
    symbol: str,
    *,
    fraction: float | None = None,
    n: int | None = None,
    seed: int,
) -> Atoms:
    """Take atoms of one element out at random.

    A mobile ion that fills all of its sites has nowhere to go; crystals that are not
    stoichiometric are simulated with 1-2 % of its sites empty (Lopez et al., 2023).

    Parameters
    ----------
    atoms : ase.Atoms
        The structure, usually a supercell.
    symbol : str
        Element of which atoms are taken out.
    fraction
        Fraction of its atoms, between 0 and 1. The nearest whole number is taken out, but at
        least one (with a warning where that is more than twice what was asked for) and never
        all.
    n
        How many atoms, instead of `fraction`.
    seed : int
        Not negative; the same seed empties the same sites.

    Returns
    -------
    ase.Atoms
        A copy without those atoms, the others in their order, without momenta and calculator.
        ``info["vacancies"]`` is a list with one record for each call: ``symbol``, ``n``, the
        ``fraction`` that it came to, ``seed``, and ``sites``, the indices in the structure
        that was given to that call.

    Raises
    ------
    InputError
        If the element is not there, a number cannot be used, not one of `fraction` and `n` is
        given, or no atom of the element would remain.

    Notes
    -----
    Charge is not kept: every Li+ taken out leaves the cell charged by -1 in a method that
    counts charges (oxidation states, initial charges; in DFT a hole). Machine-learned
    potentials without charges see a neutral but oxidised material. Where that matters take
    out anions as well, by a second call, or substitute.
    """
    checks.one_structure("atoms", atoms)
    seed = checks.whole_number("seed", seed, least=0, most=None)
    sites = np.flatnonzero(np.asarray(atoms.symbols) == symbol)
    if sites.size == 0:
        present = ", ".join(sorted(set(atoms.symbols)))
        raise InputError(f"the structure has no {symbol!r}; expected one of {present or 'nothing'}")
    if (fraction is None) == (n is None):
        raise InputError(f"fraction is {fraction} and n is {n}; expected one of them")
    if fraction is not None:
        n = _nearest(fraction, sites.size)
    n = checks.whole_number("n", n, least=1)
    if n >= sites.size:
        raise InputError(
            f"{n} of {sites.size} {symbol} atoms would be taken out; expected that at least one "
            "remains, use a larger supercell or take out fewer"
        )
    chosen = np.sort(np.random.default_rng(seed).choice(sites, size=n, replace=False))
    result: Atoms = atoms.copy()
    result.arrays.pop("momenta", None)
    del result[chosen.tolist()]
    record = {
        "symbol": symbol,
        "n": n,
        "fraction": n / sites.size,
        "seed": seed,
        "sites": chosen.tolist(),
    }
    result.info["vacancies"] = [*atoms.info.get("vacancies", []), record]
    return result


def _nearest(fraction: float, n_sites: int) -> int:
    """Whole number of vacancies, at least one."""
    fraction = checks.fraction("fraction (0.02 for 2 %)", fraction)
    number = max(1, math.floor(fraction * n_sites + 0.5))
    if number > 2 * fraction * n_sites:
        logger.warning(
            "one vacancy in %d sites is %.2g %%, not %.2g %%: use a larger supercell",
            n_sites,
            100.0 / n_sites,
            100.0 * fraction,
        )
    return number
