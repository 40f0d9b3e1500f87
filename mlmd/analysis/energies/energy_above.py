r"""How far an amorphous solid lies above a crystal, or above the hull of competing phases.

The convex hull's energy at the composition x is the lowest energy of any mixture of the phases,

.. math::

    E_{hull}(x) = \min_{w \ge 0} \sum_k w_k E_k, \quad \sum_k w_k x_k = x

with w the fraction of atoms in phase k and E its energy per atom. The amorphous solid itself is
not among the phases, so that what is below the hull comes out negative.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.analysis.energies.fractions import atomic_fractions
from mlmd.analysis.energies.relaxed_energy import RelaxedEnergy, relaxed_energy
from mlmd.checks import one_structure
from mlmd.errors import InputError, MissingExtraError
from mlmd.numerics.short_series import short_series_mean

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.analysis.energies.elemental_references import ElementalReference

SAME_FRACTION = 1e-6


@dataclass(frozen=True)
class EnergyAbove:
    """Energy above a crystal or a hull, per atom.

    Attributes
    ----------
    mean_eV_atom, stderr_eV_atom
        Mean over the structures and its standard error; None for one structure.
    lowest_eV_atom
        Of the lowest structure.
    above
        ``crystal`` or ``hull``.
    stable_eV_atom
        Energy of that crystal, or of the hull at the composition.
    mixture
        What that is made of: fraction of atoms by name of the phase.
    phases
        Every phase that was relaxed, by name.
    stderr_method
        How the error was made; that of the sampling alone.
    """

    mean_eV_atom: float
    stderr_eV_atom: float | None
    lowest_eV_atom: float
    above: str
    stable_eV_atom: float
    mixture: Mapping[str, float]
    phases: Mapping[str, RelaxedEnergy]
    stderr_method: str


def energy_above(
    energies_eV_atom: Sequence[float],
    composition: str | Mapping[str, float],
    crystals: Mapping[str, Atoms],
    calculator: Calculator,
    references: Mapping[str, ElementalReference] | None = None,
    *,
    max_force_eV_A: float = 0.01,
    max_stress_GPa: float = 0.05,
    max_steps: int = 1000,
) -> EnergyAbove:
    """Relax crystals and return how far structures of a composition lie above them.

    Above the lowest of the crystals where all have the composition and no references are given;
    otherwise above the convex hull (pymatgen). A hull needs every element of the composition,
    among the crystals or as a reference.

    Parameters
    ----------
    energies_eV_atom : (n,)
        Potential energies per atom of relaxed structures, in the order of time.
    composition
        A formula (``Li3PS4``), or amounts by element.
    crystals
        Competing phases by name, cell relaxed too. One with an element that the composition
        does not have takes no part.
    calculator
        The one that gave `energies_eV_atom`.
    references
        Elements that :func:`mlmd.analysis.reference_energies` has relaxed already.
    max_force_eV_A, max_stress_GPa, max_steps
        Of the relaxations.

    Raises
    ------
    InputError
        If no crystal has only elements of the composition, or the hull lacks an element.
    MissingExtraError
        If a hull is needed and pymatgen is not installed.
    SimulationError
        If a relaxation does not converge.
    """
    fractions = atomic_fractions(composition)
    mean = short_series_mean(energies_eV_atom)
    taken = {
        name: atoms
        for name, atoms in crystals.items()
        if set(one_structure(f"crystal '{name}'", atoms).symbols) <= set(fractions)
    }
    elements = {s: r for s, r in (references or {}).items() if s in fractions}
    if not taken:
        raise InputError(
            f"no crystal of {', '.join(fractions)} alone was given; expected at least one"
        )
    one_composition = references is None and all(_is(atoms, fractions) for atoms in taken.values())
    if not one_composition:
        _check_hull(fractions, taken, elements)
    phases = {
        name: relaxed_energy(
            atoms,
            calculator,
            f"crystal '{name}' ({atoms.get_chemical_formula()})",
            max_force_eV_A=max_force_eV_A,
            max_stress_GPa=max_stress_GPa,
            max_steps=max_steps,
        )
        for name, atoms in taken.items()
    }
    if one_composition:
        lowest = min(phases, key=lambda name: phases[name].energy_eV_atom)
        stable_eV_atom, mixture = phases[lowest].energy_eV_atom, {lowest: 1.0}
    else:
        phases |= {f"{s} ({r.structure})": r.relaxed for s, r in elements.items()}
        stable_eV_atom, mixture = _hull(fractions, phases)
    return EnergyAbove(
        mean_eV_atom=mean.mean - stable_eV_atom,
        stderr_eV_atom=mean.stderr,
        lowest_eV_atom=float(min(energies_eV_atom)) - stable_eV_atom,
        above="crystal" if one_composition else "hull",
        stable_eV_atom=stable_eV_atom,
        mixture=mixture,
        phases=phases,
        stderr_method=mean.method,
    )


def _is(atoms: Atoms, fractions: Mapping[str, float]) -> bool:
    """Tell whether atoms have a composition."""
    there = atomic_fractions(atoms.get_chemical_formula())
    return there.keys() == fractions.keys() and all(
        math.isclose(there[symbol], fractions[symbol], abs_tol=SAME_FRACTION) for symbol in there
    )


def _check_hull(
    fractions: Mapping[str, float],
    crystals: Mapping[str, Atoms],
    elements: Mapping[str, ElementalReference],
) -> None:
    """See that there is a hull to be made, before anything is relaxed."""
    import importlib.util

    if importlib.util.find_spec("pymatgen") is None:
        raise MissingExtraError("pymatgen", "hull")
    pure = {symbol for atoms in crystals.values() for symbol in _single(atoms)} | set(elements)
    missing = [symbol for symbol in fractions if symbol not in pure]
    if missing:
        raise InputError(
            f"a hull needs the elements too and {', '.join(missing)} is missing; give it among "
            "the crystals, or the references of reference_energies"
        )


def _single(atoms: Atoms) -> set[str]:
    symbols = set(atoms.symbols)
    return symbols if len(symbols) == 1 else set()


def _hull(
    fractions: Mapping[str, float], phases: Mapping[str, RelaxedEnergy]
) -> tuple[float, dict[str, float]]:
    """Return the hull's energy per atom at a composition and the phases that it is made of."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core.composition import Composition

    entries = []
    for name, phase in phases.items():
        formula = Composition(phase.formula)
        entries.append(PDEntry(formula, phase.energy_eV_atom * formula.num_atoms, name=name))
    diagram = PhaseDiagram(entries)
    parts: dict[Any, float] = dict(diagram.get_decomposition(Composition(dict(fractions))))
    mixture = {entry.name: float(amount) for entry, amount in parts.items()}
    energies = [amount * phases[name].energy_eV_atom for name, amount in mixture.items()]
    return math.fsum(energies), mixture
