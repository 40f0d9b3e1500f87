"""Are forces and stress of a calculator the derivatives of its energy? Five calls tell.

A stress in GPa, with the other sign or with its components in another order ruins a volume
without a word; forces that are no gradient heat what they move. A structure that a run starts
from is often symmetric, and its forces zero whatever the calculator: it is rattled and sheared.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Hashable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units
from ase.stress import voigt_6_to_full_3x3_stress

from mlmd.calculators.evaluation import evaluate
from mlmd.calculators.precision import rounding_of
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.arrays import FloatArray

logger = logging.getLogger(__name__)

RATTLE_A = 0.05
"""Standard deviation of the displacements from the structure given."""
STRAIN = np.array([[0.03, 0.05, -0.03], [0.05, 0.02, 0.04], [-0.03, 0.04, 0.025]])
"""Of the cell, before the derivatives: larger, so that a cutoff that fits still does."""
STEP_A, STRAIN_STEP = 0.01, 0.003
"""How far the atom that moves most, and the cell, go each way for a difference of energies."""
SMALL = 0.05
"""Components of the stress that are smaller than this part of the largest count for less."""
MOST_OFF = 0.1
"""Largest relative difference of a derivative from what the calculator gives."""
N_CALLS = 5
UNITS = {
    1.0 / units.GPa: "it seems to be in GPa",
    10.0 / units.GPa: "it seems to be in kbar",
    -1.0: "it seems to have the other sign (ASE's is positive under tension)",
    -1.0 / units.GPa: "it seems to be in GPa and with the other sign",
    -10.0 / units.GPa: "it seems to be in kbar and with the other sign",
}
"""By how many times too large such a stress is."""


class WrongStressError(InputError):
    """A calculator's stress is not what its energy says."""


@dataclass(frozen=True)
class Derivatives:
    """What a calculator gives beside what its energy says, along one direction each.

    Attributes
    ----------
    n_calls
        Calls that it took.
    force_eV_A, force_of_energy_eV_A
        Component of the forces along a unit vector of all coordinates: given, and by differences
        of energies.
    stress_GPa, stress_of_energy_GPa
        The same for the stress and a strain of size one; None where there is no stress.
    forces_are_gradient, stress_is_derivative
        Whether the two agree within 10 % and the rounding of the energies.
    """

    n_calls: int
    force_eV_A: float
    force_of_energy_eV_A: float
    stress_GPa: float | None
    stress_of_energy_GPa: float | None
    forces_are_gradient: bool
    stress_is_derivative: bool | None


def rattled(atoms: Atoms) -> Atoms:
    """Return a copy without symmetry, the same each time: atoms displaced, the cell sheared."""
    moved: Atoms = atoms.copy()
    moved.set_constraint()
    rng = np.random.default_rng(0)
    moved.positions += rng.normal(0.0, RATTLE_A, moved.positions.shape)
    if moved.pbc.all():
        moved.set_cell(moved.cell.array @ (np.eye(3) + STRAIN), scale_atoms=True)
    return moved


def has_stress(calculator: Calculator, atoms: Atoms) -> bool:
    """Tell whether a calculator says that it gives the stress of atoms, which is by volume."""
    return "stress" in calculator.implemented_properties and bool(atoms.pbc.all())


_Found = dict[Hashable, Derivatives]
_of_specs: _Found = {}
_of_objects: weakref.WeakKeyDictionary[Any, _Found] = weakref.WeakKeyDictionary()


def check_derivatives(
    calculator: Calculator, atoms: Atoms, spec: Hashable | None = None
) -> Derivatives:
    """Hold forces and stress against differences of the energy; once per calculator and elements.

    Parameters
    ----------
    calculator
        Asked five times.
    atoms
        Its elements are tried, on a rattled copy.
    spec
        What the calculator was made of: another one made of it needs no check.

    Raises
    ------
    InputError
        If the stress is not the derivative of the energy.
    Exception
        Whatever the calculator raises where it cannot do the rattled copy: that is no verdict.
    """
    known: MutableMapping[Hashable, Derivatives] = _of_specs
    if spec is None:
        known = _of_objects.setdefault(calculator, {})
    key = (spec, frozenset(atoms.numbers.tolist()), bool(atoms.pbc.all()))
    name = type(calculator).__name__
    if key not in known:
        known[key] = found = _measured(calculator, rattled(atoms))
        logger.info("%s checked by %d calls: %s", name, found.n_calls, _in_words(found))
        if not found.forces_are_gradient:
            logger.warning(
                "%s: its forces are no gradient of its energy (along a test direction %.4g eV/A, "
                "by its energy %.4g): the energy will not be conserved",
                name,
                found.force_eV_A,
                found.force_of_energy_eV_A,
            )
    if known[key].stress_is_derivative is False:
        raise WrongStressError(_wrong_stress(name, known[key]))
    return known[key]


