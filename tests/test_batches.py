"""Many structures at once: a row for each, and one bad structure costs no other."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.db import connect
from ase.io import write
from test_cli_bad_input import CIF_WITH_PARTIAL_OCCUPANCY

pytest.importorskip("pandas", reason="needs the model extra")

from mlmd.cli.app import run_command_line
from mlmd.descriptors.featurize import featurize
from mlmd.descriptors.table import FeatureTable
from mlmd.errors import InputError
from mlmd.structure.reading import are_frames, read_structures
from mlmd.studies import featurize_files


def salt(anion: str = "Cl", a: float = 5.13, seed: int = 0) -> Atoms:
    atoms = bulk(f"Li{anion}", "rocksalt", a=a, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def without_lithium() -> Atoms:
    atoms = salt()
    atoms.symbols[:] = "Cl"
    return atoms


MIXED = [salt("Cl"), salt("Br", 5.5), salt("F", 4.03)]


def in_extxyz(path, images):
    write(path, images, format="extxyz")


def in_db(path, images):
    with connect(path, use_lock_file=False) as data:
        for one in images:
            data.write(one)


FORMATS = {
    "s.extxyz": in_extxyz,
    "s.xyz": in_extxyz,
    "s.traj": write,
    "s.cif": write,
    "s.db": in_db,
}


def rows(path) -> dict[str, float]:
    table = FeatureTable.read_csv(path)
    return table.values["density"].to_dict()


@pytest.mark.parametrize("name", FORMATS)
def test_each_structure_of_a_file_has_its_row(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    FORMATS[name](name, MIXED)
    assert run_command_line(["features", name, "-o", "t.csv", "-T".replace("-T", "--temperature-K"),
                             "900"]) == 0  # fmt: skip
    found = FeatureTable.read_csv("t.csv")
    assert found.values.index.tolist() == [f"{name}:{i}" for i in range(3)]
    assert found.about.formula.tolist() == ["Cl4Li4", "Br4Li4", "F4Li4"]
    assert found.about.frames.tolist() == ["structure"] * 3
    assert found.about.temperature_K.tolist() == [900.0] * 3
    expected = featurize(MIXED).values["density"].to_numpy()
    assert found.values["density"].to_numpy() == pytest.approx(expected, rel=1e-5)
    capsys.readouterr()
    ask = ["predict", "zheng2024_sisso", name, "-T", "1000", "--json"]
    assert run_command_line(ask) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert [one["structure"] for one in predicted["predictions"]] == found.values.index.tolist()
    assert len({one["D_cm2_s"] for one in predicted["predictions"]}) == 3
    assert predicted["left_out"] == []


def test_frames_of_one_trajectory_are_averaged_and_a_row_each_is_to_be_had(tmp_path, capsys):
    frames = [salt(seed=i) for i in range(12)]
    path = tmp_path / "t.extxyz"
    write(path, frames)
    words = ["features", str(path), "--timestep-fs", "10"]
    assert run_command_line([*words, "-o", str(tmp_path / "a.csv")]) == 0
    assert f"{path}: mean over 12 frames (--each: a row for each)" in capsys.readouterr().out
    assert run_command_line(["features", str(path), "--each", "-o", str(tmp_path / "b.csv")]) == 0
    mean, each = rows(tmp_path / "a.csv"), rows(tmp_path / "b.csv")
    assert list(mean) == [str(path)]
    assert list(each) == [f"{path}:{i}" for i in range(12)]
    lasd = [FeatureTable.read_csv(tmp_path / f"{one}.csv").values["LASD"] for one in "ab"]
    assert lasd[0].item() == pytest.approx(lasd[1].mean(), rel=1e-9)
    assert run_command_line(["features", str(path), "--each", "--last"]) == 2


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("images", "frames"),
    [
        ([salt()], False),
        ([salt(seed=i) for i in range(5)], True),
        ([salt(seed=i, a=5.13 * 1.01**i) for i in range(5)], True),  # a cell that grows slowly
        ([salt(), salt(a=6.0)], False),  # two phases of one composition
        ([salt(), salt("Br")], False),
        ([salt(), salt()[[1, 0, 2, 3, 4, 5, 6, 7]]], False),  # other order
    ],
)
def test_frames_are_told_from_collections(tmp_path, name, images, frames):
    FORMATS[name](tmp_path / name, images)
    a_collection_always = name in ("s.cif", "s.db")
    assert are_frames(tmp_path / name) == (frames and not a_collection_always)


def test_a_file_whose_later_structures_differ_is_a_collection_after_all(tmp_path):
    images = [*[salt(seed=i) for i in range(20)], salt("Br")]
    write(tmp_path / "t.extxyz", images)
    table = featurize_files([tmp_path / "t.extxyz"], timestep_fs=1.0)
    assert len(table) == 21
    assert table.about.formula.tolist()[-1] == "Br4Li4"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Good ones, and one bad one of each kind."""
    monkeypatch.chdir(tmp_path)
    for i, atoms in enumerate(MIXED):
        write(f"good{i}.cif", atoms)
    (tmp_path / "disordered.cif").write_text(CIF_WITH_PARTIAL_OCCUPANCY)
    (tmp_path / "nonsense.cif").write_text("data_\nloop_\n_cell")
    write("no_lithium.cif", without_lithium())
    write("some.extxyz", [salt("I", 6.0), without_lithium(), salt("F", 4.0)])
    return tmp_path


