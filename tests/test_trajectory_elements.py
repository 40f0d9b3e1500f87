"""Which elements atoms are: given, from files beside a dump, by masses; isotopes everywhere."""

import json

import numpy as np
import pytest
import test_trajectory_cp2k as cp2k
import test_trajectory_espresso as espresso
import test_trajectory_lammps as lammps
import test_trajectory_siesta as siesta
from ase import Atoms
from ase.io import write

from mlmd import Trajectory
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError
from mlmd.trajectory.export import export_trajectory

# Of the dumps of test_trajectory_lammps: P 1, S 2, Li 3, Cl 4.
GIVEN = ["P", "S", "Li", "Cl"]
MASSES = {1: 30.974, 2: 32.06, 3: 6.94, 4: 35.45}
RIGHT = "".join(lammps.SYMBOLS)


def types_only(text):
    """Leave the column of elements out, as dumps are most of the time."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if "element" in words:
            at = words.index("element") - 2
            lines.append(line.replace(" element", ""))
        elif len(words) > 4 and words[2] in (*GIVEN, "C"):
            lines.append(" ".join([*words[:at], *words[at + 1 :]]))
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "run.lammpstrj").write_text(types_only(lammps.dump(("xu",))))
    return tmp_path / "run.lammpstrj"


def data_file(masses, comments=None, n_atoms=8, n_types=4, labels=None):
    text = f"LAMMPS data file\n\n{n_atoms} atoms\n{n_types} atom types\n\n0 9 xlo xhi\n"
    if labels:
        rows = "".join(f"{type_} {label}\n" for type_, label in labels.items())
        text += f"\nAtom Type Labels\n\n{rows}"
    text += "\nMasses\n\n"
    for type_, mass in masses.items():
        name = labels[type_] if labels else type_
        comment = f" # {comments[type_ - 1]}" if comments else ""
        text += f"{name} {mass}{comment}\n"
    return text + "\nAtoms # atomic\n\n1 1 0 0 0\n"


def read(path, **options):
    return Trajectory.read(path, long_steps="accept", **options)  # times are another matter


def refusal(path, **options):
    with pytest.raises(InputError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def codes(trajectory):
    return [one.code for one in trajectory.findings if one.code != "units_assumed"]


# Types of LAMMPS


def test_types_are_the_elements_that_are_given(path):
    assert "--elements" in refusal(path)
    back = read(path, elements=GIVEN)
    assert "".join(back.symbols) == RIGHT
    assert back.positions_A == pytest.approx(lammps.POSITIONS)
    assert codes(back) == []
    assert "".join(read(path, elements=[*GIVEN, "O"]).symbols) == RIGHT  # none of type 5 is there
    assert "types from 1 to 4" in refusal(path, elements=GIVEN[:3])
    assert "'Xx'" in refusal(path, elements=["P", "S", "Xx", "Cl"])
    assert "list" in refusal(path, elements="P,S,Li,Cl")
    assert "no elements" in refusal(path, elements=[])


@pytest.mark.parametrize("name", ["run.data", "data.run", "structure.data.gz", "system.lmp"])
@pytest.mark.parametrize(
    "text",
    [
        data_file(MASSES),
        data_file(MASSES, ["P", "S2-", "Li+", "Cl_1"]),
        data_file(MASSES, ["phosphorus", "sulfide", "lithium", "chloride"]),
        data_file(MASSES, labels={1: "P", 2: "S", 3: "Li", 4: "Cl"}),
        data_file({1: 31, 2: 32.1, 3: 7.0, 4: 35.5}, n_atoms=800),
        data_file({1: 31.5, 2: 32.5, 3: 6.5, 4: 36}, GIVEN),
    ],
)
def test_types_are_the_elements_of_the_data_file_beside_them(path, name, text):
    from gzip import compress

    content = text.encode()
    (path.parent / name).write_bytes(compress(content) if name.endswith("gz") else content)
    back = read(path)
    assert "".join(back.symbols) == RIGHT
    assert codes(back)[:1] == ["elements_assumed"]
    assert name in back.findings[0].message
    assert "P, S, Li, Cl" in back.findings[0].message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "LAMMPS data file\n\n8 atoms\n4 atom types\n",
        data_file({1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}),  # reduced units
        data_file(MASSES | {2: 40.0}),  # argon or calcium
        data_file(MASSES | {2: 50.0}),
        data_file(MASSES, ["P", "S", "O", "Cl"]),  # a mass of lithium
        data_file(MASSES, n_types=3),
        data_file(MASSES, n_atoms=7),
        data_file({1: 30.974, 2: 32.06, 3: 6.94}),
        "\n" * 200 + data_file(MASSES),
    ],
)
def test_a_data_file_that_does_not_tell_them_is_not_believed(path, text):
    (path.parent / "run.data").write_text(text)
    assert "--elements" in refusal(path)


def test_two_data_files_have_to_say_the_same(path):
    (path.parent / "a.data").write_text(data_file(MASSES))
    (path.parent / "b.data").write_text(data_file(MASSES, GIVEN))
    assert "".join(read(path).symbols) == RIGHT
    swapped = {1: MASSES[2], 2: MASSES[1], 3: MASSES[3], 4: MASSES[4]}
    (path.parent / "b.data").write_text(data_file(swapped))
    said = refusal(path)
    for word in ("a.data", "b.data", "P, S, Li, Cl", "S, P, Li, Cl", "--elements"):
        assert word in said
    # What is given counts, and is said to be doubted.
    back = read(path, elements=GIVEN)
    assert "".join(back.symbols) == RIGHT
    assert [(one.code, one.severity) for one in back.findings] == [("elements_doubted", "doubt")]
    assert "b.data" in back.findings[0].message


def with_masses(path, masses):
    lines = []
    for line in path.read_text().splitlines():
        words = line.split()
        if "ATOMS" in words and "id" in words:
            lines.append(f"{line} mass")
        elif len(words) == 5 and words[1] in "1234":
            lines.append(f"{line} {masses[int(words[1])]}")
        else:
            lines.append(line)
    path.write_text("\n".join(lines) + "\n")


def test_masses_in_the_dump_tell_the_elements(path):
    with_masses(path, MASSES)
    back = read(path)
    assert "".join(back.symbols) == RIGHT
    assert codes(back) == ["elements_assumed"]
    assert back.masses_u == pytest.approx([MASSES[lammps.TYPES[s]] for s in lammps.SYMBOLS])
    assert "of these masses" in refusal(path, elements=["S", "P", "Li", "Cl"])
    (path.parent / "run.data").write_text(data_file(MASSES | {1: 32.06, 2: 30.974}))
    assert "the masses in the dump" in refusal(path)


def test_elements_in_the_file_are_not_overruled(tmp_path):
    dump = tmp_path / "run.lammpstrj"
    dump.write_text(lammps.dump(("xu",)))
    assert "".join(read(dump, elements=GIVEN).symbols) == RIGHT
    assert "type 3 is Li, and O was given" in refusal(dump, elements=["P", "S", "O", "Cl"])
    assert "nothing was given" in refusal(dump, elements=GIVEN[:3])
    # All carbon is what LAMMPS writes where nobody said them.
    carbon = lammps.dump(("xu",))
    for symbol in GIVEN:
        carbon = carbon.replace(f" {symbol} ", " C ")
    dump.write_text(carbon)
    assert "".join(read(dump, elements=GIVEN).symbols) == RIGHT
    (tmp_path / "run.data").write_text(data_file(MASSES))
    assert "".join(read(dump).symbols) == RIGHT
    # Other formats say them too.
    images = [Atoms("Li2O", np.eye(3) * 2.0, cell=[8, 8, 8], pbc=True)] * 2
    for name in ("t.extxyz", "t.traj"):
        write(tmp_path / name, images)
        assert read(tmp_path / name, elements=["Li", "O"]).species == ("Li", "O")
        assert "it has O" in refusal(tmp_path / name, elements=["Li", "S"])
    ours = export_trajectory(read(tmp_path / "t.traj"), tmp_path / "t.h5md")
    assert Trajectory.read(ours, elements=["Li", "O"]).species == ("Li", "O")
    with pytest.raises(InputError, match="it has O"):
        Trajectory.read(ours, elements=["Li", "S"])


def test_types_by_name(tmp_path):
    """As LAMMPS writes them since 2022 after 'dump_modify types labels'."""
    text = lammps.dump(("xu",)).replace(" type element ", " mol type ")
    (tmp_path / "run.lammpstrj").write_text(text)
    back = read(tmp_path / "run.lammpstrj")
    assert "".join(back.symbols) == RIGHT
    assert codes(back) == []


def test_types_in_an_xyz_file_of_lammps(tmp_path):
    path = tmp_path / "run.xyz"
    rows = "1 {0} 0 0\n2 0 {0} 0\n1 0 0 {0}\n"
    frames = [f"3\nAtoms. Timestep: {100 * i}\n{rows.format(2 + 0.1 * i)}" for i in range(3)]
    path.write_text("".join(frames))
    assert "--elements" in refusal(path)
    assert read(path, elements=["Li", "O"]).symbols == ("Li", "O", "Li")
    text = data_file({1: 6.94, 2: 15.999}, n_atoms=3, n_types=2)
    (tmp_path / "run.data").write_text(text)
    assert read(path).symbols == ("Li", "O", "Li")


def test_atoms_of_no_element_are_refused(tmp_path):
    for name in ("t.extxyz", "t.traj"):
        write(tmp_path / name, [Atoms("LiX", [[0, 0, 0], [2, 0, 0]], cell=[8, 8, 8], pbc=True)] * 2)
        assert "the element of 1 of its 2 atoms is not known" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    "command",
    [
        ["analyze", "--timestep-fs", "2", "--long-steps", "warn"],
        ["rdf"],
        ["features", "--timestep-fs", "2"],
        ["compare", "--timestep-fs", "2", "--temperature-K", "300"],
    ],
)
def test_every_command_that_reads_trajectories_takes_elements(path, capsys, command):
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 10, (12, 3))
    text = ""
    for i in range(40):
        rows = start + rng.normal(0, 0.05, (12, 3))
        text += f"ITEM: TIMESTEP\n{i}\nITEM: NUMBER OF ATOMS\n12\nITEM: BOX BOUNDS pp pp pp\n"
        text += "0 10\n0 10\n0 10\nITEM: ATOMS id type xu yu zu\n"
        for j, (x, y, z) in enumerate(rows.tolist()):
            text += f"{j + 1} {1 + j % 2} {x} {y} {z}\n"
    path.write_text(text)
    paths = [str(path)] * (2 if command[0] == "compare" else 1)
    arguments = [command[0], *paths, *command[1:], "--json"]
    assert run_command_line(arguments) == 2
    assert "--elements" in capsys.readouterr().err
    assert run_command_line([*arguments, "--elements", "Li, O"]) == 0
    said = capsys.readouterr().out
    json.loads(said)
    assert "Li" in said
    if command[0] == "compare":
        other = ["--elements", "Li,O", "--surrogate-elements", "Li,S"]
        assert run_command_line([*arguments, *other]) == 2
        assert "S" in capsys.readouterr().err


# Isotopes

LABELS = {"mixed": ["D", "H", "D", "D"], "alike": ["D", "D", "D", "D"]}
HEAVY_U = 2.014


def hydrogen(labels):
    rng = np.random.default_rng(1)
    start = rng.uniform(0, 7, (len(labels), 3))
    return [start + rng.normal(0, 0.05, start.shape) for _ in range(4)]


def as_xyz(folder, labels):
    text = ""
    for i, rows in enumerate(hydrogen(labels)):
        lines = zip(labels, rows.tolist(), strict=True)
        text += f'{len(labels)}\nLattice="8 0 0 0 8 0 0 0 8" time_fs={i} \n'
        text += "".join(f"{label} {x} {y} {z}\n" for label, (x, y, z) in lines)
    (folder / "t.extxyz").write_text(text)
    return folder / "t.extxyz"


def as_traj(folder, labels):
    masses = [HEAVY_U if label == "D" else 1.008 for label in labels]
    images = [
        Atoms("H4", rows, cell=[8, 8, 8], pbc=True, masses=masses) for rows in hydrogen(labels)
    ]
    write(folder / "t.traj", images)
    return folder / "t.traj"


def as_dump(folder, labels, column="element", said=None):
    text = ""
    for i, rows in enumerate(hydrogen(labels)):
        text += f"ITEM: TIMESTEP\n{i}\nITEM: NUMBER OF ATOMS\n4\nITEM: BOX BOUNDS pp pp pp\n"
        text += f"0 8\n0 8\n0 8\nITEM: ATOMS id {column} xu yu zu\n"
        for j, ((x, y, z), label) in enumerate(zip(rows.tolist(), said or labels, strict=True)):
            text += f"{j + 1} {label} {x} {y} {z}\n"
    (folder / "t.lammpstrj").write_text(text)
    return folder / "t.lammpstrj"


def as_types(folder, labels):
    masses = {1: 1.008, 2: 2.0}
    (folder / "t.data").write_text(data_file(masses, n_atoms=4, n_types=2))
    return as_dump(folder, labels, "type", ["2" if label == "D" else "1" for label in labels])


def as_cp2k(folder, labels):
    rows = np.array(hydrogen(labels))
    cp2k.write_xyz(folder / "run-pos-1.xyz", range(4), rows, labels=labels)
    (folder / "run.inp").write_text(cp2k.input_text("ABC 8 8 8"))
    return folder / "run-pos-1.xyz"


def as_siesta(folder, labels):
    text = ""
    for rows in hydrogen(labels):
        lines = zip(labels, rows.tolist(), strict=True)
        text += f"{len(labels)}\n\n"
        text += "".join(f"{label} {x:.6f} {y:.6f} {z:.6f}\n" for label, (x, y, z) in lines)
    (folder / "run.ANI").write_text(text)
    cell = "LatticeConstant 8 Ang\n%block LatticeVectors\n1 0 0\n0 1 0\n0 0 1\n%endblock\n"
    (folder / "run.fdf").write_text(siesta.FDF + cell)
    return folder / "run.ANI"


WRITERS = [as_xyz, as_traj, as_dump, as_types, as_cp2k, as_siesta]


@pytest.mark.parametrize("write_them", WRITERS, ids=lambda one: one.__name__)
def test_isotopes_beside_each_other_are_refused_in_every_format(tmp_path, write_them):
    said = refusal(write_them(tmp_path, LABELS["mixed"]))
    assert "atoms of H have masses of 1.008 u (1 of them) and 2" in said
    assert "isotopes of an element are one species here" in said


@pytest.mark.parametrize("write_them", WRITERS, ids=lambda one: one.__name__)
def test_one_isotope_is_its_element_with_its_mass_in_every_format(tmp_path, write_them):
    path = write_them(tmp_path, LABELS["alike"])
    back = read(path, elements=None)
    assert back.species == ("H",)
    assert back.masses_u == pytest.approx([HEAVY_U] * 4, abs=0.02)
    assert [one.code for one in back.findings if one.code == "isotope"] == ["isotope"]
    assert back.positions_A == pytest.approx(np.array(hydrogen("DDDD")), abs=1e-5)


def test_isotopes_of_pw_x(tmp_path):
    text = "\n".join(espresso.fixed_cell()) + "\n"
    path = tmp_path / "md.pwo"
    path.write_text(text)
    symbols = set(read(path).species)
    assert symbols == {"Li", "P", "S", "Cl"}
    mass = next(line for line in text.splitlines() if line.split()[:1] == ["Li"] and "Li(" in line)
    path.write_text(text.replace(mass, mass.replace(mass.split()[2], "7.9")))
    back = read(path)
    assert [one.code for one in back.findings] == ["isotope"]
    assert back.masses_u[back.indices("Li")] == pytest.approx(7.9)


MASSES_OF_KINDS = "&KIND H1\nELEMENT H\nMASS 2.014\n&END KIND\n"
MASSES_OF_SPECIES = """
%block ChemicalSpeciesLabel
1 1 H
2 1 H1
%endblock
%block AtomicMass
2 2.014
%endblock
"""


@pytest.mark.parametrize("write_them", [as_cp2k, as_siesta], ids=lambda one: one.__name__)
def test_masses_that_only_the_input_says(tmp_path, write_them):
    for labels in (["H1", "H", "H1", "H1"], ["H1"] * 4):
        path = write_them(tmp_path, labels)
        assert read(path).masses_u == pytest.approx([1.008] * 4)
        if write_them is as_cp2k:
            text = (tmp_path / "run.inp").read_text()
            text = text.replace("&END SUBSYS", f"{MASSES_OF_KINDS}&END SUBSYS")
            (tmp_path / "run.inp").write_text(text)
        else:
            text = (tmp_path / "run.fdf").read_text()
            (tmp_path / "run.fdf").write_text(text + MASSES_OF_SPECIES)
        if "H" in labels:
            assert "H have masses of 1.008 u (1 of them) and 2.014 u (3)" in refusal(path)
        else:
            assert read(path).masses_u == pytest.approx([2.014] * 4)


def test_masses_of_species_that_have_numbers_only(tmp_path):
    """SIESTA's binary file, whose species stand in .XV."""
    siesta.write_xv(tmp_path / "run.XV")
    (tmp_path / "run.MD").write_bytes(siesta.md_bytes())
    (tmp_path / "run.fdf").write_text(siesta.FDF)
    whole = read(tmp_path / "run.MD")
    lines = (tmp_path / "run.XV").read_text().splitlines()
    rows = [line.split() for line in lines[4:]]  # of species 1 all, as if that were one
    species = list(dict.fromkeys(row[1] for row in rows))
    rows = [" ".join([str(1 + species.index(row[1])), *row[1:]]) for row in rows]
    (tmp_path / "run.XV").write_text("\n".join([*lines[:4], *rows]) + "\n")
    (tmp_path / "run.fdf").write_text(siesta.FDF + "%block AtomicMass\n1 4.5\n%endblock\n")
    back = read(tmp_path / "run.MD")
    first = back.numbers == back.numbers[0]
    assert back.masses_u[first] == pytest.approx(4.5)
    assert back.masses_u[~first] == pytest.approx(whole.masses_u[~first])
    assert [one.code for one in back.findings] == ["isotope"]