def _measured(calculator: Calculator, atoms: Atoms) -> Derivatives:
    gives_stress = has_stress(calculator, atoms)
    atoms.calc = calculator
    # The stress first: what gives it gives the rest along with it.
    here = evaluate(atoms, ("stress", "forces", "energy") if gives_stress else ("forces", "energy"))
    forces, stress = here.forces_eV_A, here.stress_eV_A3
    assert forces is not None  # they were asked for
    energy = here.energy_of_forces_eV
    assert energy is not None  # that too
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise ArithmeticError("its energy and forces are not finite there")
    noise_eV = rounding_of(calculator, forces).relative_energy * abs(energy)

    direction = _direction(forces)
    step_A = STEP_A / float(np.linalg.norm(direction, axis=1).max())
    given = float(np.vdot(forces, direction))
    # A force is the energy's fall: backwards.
    ends = [_energy(atoms, shift_A=sign * step_A * direction) for sign in (1, -1)]
    by_energy, is_gradient = _slope_beside(given, ends, energy, step_A, noise_eV)
    if stress is None or not gives_stress:
        return Derivatives(3, given, by_energy, None, None, is_gradient, None)
    strain = voigt_6_to_full_3x3_stress(_strain(stress))
    volume_A3 = float(atoms.get_volume())
    along = float(np.vdot(voigt_6_to_full_3x3_stress(stress), strain))
    ends = [_energy(atoms, strain=sign * STRAIN_STEP * strain) for sign in (-1, 1)]
    step_A3 = STRAIN_STEP * volume_A3
    true, is_derivative = _slope_beside(along, ends, energy, step_A3, noise_eV)
    stresses_GPa = along / units.GPa, true / units.GPa
    return Derivatives(N_CALLS, given, by_energy, *stresses_GPa, is_gradient, is_derivative)


def _slope_beside(
    given: float, ends_eV: Sequence[float], middle_eV: float, step: float, noise_eV: float
) -> tuple[float, bool]:
    """Return the slope between two energies, and whether the one given agrees with it."""
    low, high = ends_eV
    slope = (high - low) / (2 * step)
    # Where the energy bends more than it falls, differences tell less.
    bend = abs(high + low - 2 * middle_eV) / (2 * step)
    allowed = MOST_OFF * max(abs(given), abs(slope), bend) + noise_eV / step
    return slope, bool(abs(given - slope) <= allowed)


def _direction(forces: FloatArray) -> FloatArray:
    """Return a unit vector of all coordinates with a part along the forces and one at random."""
    size = float(np.linalg.norm(forces))
    random = np.random.default_rng(1).normal(size=forces.shape)
    direction: FloatArray = random / np.linalg.norm(random)
    if size > 0:
        direction = direction + forces / size
    return direction / np.linalg.norm(direction)


def _strain(stress: FloatArray) -> FloatArray:
    """Return the strain (6,) along which the stress is tried: every component has its part.

    Small ones count as much as large ones and none cancels another, so that two that have changed
    places are seen.
    """
    largest = float(np.abs(stress).max())
    if not largest > 0:
        return np.full(6, 1.0 / 3.0)
    strain: FloatArray = np.sign(stress) / np.maximum(np.abs(stress) / largest, SMALL)
    return strain / np.linalg.norm(voigt_6_to_full_3x3_stress(strain))


def _energy(atoms: Atoms, *, shift_A: Any = 0.0, strain: Any = 0.0) -> float:
    moved: Atoms = atoms.copy()
    moved.calc = atoms.calc
    moved.positions += shift_A
    if np.any(strain):
        moved.set_cell(moved.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    energy = evaluate(moved, ("energy",)).energy_of_forces_eV
    assert energy is not None  # it was asked for
    if not np.isfinite(energy):
        raise ArithmeticError("its energy is not finite there")
    return energy


def _wrong_stress(name: str, found: Derivatives) -> str:
    given, true = found.stress_GPa or 0.0, found.stress_of_energy_GPa or 0.0
    ratio = given / true if true else np.inf
    guess = next((f": {text}" for of, text in UNITS.items() if abs(ratio / of - 1) < 0.2), "")
    return (
        f"the stress of {name} is not what its energy says: along a test strain "
        f"{given:.4g} GPa given, {true:.4g} GPa by the energy{guess}; "
        "expected eV/A^3, as ASE has it: correct the calculator, or take its stress away "
        "(implemented_properties)"
    )


def _in_words(found: Derivatives) -> str:
    said = f"force along a direction {found.force_eV_A:.4g} eV/A, by its energy "
    said += f"{found.force_of_energy_eV_A:.4g}"
    if found.stress_GPa is not None:
        said += f"; stress along a strain {found.stress_GPa:.4g} GPa, by its energy "
        said += f"{found.stress_of_energy_GPa:.4g}"
    return said
