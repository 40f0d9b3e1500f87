"""Energies of the elements, relaxed with the same calculator as what is compared to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.analysis.energies.relaxed_energy import RelaxedEnergy, relaxed_energy
from mlmd.checks import one_structure
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

LATTICES = ("fcc", "bcc", "hcp", "diamond", "sc")
"""Reference states of ASE that are built; most of its others lack their atoms."""
MOLECULES = ("H", "N", "O", "F", "Cl")
"""Diatomic gases at ambient conditions: the reference is one molecule, not its crystal."""
BOX_A = 12.0


@dataclass(frozen=True)
class ElementalReference:
    """An element's energy.

    Attributes
    ----------
    energy_eV_atom
        Potential energy per atom after the relaxation.
    structure
        What was relaxed: ``bcc``, ``Cl2 molecule in a box of 12 A``, ``given``.
    relaxed
        The relaxation.
    """

    energy_eV_atom: float
    structure: str
    relaxed: RelaxedEnergy


def reference_energies(
    symbols: Iterable[str],
    calculator: Calculator,
    structures: Mapping[str, Atoms] | None = None,
    *,
    max_force_eV_A: float = 0.01,
    max_stress_GPa: float = 0.05,
    max_steps: int = 1000,
) -> Mapping[str, ElementalReference]:
    """Relax the elements and return their energies by symbol.

    Without a structure given, an element is the crystal that ASE has as its reference state
    (fcc, bcc, hcp, diamond, simple cubic; carbon is diamond), its cell relaxed too. H, N, O, F
    and Cl are one molecule in a periodic box of 12 A. Initial magnetic moments are ASE's.

    Parameters
    ----------
    symbols
        Chemical symbols; repeated ones are relaxed once.
    calculator
        The one that gave the energies to be compared.
    structures
        Structures by symbol to use instead; periodic in three directions, cell relaxed.
    max_force_eV_A, max_stress_GPa, max_steps
        Of the relaxations.

    Raises
    ------
    InputError
        If a symbol is unknown, if its reference state cannot be built, or a structure is not
        one of the element.
    SimulationError
        If a relaxation does not converge.

    Notes
    -----
    A primitive cell is too small for calculators whose cutoff is at most half the cell: give
    `structures` then. A molecule's energy per atom is not that of its crystal: its cohesion,
    a few 0.01 eV per atom, is missing.
    """
    given = structures or {}
    wanted = list(dict.fromkeys([symbols] if isinstance(symbols, str) else symbols))
    starts = _starts(wanted, given)
    references = {}
    for symbol, (atoms, structure) in starts.items():
        relaxed = relaxed_energy(
            atoms,
            calculator,
            f"reference of {symbol} ({structure})",
            max_force_eV_A=max_force_eV_A,
            max_stress_GPa=None if "molecule" in structure else max_stress_GPa,
            max_steps=max_steps,
        )
        references[symbol] = ElementalReference(relaxed.energy_eV_atom, structure, relaxed)
    return references


def _starts(symbols: list[str], given: Mapping[str, Atoms]) -> dict[str, tuple[Atoms, str]]:
    """Return a structure and its name for every element, or say which have none."""
    from ase.data import atomic_numbers

    if not symbols:
        raise InputError("no element was given; expected at least one chemical symbol")
    unknown = [symbol for symbol in (*symbols, *given) if atomic_numbers.get(symbol, 0) < 1]
    if unknown:
        raise InputError(f"unknown element(s) {', '.join(map(repr, unknown))}; expected symbols")
    starts: dict[str, tuple[Atoms, str]] = {}
    for symbol in symbols:
        if symbol in given:
            if set(one_structure(f"structure of {symbol}", given[symbol]).symbols) != {symbol}:
                raise InputError(
                    f"structure of {symbol} is {given[symbol].get_chemical_formula()}; expected "
                    f"atoms of {symbol} alone"
                )
            starts[symbol] = (given[symbol].copy(), "given")
        elif (built := _built(symbol)) is not None:
            starts[symbol] = built
    missing = [symbol for symbol in symbols if symbol not in starts]
    if missing:
        raise InputError(
            f"no reference structure is known for {', '.join(missing)}; give them: structures="
            f"{{'{missing[0]}': atoms of its stable crystal}}"
        )
    return starts


def _built(symbol: str) -> tuple[Atoms, str] | None:
    """Return an element's reference state as ASE has it; None where it has none to build."""
    from ase.build import bulk, molecule
    from ase.data import atomic_numbers, reference_states

    if symbol in MOLECULES:
        atoms = molecule(f"{symbol}2", cell=[BOX_A] * 3, pbc=True)
        atoms.center()
        return atoms, f"{symbol}2 molecule in a box of {BOX_A:g} A"
    state = reference_states[atomic_numbers[symbol]]
    # What it calls the hcp of Se and Te is a lattice of chains without its atoms.
    if state is None or state["symmetry"] not in LATTICES or symbol in ("Se", "Te"):
        return None
    return bulk(symbol), state["symmetry"]
