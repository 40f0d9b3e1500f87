"""Percolation of bond-valence energies: ours against bvlain's own, on the same maps."""

from __future__ import annotations

import warnings

import pytest
from ase import Atoms
from ase.spacegroup import crystal

from mlmd.errors import InputError
from mlmd.screening.bond_valence import NEIGHBOURS, REACH_A, RESOLUTION_A, bond_valence_percolation

bvlain = pytest.importorskip("bvlain", reason="needs the bvlain extra")
OLIVINE = [
    *[(0, 0, 0), (0.28222, 0.25, 0.97472), (0.09486, 0.25, 0.41820)],
    *[(0.09678, 0.25, 0.74279), (0.45710, 0.25, 0.20602), (0.16558, 0.04646, 0.28478)],
]
ALUMINATE = [(0.176, 0.176, 0.0), (0.8126, 0.8126, 0.0), (0.3369, 0.2906, 0.7723)]


def cubic(anion: str, a_A: float, site: float) -> Atoms:
    return crystal([anion, "Li"], [(0, 0, 0), (site,) * 3], spacegroup=225,
                   cellpar=[a_A] * 3 + [90] * 3)  # fmt: skip


STRUCTURES = {
    "Li2O": cubic("O", 4.62, 0.25),
    "LiCl": cubic("Cl", 5.13, 0.5),
    "LiAlO2": crystal(["Al", "Li", "O"], ALUMINATE, spacegroup=92,
                      cellpar=[5.169, 5.169, 6.268, 90, 90, 90]),
    "LiFePO4": crystal(["Li", "Fe", "P", "O", "O", "O"], OLIVINE, spacegroup=62,
                       cellpar=[10.332, 6.010, 4.692, 90, 90, 90]),
}  # fmt: skip
SLOW = ("Li2O", "LiAlO2", "LiFePO4")
BISECTION_EV = 0.01


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in STRUCTURES]
)
def test_ours_are_bvlains(name):
    atoms = STRUCTURES[name]
    found = bond_valence_percolation(atoms)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lain = bvlain.Lain(verbose=False)
        plain = atoms.copy()
        plain.info.clear()
        lain.read_atoms(plain)
        lain.bvse_distribution(
            mobile_ion="Li1+", r_cut=REACH_A, resolution=RESOLUTION_A, k=NEIGHBOURS
        )
        theirs = lain.percolation_barriers(encut=10.0)
    for ours_eV, name_there in (
        (found.in_1d_eV, "E_1D"), (found.in_2d_eV, "E_2D"), (found.in_3d_eV, "E_3D"),
    ):  # fmt: skip
        # Theirs is the upper end of the last interval.
        assert theirs[name_there] - BISECTION_EV - 1e-4 <= ours_eV <= theirs[name_there] + 1e-4


def test_what_bvlain_cannot_do_is_said_in_a_line():
    metal = Atoms("Li2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=[3.4] * 3, pbc=True)
    with pytest.raises(InputError, match="bvlain cannot do"):
        bond_valence_percolation(metal)
