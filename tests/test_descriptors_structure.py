"""Features of structures: crystals by hand, and what they must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii

from mlmd.descriptors.conventions import CONVENTIONS
from mlmd.descriptors.features import FEATURES, measure
from mlmd.descriptors.snapshot import Snapshot
from mlmd.errors import InputError
from mlmd.structure.packing import pack

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

A_A = 5.13
R_LI, R_O, R_F, R_CL = (float(covalent_radii[z]) for z in (3, 8, 9, 17))


def features(atoms: Atoms, mobile: str = "Li", convention: str = "mlmd") -> dict[str, float]:
    return measure(Snapshot.of_atoms(atoms, mobile, CONVENTIONS[convention]))


def glass(formula: str = "Li3PS4", seed: int = 1, n_atoms: int = 24) -> Atoms:
    return pack(formula, n_atoms=n_atoms, seed=seed)


def test_rock_salt_by_hand():
    found = features(bulk("LiCl", "rocksalt", a=A_A))
    # Shells of an ion: 6 of the other kind at a/2 = 2.57, 12 of its own at a/sqrt(2) = 3.63,
    # 8 of the other at a sqrt(3)/2 = 4.44 A.
    d = 3.16 - 0.98
    expected = {
        "LNC": 18.0,
        "SNC": 18.0,
        "RNC": 1.0,
        "LLB": 12.0,
        "SDLC": 0.0,
        "LBI": 6 * d / 18,
        "SBI": 6 * d / 18,
        "RBI": 1.0,
        "SDLI": d * math.sqrt(6 / 18 * 12 / 18),
        "AFC": 12.0,
        "AASD": A_A / math.sqrt(2),
        "LLSD": A_A / math.sqrt(2),
        "LASD": A_A / 2,
        "VPA": A_A**3 / 4,
        "AAV": A_A**3 / 8,
        "PF": 4 * 4 / 3 * math.pi * (R_LI**3 + R_CL**3) / A_A**3,
        "SPF": 4 * 4 / 3 * math.pi * R_CL**3 / A_A**3,
        # The path runs along a face diagonal; Cl sits at a right angle from its middle.
        "SLPW_pp": A_A / math.sqrt(8),
        "SLPW": A_A / math.sqrt(8) - R_CL,
        "SLPE": 3.16,
        "density": 4 * (6.94 + 35.45) * 1.66053906892 / A_A**3,
        "Li_percentage": 0.5,
        "avg_diff_of_X_Li_rest": 3.16 - (3.16 + 0.98) / 2,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_antifluorite_by_hand():
    a_A = 4.619  # Li2O: Li in all tetrahedra of fcc oxygen
    found = features(bulk("OLi2", "fluorite", a=a_A))
    assert found["LASD"] == pytest.approx(a_A * math.sqrt(3) / 4)
    assert found["LLSD"] == pytest.approx(a_A / 2)
    assert found["AASD"] == pytest.approx(a_A / math.sqrt(2))
    # Around Li within 4 A: O 4 (2.00) + 12 (3.83); Li 6 (2.31) + 12 (3.27); 8 (4.00003) are out.
    assert found["LNC"] == pytest.approx(4 + 12 + 6 + 12)
    assert found["LLB"] == pytest.approx(18)
    assert found["AFC"] == 12.0
    # From Li along a cube edge to the next Li: the middle is the middle of an O-O edge, each
    # O at a/sqrt(8); other Li are a/2 away.
    assert found["SLPW_pp"] == pytest.approx(a_A / math.sqrt(8))
    assert found["SLPW"] == pytest.approx(min(a_A / math.sqrt(8) - R_O, a_A / 2 - R_LI))


def test_bonds_at_exactly_the_limit_count():
    chain = Atoms("LiCl", [(0, 0, 0), (0, 0, 4.0)], cell=[9.0, 9.0, 8.0], pbc=True)
    turned = chain.copy()
    turned.rotate(33.0, (1, 2, 3), rotate_cell=True)
    assert features(chain)["LNC"] == features(turned)["LNC"] == 2.0


def test_n_minus_one_of_the_paper():
    atoms = glass()
    ours, theirs = features(atoms), features(atoms, convention="zheng2024")
    bonds = ours["LNC"] * (atoms.numbers == 3).sum()
    assert theirs["LBI"] == pytest.approx(ours["LBI"] * bonds / (bonds - 1))
    assert theirs["SDLI"] == pytest.approx(ours["SDLI"] * math.sqrt(bonds / (bonds - 1)))
    assert theirs["SBI"] == ours["SBI"]


def test_anion_of_either_convention():
    atoms = glass("Li2Si2Os", n_atoms=20)
    ours, theirs = features(atoms), features(atoms, convention="zheng2024")
    assert ours["VPA"] == pytest.approx(atoms.get_volume() / 4)  # osmium, 2.20
    assert theirs["VPA"] == pytest.approx(atoms.get_volume() / 8)  # silicon, 1.90


def test_polar_atoms_are_ions_in_the_papers_convention():
    fluoride = bulk("LiF", "rocksalt", a=4.03)  # 6 bonds of 3.0, and 12 of 0: 1.0 on average
    assert features(fluoride, convention="zheng2024")["PF"] == features(fluoride)["PF"]
    wide = bulk("LiF", "rocksalt", a=6.0)  # the 12 are further than 4 A: 3.0
    expected = 4 * 4 / 3 * math.pi * (0.90**3 + 1.19**3) / 6.0**3
    assert features(wide, convention="zheng2024")["PF"] == pytest.approx(expected)
    surface_A = {
        name: 6.0 / math.sqrt(8) - r for name, r in {"mlmd": R_F, "zheng2024": 1.19}.items()
    }
    for name, expected in surface_A.items():
        assert features(wide, convention=name)["SLPW"] == pytest.approx(expected)


def test_another_mobile_ion_trades_places():
    salt = bulk("LiCl", "rocksalt", a=A_A) * (2, 1, 1)
    lithium, chlorine = features(salt), features(salt, mobile="Cl")
    assert chlorine["LNC"] == lithium["SNC"]
    assert chlorine["SLPE"] == pytest.approx(0.98)
    assert chlorine["avg_B_wiout_Li"] == pytest.approx(13.933)
    assert chlorine["SPF"] == pytest.approx(lithium["PF"] - lithium["SPF"])


def test_pure_metal_has_no_sublattice():
    found = features(bulk("Li", "bcc", a=3.5))
    for name in ("SNC", "RNC", "SBI", "AFC", "AASD", "VPA", "LASD", "ENS", "avg_B_wiout_Li"):
        assert math.isnan(found[name]), name
    assert found["LNC"] == 8 + 6  # 3.03 and 3.50 A
    assert found["LBI"] == 0.0
    assert found["SPF"] == 0.0


def test_temperature_is_given_in_inverse_electronvolts():
    snapshot = Snapshot.of_atoms(bulk("LiCl", "rocksalt", a=A_A), temperature_K=1000.0)
    assert measure(snapshot)["inverse_kbT"] == pytest.approx(11.6045181)


CONVENTION = st.sampled_from(["mlmd", "zheng2024"])
SEEDS = st.integers(0, 2**32 - 1)


def same(found: dict[str, float], expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-7, abs=1e-9, nan_ok=True), name


def turned(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    new = atoms.copy()
    new.set_cell(atoms.cell.array @ rotation)
    new.positions = atoms.positions @ rotation
    return new


@settings(max_examples=12, deadline=None)
@given(SEEDS, CONVENTION, st.sampled_from(["Li3PS4", "Li2Si2Os", "LiPF6", "Li2O"]))
def test_features_do_not_depend_on_origin_direction_and_order(seed, convention, formula):
    atoms, rng = glass(formula, seed % 7), np.random.default_rng(seed)
    expected = features(atoms, convention=convention)
    moved = turned(atoms, rng)
    moved.positions += rng.uniform(-20.0, 20.0, 3)
    moved.positions += rng.integers(-2, 3, (len(atoms), 3)) @ moved.cell.array  # unwrapped
    moved = moved[rng.permutation(len(atoms))]
    same(features(moved, convention=convention), expected)


@settings(max_examples=8, deadline=None)
@given(SEEDS, st.permutations([1, 2, 3]))
def test_features_of_a_supercell_are_those_of_the_cell(seed, repeats):
    atoms = glass("Li3PS4", seed % 5, n_atoms=8)
    same(features(atoms * repeats), features(atoms))


@settings(max_examples=8, deadline=None)
@given(SEEDS)
def test_features_do_not_depend_on_the_choice_of_cell_vectors(seed):
    atoms, rng = glass(seed=seed % 5), np.random.default_rng(seed)
    skewed = atoms.copy()
    mix = np.eye(3)
    mix[1, 0], mix[2, 0], mix[2, 1] = rng.integers(-2, 3, 3)  # the same lattice
    skewed.set_cell(mix @ atoms.cell.array)
    same(features(skewed), features(atoms))


def test_crystals_too_do_not_depend_on_cell_direction_and_order():
    # All distances come in sets of equal ones here, which rounding must not tell apart.
    primitive = bulk("LiCl", "rocksalt", a=A_A)
    expected, rng = features(primitive), np.random.default_rng(3)
    for atoms in (bulk("LiCl", "rocksalt", a=A_A, cubic=True), primitive * (3, 2, 1)):
        same(features(turned(atoms, rng)[rng.permutation(len(atoms))]), expected)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda atoms: atoms.set_pbc([True, True, False]), "expected all three directions"),
        (lambda atoms: atoms.set_cell([0, 0, 0]), "no volume"),
        (lambda atoms: atoms.numbers.fill(0), "no known element"),
        (lambda atoms: atoms.__delitem__([0, 1]), "has no atoms"),
        (lambda atoms: atoms.positions.__setitem__(0, np.nan), "not finite"),
        (lambda atoms: atoms.symbols.__setitem__(0, "Na"), r"no Li in the structure \(Na, Cl\)"),
    ],
)
def test_what_is_no_bulk_structure_is_refused(change, says):
    atoms = bulk("LiCl", "rocksalt", a=A_A)
    change(atoms)
    with pytest.raises(InputError, match=says):
        features(atoms)


def test_names_are_the_columns_of_the_data_file_and_say_what_they_are():
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names) == 44
    for feature in FEATURES:
        assert feature.unit
        assert feature.definition
        assert (feature.of_snapshot is None) != (feature.of_composition is None)
