"""Structures of every kind and size for one batch, and how far a batch is from one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from mlmd import pack
from mlmd.calculators import evaluate, evaluate_many

ALL = ("energy", "forces", "stress")


def salt(seed: int = 0, repeat: int = 1, a_A: float = 5.13) -> Atoms:
    """Rattled rock salt LiCl in a cell without symmetry."""
    atoms = bulk("LiCl", "rocksalt", a=a_A, cubic=True) * (repeat, 1, 1)
    rng = np.random.default_rng(seed)
    strain = np.eye(3) + rng.normal(scale=0.03, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.positions += rng.normal(scale=0.1, size=(len(atoms), 3))
    return atoms


def slab() -> Atoms:
    """Periodic in two directions; atoms outside the cell in the third."""
    atoms = salt(3) * (2, 1, 1)
    atoms.pbc = (True, True, False)
    atoms.positions[:, 2] += 7.0
    return atoms


def salts() -> dict[str, Atoms]:
    """Of Li and Cl, which every model knows; periodic in all directions or in none."""
    flat = salt(7)
    flat.set_cell(flat.cell.array[[1, 0, 2]])  # left-handed; another crystal, which is as good
    far = salt(8)
    far.positions += np.random.default_rng(8).integers(-40, 40, (len(far), 3)) @ far.cell.array
    pair = Atoms("LiCl", [[0, 0, 0], [0.3, 0.4, 2.0]])
    boxed = pair.copy()
    boxed.set_cell([12.0, 13.0, 14.0])
    boxed.pbc = True
    return {
        "crystal": salt(1),
        "stretched": salt(2, a_A=5.6),
        "primitive": bulk("LiCl", "rocksalt", a=5.1),
        "left-handed": flat,
        "unwrapped": far,
        "molecule": pair,
        "in a box": boxed,
        "one atom": Atoms("Li"),
        "one atom in a box": Atoms("Cl", cell=[11.0] * 3, pbc=True),
        "one atom a cell": bulk("Li", "bcc", a=3.4),
        "melt": pack("LiCl", n_atoms=24, seed=1),
        "large melt": pack("LiCl", n_atoms=200, seed=2),
    }


def others() -> dict[str, Atoms]:
    """Of other elements, and periodic in some directions."""
    metal = fcc111("Al", (2, 2, 3), a=4.05, vacuum=6.0)
    metal.rattle(0.1, seed=4)
    wire = salt(5)
    wire.pbc = (False, False, True)
    water = molecule("H2O", vacuum=5.0)
    return {
        "slab": slab(),
        "metal slab": metal,
        "wire": wire,
        "water": water,
        "glass": pack("Li3PS4", n_atoms=64, seed=3),
        "oxide": pack("SiO2", n_atoms=96, seed=4),
        "alloy": bulk("Cu", "fcc", a=3.6, cubic=True),
    }


@dataclass
class Apart:
    """Largest differences between a batch and one by one."""

    forces_eV_A: float = 0.0
    energy_eV_atom: float = 0.0
    stress_eV_A3: float = 0.0
    largest_force_eV_A: float = 0.0


def alone(calculator: Any, structures: dict[str, Atoms]) -> dict[str, Any]:
    """Evaluate one by one; the stress where the calculator has one for such atoms."""
    found = {}
    for name, atoms in structures.items():
        atoms.calc = calculator
        calculator.reset()
        found[name] = evaluate(atoms, ALL)
    return found


def largest_differences(
    calculator: Any, structures: dict[str, Atoms], n_batches: int = 6, seed: int = 0
) -> Apart:
    """Compare batches of random members in random order with each of them alone."""
    rng = np.random.default_rng(seed)
    single = alone(calculator, structures)
    names = list(structures)
    apart = Apart()
    for number in range(n_batches):
        size = len(names) if number == 0 else int(rng.integers(2, len(names)))
        chosen = [str(name) for name in rng.permutation(names)[:size]]
        for name, one in zip(
            chosen, evaluate_many([structures[name] for name in chosen], ALL), strict=True
        ):
            want, n_atoms = single[name], len(structures[name])
            # Beyond the last digits that single precision has of one atom's energy.
            rounding_eV = 4 * float(np.spacing(np.float32(abs(want.energy_eV) / n_atoms)))
            energy_eV_atom = abs(one.energy_eV - want.energy_eV) / n_atoms
            _widen(apart, "energy_eV_atom", max(energy_eV_atom - rounding_eV, 0.0), name)
            _widen(apart, "forces_eV_A", one.forces_eV_A - want.forces_eV_A, name)
            apart.largest_force_eV_A = max(
                apart.largest_force_eV_A, float(np.abs(want.forces_eV_A).max())
            )
            assert (one.stress_eV_A3 is None) == (want.stress_eV_A3 is None), name
            if want.stress_eV_A3 is not None:
                beyond = np.abs(one.stress_eV_A3 - want.stress_eV_A3).max()
                beyond -= 1e-5 * np.abs(want.stress_eV_A3).max()  # digits of single precision
                _widen(apart, "stress_eV_A3", max(beyond, 0.0), name)
    return apart


def _widen(apart: Apart, field: str, difference: Any, name: str) -> None:
    largest = float(np.abs(difference).max())
    assert np.isfinite(largest), f"{field} of {name}"
    setattr(apart, field, max(getattr(apart, field), largest))
