"""Small systems that the tests of dynamics share: argon by Lennard-Jones, and free atoms."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.dynamics.kinetics import draw_momenta

ARGON = {"sigma_A": 3.4, "epsilon_eV": 0.0104}


def argon(
    n_side: int = 3,
    *,
    temperature_K: float = 120.0,
    volume_per_atom_A3: float = 55.0,
    seed: int = 0,
    cutoff_A: float | None = None,
) -> Atoms:
    """Fluid argon on a rattled simple cubic lattice of n_side^3 atoms, with momenta."""
    edge = n_side * volume_per_atom_A3 ** (1 / 3)
    grid = np.arange(n_side) * edge / n_side
    positions = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    atoms = Atoms(f"Ar{n_side**3}", positions=positions, cell=[edge] * 3, pbc=True)
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(0, 0.05, positions.shape)
    draw_momenta(atoms, temperature_K, rng)
    atoms.calc = LennardJones(**ARGON, cutoff_A=cutoff_A or 0.4999 * edge)
    return atoms


class ConstantForce(Calculator):
    """The same force on every atom (eV/A): zero by default, a net force otherwise."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, force_eV_A=(0.0, 0.0, 0.0)):
        super().__init__()
        self._force = np.array(force_eV_A, dtype=float)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": -float((self.atoms.positions @ self._force).sum()),
            "forces": np.tile(self._force, (len(self.atoms), 1)),
            "stress": np.zeros(6),
        }
