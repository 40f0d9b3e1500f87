"""Partly occupied crystals as ordered ones: those of lowest electrostatic energy, by pymatgen.

Which atom is where decides what a scan finds, so that several orderings stand for one crystal, and
nobody orders unasked.
"""

from __future__ import annotations

import logging
import warnings
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import input_file, whole_number
from mlmd.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

MOST_CELLS = 4
MOST_SITES = 200
"""Of the cell that is made larger until it holds whole atoms."""
WHOLE = 0.25
"""So far from a whole number the atoms of a set of sites may be, as pymatgen has it: occupancies
of real crystals are seldom such that a small cell holds whole atoms."""
_TRIES = 4
"""Orderings asked for in place of one: those that symmetry makes equal count once."""


def orderings(path: str | Path, n: int) -> list[Atoms]:
    """Return ordered crystals that stand for one of a CIF with partly occupied sites.

    Parameters
    ----------
    path
        The CIF; of several crystals the first is taken.
    n
        How many at most: those of the lowest Ewald energies, with oxidation states as pymatgen
        guesses them from the composition. None is returned of a crystal that is ordered already.

    Raises
    ------
    MissingExtraError
        If pymatgen is not installed.
    InputError
        If the file cannot be read, no cell of up to 4 of the given ones and 200 sites holds whole
        atoms, or the oxidation states cannot be told.
    """
    n = whole_number("orderings", n)
    place = input_file(path, "a CIF", "structure file")
    try:
        from pymatgen.io import cif
    except ImportError as error:
        raise MissingExtraError("pymatgen", "screening") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            crystal: Any = cif.CifParser(place).parse_structures(primitive=True)[0]
        except Exception as error:  # of its parser, of many kinds
            raise InputError(
                f"structure file {str(path)!r} cannot be ordered: pymatgen cannot read it "
                f"({type(error).__name__}: {' '.join(str(error).split())}); expected a CIF"
            ) from error
        return [] if crystal.is_ordered else _ordered(str(path), crystal, n)


def _ordered(name: str, crystal: Any, n: int) -> list[Atoms]:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.transformations.standard_transformations import (
        OrderDisorderedStructureTransformation,
    )

    larger = _with_whole_atoms(name, crystal)
    given = larger.composition.element_composition
    whole = given.__class__({kind: round(amount) for kind, amount in given.items()})
    guesses = whole.oxi_state_guesses()
    if not guesses or set(guesses[0]) != {kind.symbol for kind in given}:
        raise InputError(
            f"{name}: the oxidation states of {whole.formula} cannot be told, by which sites are "
            "filled; expected a composition that is neutral, or make an ordered structure"
        )
    larger.add_oxidation_state_by_element(guesses[0])
    ordering = OrderDisorderedStructureTransformation(occ_tol=WHOLE)
    ranked: Any = ordering.apply_transformation(larger, return_ranked_list=_TRIES * n)
    matcher = StructureMatcher(primitive_cell=False, scale=False)
    found: list[Any] = []
    for one in ranked:
        if len(found) < n and not any(matcher.fit(one["structure"], other) for other in found):
            found.append(one["structure"])
    made = []
    for one in found:
        one.remove_oxidation_states()
        atoms = AseAtomsAdaptor.get_atoms(one, msonable=False)
        atoms.info.clear()
        made.append(atoms)
    formula = " and ".join(sorted({atoms.get_chemical_formula() for atoms in made}))
    logger.warning(
        "%s has partly occupied sites (%s): %d ordering(s) of low electrostatic energy stand for "
        "it, as %s",
        *(name, given.formula, len(made), formula),
    )
    return made


def _with_whole_atoms(name: str, crystal: Any) -> Any:
    """Return the smallest supercell in which each set of equal sites holds whole atoms."""
    sizes = sorted(
        (
            size
            for size in product(range(1, MOST_CELLS + 1), repeat=3)
            if np.prod(size) <= MOST_CELLS
        ),
        key=lambda size: (np.prod(size), _longest_A(crystal, size)),
    )
    for size in sizes:
        n_cells = int(np.prod(size))
        if len(crystal) * n_cells <= MOST_SITES and _is_whole(crystal, n_cells):
            return crystal.make_supercell(size, in_place=False)
    raise InputError(
        f"{name}: no cell of up to {MOST_CELLS} of the given ones and {MOST_SITES} sites holds "
        "whole atoms; make an ordered structure"
    )


def _longest_A(crystal: Any, size: tuple[int, ...]) -> float:
    return float(max(np.array(crystal.lattice.abc) * size))


def _is_whole(crystal: Any, n_cells: int) -> bool:
    """Tell whether sites with the same occupancies hold whole atoms together.

    As the transformation groups them, which rounds what is not.
    """
    groups: list[tuple[Any, int]] = []
    for site in crystal:
        if site.is_ordered:
            continue
        for i, (species, n) in enumerate(groups):
            if site.species.almost_equals(species):
                groups[i] = (species, n + 1)
                break
        else:
            groups.append((site.species, 1))
    amounts = [part * n * n_cells for species, n in groups for part in species.values()]
    return all(abs(one - round(one)) <= WHOLE for one in amounts)
