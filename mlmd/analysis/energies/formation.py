r"""Formation energy of an amorphous solid, from the energies of its inherent structures.

.. math::

    E_f = \langle E \rangle - \sum_i x_i E_i

with E the potential energy per atom of a relaxed snapshot, x the fraction of atoms of element i
and E_i its energy per atom in its reference structure: all by the same calculator. Negative: the
compound is lower than its elements. It is the amorphous limit of Aykol et al., Sci. Adv. 4,
eaaq0148 (2018), doi:10.1126/sciadv.aaq0148, as Zheng et al. 2024 take it; at 0 K, no entropy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlmd.analysis.energies.elemental_references import ElementalReference, reference_energies
from mlmd.analysis.energies.energy_above import EnergyAbove, energy_above
from mlmd.analysis.energies.fractions import atomic_fractions
from mlmd.errors import InputError
from mlmd.numerics.short_series import short_series_mean

__all__ = [
    "ElementalReference",
    "EnergyAbove",
    "FormationEnergy",
    "energy_above",
    "formation_energy",
    "reference_energies",
]


@dataclass(frozen=True)
class FormationEnergy:
    """Formation energy per atom.

    Attributes
    ----------
    mean_eV_atom, stderr_eV_atom
        Mean over the structures and its standard error; None for one structure.
    lowest_eV_atom
        Of the lowest structure: the bound itself, since any lower one lowers the limit.
    n_structures
        How many.
    fractions
        Of atoms, by element.
    references_eV_atom, reference_structures
        Energy and structure of each elemental reference.
    stderr_method
        How the error was made. It is that of the sampling alone: references have none, and the
        calculator's own error is not in it.
    """

    mean_eV_atom: float
    stderr_eV_atom: float | None
    lowest_eV_atom: float
    n_structures: int
    fractions: Mapping[str, float]
    references_eV_atom: Mapping[str, float]
    reference_structures: Mapping[str, str]
    stderr_method: str


def formation_energy(
    energies_eV_atom: Sequence[float],
    composition: str | Mapping[str, float],
    references: Mapping[str, ElementalReference],
) -> FormationEnergy:
    """Return the formation energy of structures of one composition.

    Parameters
    ----------
    energies_eV_atom : (n,)
        Potential energies per atom of relaxed structures, in the order of time.
    composition
        A formula (``Li3PS4``), or amounts by element.
    references
        What :func:`reference_energies` gives for the same calculator.

    Raises
    ------
    InputError
        If the composition is not understood, an element has no reference, or an energy is not
        finite.
    """
    fractions = atomic_fractions(composition)
    missing = [symbol for symbol in fractions if symbol not in references]
    if missing:
        raise InputError(
            f"no reference energy of {', '.join(missing)} was given; make it by "
            "reference_energies with the same calculator"
        )
    used = {symbol: references[symbol] for symbol in fractions}
    zero = math.fsum(fractions[symbol] * used[symbol].energy_eV_atom for symbol in used)
    mean = short_series_mean(energies_eV_atom)
    return FormationEnergy(
        mean_eV_atom=mean.mean - zero,
        stderr_eV_atom=mean.stderr,
        lowest_eV_atom=float(min(energies_eV_atom)) - zero,
        n_structures=mean.n,
        fractions=fractions,
        references_eV_atom={s: r.energy_eV_atom for s, r in used.items()},
        reference_structures={s: r.structure for s, r in used.items()},
        stderr_method=mean.method,
    )
