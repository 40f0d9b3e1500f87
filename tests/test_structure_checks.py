"""Structures that cannot be simulated are refused with their reason."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixScaled
from ase.data import covalent_radii
from ase.io import write
from pymatgen.core import Lattice, Structure

from mlmd import (
    Equilibrate,
    Protocol,
    conductivity,
    diffusivity,
    featurize,
    mean_squared_displacement,
    pack,
    rdf,
)
from mlmd.analysis import diffusion_tensor, energy_above, reference_energies, what_happened
from mlmd.analysis.energies.relaxed_energy import relaxed_energy
from mlmd.analysis.structure.angles import bond_angles
from mlmd.analysis.vibrations.density_of_states import vibrational_density
from mlmd.analysis.vibrations.velocities import velocity_autocorrelation
from mlmd.descriptors.snapshot import Snapshot
from mlmd.errors import InputError
from mlmd.periodic.contacts import closest_contact
from mlmd.structure import check_structure, read_structure, supercell, with_vacancies
from mlmd.structure.constraints import held_atoms


def rock_salt() -> Atoms:
    return bulk("NaCl", "rocksalt", a=5.64, cubic=True)


def changed(**attributes) -> Atoms:
    atoms = rock_salt()
    for name, value in attributes.items():
        setattr(atoms, name, value)
    return atoms


def moved(index, position) -> Atoms:
    atoms = rock_salt()
    atoms.positions[index] = position
    return atoms


def constrained(constraint) -> Atoms:
    atoms = rock_salt()
    atoms.set_constraint(constraint)
    return atoms


def with_array(name, values) -> Atoms:
    atoms = rock_salt()
    atoms.set_array(name, np.array(values))
    return atoms


def skewed(along_A) -> Atoms:
    return changed(cell=[[5.64, 0, 0], [along_A, 5.64, 0], [0, 0, 5.64]])


def left_handed() -> Atoms:
    atoms = rock_salt()
    atoms.set_cell(np.diag([5.64, 5.64, -5.64]))
    return atoms


@pytest.mark.parametrize(
    "atoms",
    [
        rock_salt(),
        bulk("Cu"),  # one atom per cell, repeated below
        bulk("Si"),
        bulk("Fe", "bcc", a=2.87),
        Atoms("H2O", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], cell=[4, 4, 4], pbc=True),
        changed(info={"occupancy": {"0": {"Na": 1.0}, "1": {"Cl": 1.0, "Br": 0.0}}}),
        changed(info={"occupancy": {"0": {"Na": "."}, "1": {"Cl": "1.000(2)"}}}),
        with_array("occupancy", [0.0] * 8),
    ],
)
def test_sane_structures_pass_in_any_cell(atoms):
    atoms = atoms * (2, 2, 2)
    check_structure(atoms)
    skewed = make_supercell(atoms, [[1, 3, 0], [0, 1, 2], [0, 0, 1]])  # same crystal
    check_structure(skewed)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(cell=[5, 5, 5], pbc=True), "has 0 atoms; expected at least 2"),
        (Atoms("Na", cell=[5, 5, 5], pbc=True), "has 1 atoms; expected at least 2"),
        (changed(numbers=[0, 17] * 4), "atom 0 is of no known element .*'X'"),
        (changed(pbc=False), r"periodic as \[False, False, False\]; expected all three"),
        (changed(cell=np.zeros((3, 3))), "volume of 0 A3"),
        (changed(cell=np.diag([5.64, 5.64, 0.0])), "volume of 0 A3"),
        (changed(cell=np.diag([5.64, np.nan, 5.64])), "cell has numbers that are not finite"),
        (changed(cell=np.diag([0.564] * 3)), "volume of 0.1794 A3 for 8 atoms"),  # nm
        (left_handed(), "left-handed"),
        (moved(3, [np.nan, 0, 0]), r"position of atom 3 \(Cl\) is \[nan, 0.0, 0.0\]"),
        (moved(0, [np.inf, 0, 0]), r"atom 0 \(Na\)"),
        (moved(0, [0, 1e300, 0]), r"atom 0 \(Na\) is .0.0, 1e\+300, 0.0.; expected numbers below"),
        (constrained(FixScaled(0, [1, 0, 0])), r"constraints \(FixScaled\).*set_constraint\(\)"),
        (changed(info={"occupancy": {"0": {"Na": 0.8}}}), r"shared site \(Na 0.8\)"),
        (changed(info={"occupancy": {"0": {"Na": 0.5, "K": 0.5}}}), r"\(Na 0.5, K 0.5\)"),
        (changed(info={"occupancy": [1.0, 0.3]}), r"\(site 0.3\)"),
        (changed(info={"occupancy": np.array(0.4)}), r"\(site 0.4\)"),
        (changed(info={"occupancy": "0.5(1)"}), r"\(site 0.5\)"),
        (changed(info={"occupancy": {"0": {"Na": 0}}}), r"\(Na 0\)"),
        (changed(info={"occupancy": {"0": {"Na": 100}}}), r"\(Na 100\)"),  # in percent
        (changed(info={"occupancy": {"0": {"Na": "?", "K": "."}}}), r"\(Na 1, K 1\)"),
        (changed(info={"occupancy": {"0": {"Na": float("nan")}}}), r"\(Na nan\)"),
        (changed(info={"occupancy": {"0": {"Na": "half"}}}), r"occupancy \(Na\) is 'half'"),
        (changed(info={"occupancy": {"0": {"Na": None}}}), r"occupancy \(Na\) is None"),
        (with_array("occupancy", [1.0] * 7 + [0.5]), r"\(site 0.5\)"),
        (with_array("masses", [0.0, *[35.0] * 7]), r"atom 0 \(Na\) has the mass 0 u and the mome"),
        (with_array("masses", [23.0, np.nan, *[35.0] * 6]), r"atom 1 \(Cl\) has the mass nan u"),
        (with_array("momenta", np.full((8, 3), np.inf)), r"momentum \[inf, inf, inf\]; expected"),
        (changed(numbers=[200, 17] * 4), "atom 0 is of no known element .number 200"),
        (
            changed(cell=np.diag([5.64, 5.64, 1e300])),
            r"numbers that are not finite, or beyond 1e\+07 A",
        ),
        (changed(cell=np.diag([5.64, 5.64, 9e6])), "volume of 2.863e.08 A3 for 8 atoms"),
        (skewed(1e5), "opposite faces are 0.000318 A apart"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(atoms, message):
    with pytest.raises(InputError, match=message) as error:
        check_structure(atoms)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (
            Structure(Lattice.cubic(4.0), ["Cu"], [[0, 0, 0]]),
            "a Structure; expected ase.Atoms, e.g. structure.to_ase_atoms()",
        ),
        (
            "POSCAR",
            "a path ('POSCAR'); expected ase.Atoms; read it first with "
            "mlmd.structure.read_structure",
        ),
        (
            Path("a.cif"),
            "a path ('a.cif'); expected ase.Atoms; read it first with "
            "mlmd.structure.read_structure",
        ),
        (
            [rock_salt()],
            "a list of 1; expected ase.Atoms: one structure, give them one after the other",
        ),
        (None, "a NoneType; expected ase.Atoms"),
    ],
)
def test_what_is_no_structure_is_told_at_every_door(tmp_path, thing, said):
    stage = Equilibrate(name="e", temperature_K=300.0, duration_ps=0.02)
    run = tmp_path / "run"
    doors = {
        "atoms": [
            lambda: Protocol(name="p", stages=(stage,)).run(thing, "emt", run),
            lambda: supercell(thing, n_atoms=8),
            lambda: with_vacancies(thing, "Na", n=1, seed=0),
            lambda: Snapshot.of_atoms(thing),
        ],
        "it": [lambda: featurize({"a": thing}, mobile="Na")],
        "crystal": [lambda: relaxed_energy(thing, EMT(), "crystal")],
        "crystal 'a'": [lambda: energy_above([1.0, 1.0], "Cu", {"a": thing}, EMT())],
        "structure of Cu": [lambda: reference_energies(["Cu"], EMT(), structures={"Cu": thing})],
    }
    if thing is not None:
        doors["reference"] = [lambda: pack("NaCl", 8, reference=thing)]
    if hasattr(thing, "to_ase_atoms"):  # it can be walked through, site by site
        doors["structures"] = [lambda: featurize(thing, mobile="Cu")]
    for name, calls in doors.items():
        for call in calls:
            with pytest.raises(InputError) as error:
                call()
            assert str(error.value).removeprefix("structure a: ") == f"{name} is {said}"
    assert not run.exists()


@pytest.mark.parametrize(
    ("thing", "said"), [("run.h5md", r"a path \('run.h5md'\)"), (rock_salt(), "Atoms")]
)
def test_what_is_no_trajectory_is_told_at_every_door(thing, said):
    doors = [
        rdf,
        lambda given: bond_angles(given, "Na", "Cl"),
        velocity_autocorrelation,
        vibrational_density,
        mean_squared_displacement,
        lambda given: diffusivity(given, "Na"),
        lambda given: conductivity(given, {"Na": 1, "Cl": -1}, "Na"),
        lambda given: diffusion_tensor(given, "Na"),
        lambda given: what_happened(given, "Na"),
    ]
    for door in doors:
        with pytest.raises(InputError, match=rf"^trajectory is {said}; expected mlmd.Trajectory"):
            door(thing)


def test_overlap_names_the_pair_its_distance_and_the_limit():
    limit = 0.5 * (covalent_radii[11] + covalent_radii[17])
    assert limit == pytest.approx(1.34)
    with pytest.raises(InputError, match=r"atom 0 \(Na\) and atom 1 \(Cl\) overlap: 1.330 A apart"):
        check_structure(moved(1, [1.33, 0, 0]))
    check_structure(moved(1, [1.35, 0, 0]))


def test_overlap_through_the_boundary_is_found_and_only_there():
    atoms = Atoms("NaCl", [[0.1, 2, 2], [5.5, 2, 2]], cell=[5.64] * 3, pbc=True)
    with pytest.raises(InputError, match=r"overlap: 0\.240 A apart"):
        check_structure(atoms)
    radii = 0.5 * covalent_radii[atoms.numbers]
    assert closest_contact(atoms, radii) is not None
    atoms.pbc = False  # the two are 5.4 A apart within the cell
    assert closest_contact(atoms, radii) is None


def test_overlap_with_the_own_image_is_found_in_a_thin_cell():
    atoms = Atoms("Na2", [[0, 0, 0], [0, 2.5, 2.5]], cell=[1.5, 5, 5], pbc=True)
    with pytest.raises(InputError, match=r"own periodic image overlap: 1\.500 A apart"):
        check_structure(atoms)


def test_the_worst_overlap_is_the_one_named():
    atoms = moved(1, [1.2, 0, 0])
    atoms.positions[5] = atoms.positions[4] + [0, 0, 0.3]
    with pytest.raises(InputError, match=r"atom [45] .* and atom [45] .* 0.300 A"):
        check_structure(atoms)


def test_contacts_agree_with_plain_arithmetic_over_images():
    rng = np.random.default_rng(3)
    for _ in range(20):
        cell = np.diag(rng.uniform(3, 6, 3)) + rng.uniform(-1, 1, (3, 3))
        atoms = Atoms("NaCl2", scaled_positions=rng.random((3, 3)), cell=cell, pbc=True)
        radii = np.array([1.0, 0.7, 1.3])
        shifts = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3) @ cell
        vectors = atoms.positions[None, :, None] + shifts - atoms.positions[:, None, None]
        distances = np.linalg.norm(vectors, axis=-1)
        distances[distances < 1e-9] = np.inf
        ratio = (distances / (radii[:, None] + radii)[:, :, None]).min()
        contact = closest_contact(atoms, radii)
        if ratio < 1:
            assert contact.distance_A / contact.limit_A == pytest.approx(ratio, rel=1e-9)
        else:
            assert contact is None


CIF = """data_x
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0.0 0.0 0.0 {na}
{extra}Cl1 Cl 0.5 0.5 0.5 1.0
"""


def test_cif_with_whole_atoms_is_read(tmp_path):
    path = tmp_path / "ordered.cif"
    path.write_text(CIF.format(na="1.0", extra=""))
    atoms = read_structure(path)
    assert str(atoms.symbols) == "NaCl"
    assert atoms.get_volume() == pytest.approx(5.64**3)


@pytest.mark.parametrize(
    ("na", "extra", "message"),
    [("0.7", "", "Na 0.7"), ("0.5", "K1 K 0.0 0.0 0.0 0.5\n", "Na 0.5, K 0.5|K 0.5, Na 0.5")],
)
def test_cif_with_partial_occupancies_is_refused(tmp_path, na, extra, message):
    path = tmp_path / "disordered.cif"
    path.write_text(CIF.format(na=na, extra=extra))
    with pytest.raises(InputError, match=rf"disordered.cif.*\(({message})\).*ordered structure"):
        read_structure(path)


@pytest.mark.parametrize("na", [".", "?", "'1.0'", "1.000(2)", "1.02(3)"])
def test_occupancies_that_mean_whole_atoms(tmp_path, caplog, na):
    path = tmp_path / "whole.cif"
    path.write_text(CIF.format(na=na, extra=""))
    atoms = read_structure(path)
    assert str(atoms.symbols) == "NaCl"
    assert "occupancy" not in atoms.info
    assert [f"{path}: unknown occupancies taken as 1" in m for m in caplog.messages] == (
        [True] if na == "?" else []
    )


@pytest.mark.parametrize("na", ["half", "0,5", "NaN", "''", "0.5(1)", "1.0("])
def test_occupancies_that_mean_nothing_are_one_line(tmp_path, na):
    path = tmp_path / "strange.cif"
    path.write_text(CIF.format(na=na, extra=""))
    with pytest.raises(InputError, match=r"strange.cif.*(occupancy \(Na\)|occupied)") as error:
        read_structure(path)
    assert "\n" not in str(error.value)


def test_a_line_of_a_cif_with_a_value_too_many_is_refused(tmp_path):
    (tmp_path / "shifted.cif").write_text(CIF.format(na="1.0", extra="K1 K 0.25 0 0.25 0.25 1.0\n"))
    with pytest.raises(InputError, match="Wrong number 7 of tokens, expected 6"):
        read_structure(tmp_path / "shifted.cif")


def test_one_atom_can_be_read_and_repeated_but_not_simulated(tmp_path):
    write(tmp_path / "Cu.cif", bulk("Cu"))
    atoms = read_structure(tmp_path / "Cu.cif")
    assert len(atoms) == 1
    with pytest.raises(InputError, match=r"1 atoms; expected at least 2, repeat it first"):
        check_structure(atoms)
    check_structure(supercell(atoms, n_atoms=64))


def test_damaged_files_are_one_line_whatever_is_in_them(tmp_path):
    words = [b"nan", b"?", b"-1", b"1e300", b"", b"99999", b"X", b"***", b"\xff", b"[1, 2]"]
    rng = np.random.default_rng(0)
    refused = []
    for name in ("a.cif", "POSCAR", "a.extxyz", "a.xsf", "a.gen", "a.res", "a.json"):
        write(tmp_path / name, rock_salt())
        whole = (tmp_path / name).read_bytes().split(b" ")
        for _ in range(25):
            parts = list(whole)
            parts[rng.integers(len(parts))] = words[rng.integers(len(words))]
            (tmp_path / name).write_bytes(b" ".join(parts))
            try:
                read_structure(tmp_path / name)
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > 70  # of 175: many words are blanks, or never looked at
    assert all(text.startswith("structure file '") and "\n" not in text for text in refused)


def test_a_format_is_taken_where_the_name_does_not_tell(tmp_path):
    write(tmp_path / "start.dat", rock_salt(), format="vasp")
    with pytest.raises(InputError, match=r"start.dat.*can be given as format \(--format\)"):
        read_structure(tmp_path / "start.dat")
    assert str(read_structure(tmp_path / "start.dat", "vasp").symbols) == "NaCl" * 4
    with pytest.raises(InputError, match=r"format is 'vsap'; expected .*, such as vasp"):
        read_structure(tmp_path / "start.dat", "vsap")
    with pytest.raises(InputError, match=r"format is 'png'; expected .*, such as cif, vasp"):
        read_structure(tmp_path / "start.dat", "png")  # ASE writes it only


def test_of_several_structures_it_is_said_which_is_taken(tmp_path, caplog):
    for name in ("one.cif", "several.cif"):
        write(tmp_path / name, [rock_salt(), rock_salt() * (2, 1, 1)][: 1 + (name != "one.cif")])
        read_structure(tmp_path / name)
    assert caplog.messages == [
        f"{tmp_path / 'several.cif'}: it holds several structures; the last is taken"
    ]


def test_the_last_structure_of_a_trajectory_is_read(tmp_path):
    frames = [rock_salt(), rock_salt() * (2, 1, 1)]
    for name in ("frames.traj", "frames.extxyz", "frames@9.traj"):
        write(tmp_path / name, frames)
        atoms = read_structure(str(tmp_path / name))
        assert len(atoms) == 16
        assert np.allclose(atoms.positions, frames[-1].positions, atol=1e-7)


def test_selective_dynamics_of_a_poscar_holds_whole_atoms_or_is_refused(tmp_path):
    write(tmp_path / "POSCAR", constrained(FixAtoms([0])), format="vasp")
    atoms = read_structure(tmp_path / "POSCAR")
    assert held_atoms(atoms).tolist() == [True] + 7 * [False]
    assert atoms[held_atoms(atoms)].get_chemical_symbols() == ["Na"]
    write(tmp_path / "POSCAR", constrained(FixScaled(0, [1, 0, 0])), format="vasp")
    with pytest.raises(InputError, match=r"in a POSCAR: F F F or T T T"):
        read_structure(tmp_path / "POSCAR")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.cif", None, "no structure file .*absent.cif"),
        (".", None, "is a folder"),
        ("broken.cif", "no cif at all", "cannot be read"),
        ("notes.unknown", "some words", "cannot be read .*expected a format that ASE knows"),
        ("empty.traj", "", "cannot be read"),
        ("empty.extxyz", "", "cannot be read"),
        ("POSCAR", "rubbish\n", "cannot be read"),
        ("molecule.xyz", "2\n\nH 0 0 0\nH 0.74 0 0\n", "periodic as"),
    ],
)
def test_unreadable_files_are_refused_in_one_line(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_structure(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_calculator_attached_does_not_matter():
    atoms = bulk("Cu", cubic=True)
    atoms.calc = EMT()
    check_structure(atoms)


def test_a_heap_of_atoms_is_refused_in_little_memory():
    """Each of 6000 atoms touches all others: 18 million pairs, which are not all written down."""
    atoms = Atoms("Li6000", positions=np.full((6000, 3), 5.0), cell=[40] * 3, pbc=True)
    atoms.positions[:3000] += np.random.default_rng(0).normal(0, 0.01, (3000, 3))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"overlap: 0\.000 A apart"):
            check_structure(atoms)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()