def test_isotopes_of_our_own_format(tmp_path):
    def written(name, masses):
        rows = np.array(hydrogen("DDDD"))
        run = Trajectory(
            rows, 8 * np.eye(3), np.ones(4, int), np.arange(4.0), masses_u=np.array(masses)
        )
        return export_trajectory(run, tmp_path / name)

    one = Trajectory.read(written("one.h5md", [2.014] * 4))
    assert [one.code for one in one.findings] == ["isotope"]
    two = Trajectory.read(written("two.h5md", [2.014, 1.008, 2.014, 2.014]))
    assert [(one.code, one.severity) for one in two.findings] == [("isotopes_mixed", "doubt")]
    assert "1.008 u (1 of them) and 2.014 u (3)" in two.findings[0].message


def test_masses_that_differ_by_rounding_are_one(tmp_path):
    atoms = Atoms("LiOLiO", hydrogen("HHHH")[0], cell=[8, 8, 8], pbc=True)
    atoms.set_masses([6.94, 15.999, 6.941, 16.0])
    write(tmp_path / "t.traj", [atoms] * 2)
    back = read(tmp_path / "t.traj")
    assert codes(back) == []
    atoms.set_masses([6.015, 15.999, 7.016, 16.0])
    write(tmp_path / "t.traj", [atoms] * 2)
    assert "Li have masses of 6.015 u (1 of them) and 7.016 u (1)" in refusal(tmp_path / "t.traj")


def test_a_label_of_an_isotope_with_another_mass_is_refused(tmp_path):
    path = as_xyz(tmp_path, LABELS["alike"])
    text = path.read_text().replace("time_fs", "Properties=species:S:1:pos:R:3:masses:R:1 time_fs")
    lines = [f"{line} 1.008" if line.startswith("D") else line for line in text.splitlines()]
    path.write_text("\n".join(lines) + "\n")
    assert "'D' has a mass of 1.008 u; expected 2.014 u" in refusal(path)