GOOD = [f"good{i}.cif" for i in range(3)]
BAD = ["disordered.cif", "nonsense.cif", "no_lithium.cif", "nowhere.cif"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_one_bad_structure_costs_one_row(folder, capsys, caplog, jobs):
    given = [BAD[0], GOOD[0], BAD[1], GOOD[1], "some.extxyz", BAD[2], BAD[3], GOOD[2]]
    assert run_command_line(["features", *given, "-o", "t.csv", "-j", jobs]) == 2
    out, err = capsys.readouterr()
    assert "t.csv: 5 rows" in out
    table = FeatureTable.read_csv("t.csv")
    good = [GOOD[0], GOOD[1], "some.extxyz:0", "some.extxyz:2", GOOD[2]]
    assert table.values.index.tolist() == good
    assert table.about.frames.tolist() == ["structure"] * 5
    alone = {name: featurize_files([name]).values["density"].item() for name in GOOD}
    assert {name: table.values["density"][name] for name in GOOD} == alone
    said = [one.getMessage() for one in caplog.records if "left out" in one.getMessage()]
    for name in (*BAD, "some.extxyz:1"):
        assert sum(name in line for line in said) == 1, name
    assert err.splitlines()[-1].startswith("mlmd: 5 row(s) made, 5 left out: ")


def test_predict_and_features_treat_a_bad_structure_alike(folder, capsys):
    ask = ["predict", "zheng2024_sisso", *GOOD, *BAD, "-T", "1000", "--json"]
    assert run_command_line(ask) == 2
    out, err = capsys.readouterr()
    content = json.loads(out)
    assert [one["structure"] for one in content["predictions"]] == GOOD
    assert [name in text for name, text in zip(BAD, content["left_out"], strict=True)] == [True] * 4
    assert err.splitlines()[-1].startswith("mlmd: 3 prediction(s) made, 4 left out: ")
    assert run_command_line(["features", *GOOD, *BAD, "--json"]) == 2
    content = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in content["rows"]] == GOOD
    assert len(content["left_out"]) == 4


def test_a_single_bad_structure_is_said_once(folder, capsys):
    for command in (["features"], ["predict", "zheng2024_sisso", "-T", "1000"]):
        assert run_command_line([*command, "disordered.cif"]) == 2
        lines = [one for one in capsys.readouterr().err.splitlines() if "disordered" in one]
        assert len(lines) == 1
        assert "partly occupied" in lines[0]


def test_python_says_what_is_left_out_or_raises(folder):
    errors = []
    table = featurize_files([*GOOD, *BAD], failed=errors.append)
    assert len(table) == 3
    assert len(errors) == 4
    with pytest.raises(InputError, match="partly occupied"):
        featurize_files([*GOOD, *BAD])
    with pytest.raises(InputError, match="partly occupied"):
        featurize_files(BAD, failed=errors.append)
    numbers = []
    given = [salt(), without_lithium(), salt("Br")]
    table = featurize(given, failed=lambda number, error: numbers.append(number))
    assert (len(table), numbers) == (2, [1])


def test_a_file_that_ends_early_gives_what_is_whole(tmp_path):
    write(tmp_path / "t.extxyz", MIXED)
    text = (tmp_path / "t.extxyz").read_text()
    (tmp_path / "t.extxyz").write_text(text[:-60])
    found = dict(read_structures(tmp_path / "t.extxyz"))
    kinds = [isinstance(one, Atoms) for one in found.values()]
    assert kinds == [True, True, False]
    assert np.allclose(next(iter(found.values())).positions, MIXED[0].positions, atol=1e-6)


def test_each_structure_that_is_left_out_of_a_table_is_named(tmp_path, capsys):
    whole = Atoms("LiCl", positions=[[0, 0, 0], [2.5, 0, 0]], cell=[5.0] * 3, pbc=True)
    close = Atoms("LiCl", positions=[[0, 0, 0], [0.3, 0, 0]], cell=[5.0] * 3, pbc=True)
    path = tmp_path / "several.xyz"
    write(path, [whole, close, whole, close], format="extxyz")
    assert run_command_line(["features", str(path), "--each", "--json"]) == 2
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["left_out"]
    assert [text.partition(": ")[0] for text in told] == [f"{path}:1", f"{path}:3"]
