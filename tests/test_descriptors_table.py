"""Tables of features: trajectories, processes, files and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

import mlmd
from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Run
from mlmd.cli.app import run_command_line
from mlmd.descriptors.features import FEATURES, measure
from mlmd.descriptors.featurize import featurize
from mlmd.descriptors.snapshot import Snapshot
from mlmd.descriptors.table import FeatureTable
from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory

pandas = pytest.importorskip("pandas", reason="needs the model extra")

NAMES = [feature.name for feature in FEATURES]


def rattled(n: int):
    salt = bulk("LiCl", "rocksalt", a=5.13, cubic=True)
    for seed in range(n):
        atoms = salt.copy()
        atoms.rattle(0.2, seed=seed)
        yield atoms


def trajectory(n: int = 5) -> Trajectory:
    frames = list(rattled(n))
    positions = np.array([atoms.positions for atoms in frames])
    return Trajectory(positions, frames[0].cell.array, frames[0].numbers, np.arange(n) * 10.0)


def test_a_trajectory_has_the_mean_and_standard_deviation_of_its_frames():
    frames = [list(measure(Snapshot.of_atoms(atoms)).values()) for atoms in rattled(5)]
    table = mlmd.featurize(trajectory())
    mean, spread = np.mean(frames, axis=0), np.std(frames, axis=0, ddof=1)
    assert table.values.iloc[0].to_numpy() == pytest.approx(mean, rel=1e-12, nan_ok=True)
    assert table.spread.iloc[0].to_numpy() == pytest.approx(spread, abs=1e-9, nan_ok=True)
    assert table.about.n_frames.tolist() == [5]
    assert table.spread["LASD"].iloc[0] > 0.01
    assert table.spread["avg_B_with_Li"].iloc[0] == 0.0


def test_a_cell_that_changes_is_taken_frame_by_frame():
    still = trajectory(2)
    cells = np.array([still.cell_A, 1.1 * still.cell_A])
    grown = Trajectory(still.positions_A, cells, still.numbers, still.time_fs)
    table = featurize({"still": still, "grown": grown})
    ratio = table.values["AAV"]["grown"] / table.values["AAV"]["still"]
    assert ratio == pytest.approx((1 + 1.1**3) / 2)


def test_rows_are_named_and_have_their_own_temperatures():
    atoms = list(rattled(3))
    atoms[1].info["name"] = "second"
    table = featurize(iter(atoms), temperature_K=[500.0, None, 2000.0])
    assert table.values.index.tolist() == ["0", "second", "2"]
    kelvin = 11604.518
    found = table.values["inverse_kbT"].to_numpy()
    assert found == pytest.approx([kelvin / 500, np.nan, kelvin / 2000], rel=1e-6, nan_ok=True)
    assert table.about.formula.tolist() == ["Cl4Li4"] * 3
    assert table.spread.isna().all(axis=None)


def test_two_processes_give_the_same_rows_in_order():
    atoms, seen = list(rattled(70)), []
    one = featurize(iter(atoms), convention="zheng2024")
    two = featurize(
        iter(atoms), convention="zheng2024", n_jobs=2, progress=lambda *x: seen.append(x)
    )
    pandas.testing.assert_frame_equal(one.values, two.values)
    assert seen == [(i + 1, None) for i in range(70)]


def test_the_file_gives_back_every_digit(tmp_path):
    table = featurize({"a": trajectory(), "NA": next(rattled(1))}, temperature_K=1234.5)
    table.to_csv(tmp_path / "f.csv")
    back = FeatureTable.read_csv(tmp_path / "f.csv")
    pandas.testing.assert_frame_equal(back.values, table.values, check_index_type=False)
    pandas.testing.assert_frame_equal(back.spread, table.spread, check_index_type=False)
    assert back.about.to_dict() == table.about.to_dict()
    assert back.values.index.tolist() == ["a", "NA"]
    assert (back.convention, back.mobile, back.units) == ("mlmd", "Li", table.units)
    assert [p.name for p in tmp_path.iterdir()] == ["f.csv"]


def test_tables_of_before_have_no_column_of_frames(tmp_path):
    file = tmp_path / "f.csv"
    featurize(trajectory()).to_csv(file)
    head, columns, row = file.read_text().splitlines()
    file.write_text(f"{head}\n{columns.replace('frames,frames,', 'frames,', 1)}\n")
    assert file.read_text().count("frames") == 1
    with file.open("a") as end:
        end.write(row.replace(",5,,", ",5,", 1) + "\n")
    table = FeatureTable.read_csv(file)
    assert table.about.frames.tolist() == [""]
    assert table.after_start.tolist() == [True]
    assert table.values["AAV"].tolist() == featurize(trajectory()).values["AAV"].tolist()


def test_rows_of_one_name_are_told_apart(tmp_path):
    atoms = list(rattled(4))
    for one, name in zip(atoms, ["a", "a#2", "a", "a"], strict=True):
        one.info["name"] = name
    table = featurize(atoms)
    assert table.values.index.tolist() == ["a", "a#2", "a#3", "a#4"]
    table.to_csv(tmp_path / "f.csv")
    back = FeatureTable.read_csv(tmp_path / "f.csv")
    assert back.values["LASD"].tolist() == table.values["LASD"].tolist()


def test_a_file_with_two_rows_of_one_name_is_not_written(tmp_path):
    table = featurize(list(rattled(2)))
    same = {key: getattr(table, key).set_axis(["a", "a"]) for key in ("values", "spread", "about")}
    with pytest.raises(InputError, match="two rows are named 'a'; give each") as caught:
        FeatureTable(**same, convention="mlmd", mobile="Li").to_csv(tmp_path / "f.csv")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.partition("\n")[2], "has lost its first line.* mlmd and zheng2024: say"),
        (lambda text: text.replace('"schema": 1', '"schema": 2'), "has schema 2"),
        (lambda text: text.replace('{"schema"', '{"schema'), "first line is damaged"),
        (lambda text: text.replace("zheng2024", "mine"), "convention is 'mine'"),
        (lambda text: text.replace(",LBI,", ",LBX,"), "no column LBI"),
        (lambda text: text.replace("Cl4Li4,,1,,", "Cl4Li4,,1,,x"), "is no number"),
        (lambda text: text + ",".join("x" * 200), "200 cells; the header has"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, damage, says):
    file = tmp_path / "f.csv"
    featurize(next(rattled(1)), convention="zheng2024").to_csv(file)
    file.write_text(damage(file.read_text()))
    with pytest.raises(InputError, match=says) as caught:
        FeatureTable.read_csv(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"convention": "mine"}, "convention is 'mine'; expected mlmd or zheng2024"),
        ({"mobile": "Na"}, r"structure 0: no Na in the structure \(Li, Cl\)"),
        ({"mobile": "Lithium"}, "mobile element 'Lithium' is unknown"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"temperature_K": -1.0}, "is -1.0; expected a positive number in K"),
        ({"temperature_K": [300.0]}, "more structures than temperatures"),
        ({"temperature_K": [300.0] * 3}, "more temperatures than structures"),
    ],
)
def test_bad_options_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        featurize(list(rattled(2)), **options)


def test_what_is_no_structure_is_refused():
    with pytest.raises(InputError, match="structures is str; expected"):
        featurize("POSCAR")
    with pytest.raises(InputError, match=r"structure 0: it is a int; expected ase\.Atoms"):
        featurize([3])
    with pytest.raises(InputError, match="no structures given"):
        featurize([])


def test_command_writes_the_table_of_files_and_says_so(tmp_path, capsys):
    structure, frames, out = tmp_path / "s.cif", tmp_path / "t.extxyz", tmp_path / "f.csv"
    write(structure, next(rattled(1)))
    write(frames, list(rattled(4)))
    arguments = ["features", str(structure), str(frames), "-o", str(out), "--mobile", "Li"]
    arguments += ["--convention", "zheng2024", "--timestep-fs", "2", "--temperature-K", "900"]
    assert run_command_line([*arguments, "--every", "2"]) == 0
    assert "2 rows of 44 features" in capsys.readouterr().out
    table = FeatureTable.read_csv(out)
    assert table.values.index.tolist() == [str(structure), str(frames)]
    assert table.about.n_frames.tolist() == [1, 2]
    expected = featurize(trajectory(3), convention="zheng2024")
    means = np.mean([list(measure(Snapshot.of_atoms(a)).values()) for a in rattled(3)][::2], axis=0)
    assert table.values["LASD"].iloc[1] == pytest.approx(means[NAMES.index("LASD")], abs=1e-6)
    assert list(table.values.columns) == list(expected.values.columns)
    assert run_command_line(arguments) == 2  # the file exists
    assert "nothing is overwritten" in capsys.readouterr().err


def test_command_takes_the_last_frame_on_request(tmp_path, capsys):
    frames = tmp_path / "t.extxyz"
    write(frames, list(rattled(4)))
    command = ["features", str(frames), "--timestep-fs", "2", "--last", "--json"]
    assert run_command_line(command) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    expected = measure(Snapshot.of_atoms(list(rattled(4))[-1]))
    assert row["n_frames"] == 1
    assert row["features"]["inverse_kbT"] is None
    assert row["features"]["SLPW"] == pytest.approx(expected["SLPW"], abs=1e-6)


def test_command_refuses_what_is_given_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("a.cif", next(rattled(1)))
    for again, says in {
        "a.cif": "a.cif is given twice; ",
        f"{tmp_path}/a.cif": ", as a.cif; ",
    }.items():
        assert run_command_line(["features", "a.cif", again, "-o", "t.csv"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
    assert not (tmp_path / "t.csv").exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    settings = {"timestep_fs": 4.0, "record_every_fs": 20.0, "temperature_K": 1500}
    stages = (
        Equilibrate(name="melt", duration_ps=0.1, **settings),
        Production(name="hot", duration_ps=0.2, **settings),
    )
    calculator = CalculatorSpec("lj", options={"cutoff_A": 4.5, "sigma_A": 2.4})
    folder = tmp_path_factory.mktemp("runs") / "run"
    start = next(rattled(1)).repeat((2, 2, 2))
    return Protocol(name="fluid", stages=stages).run(start, calculator, folder, seed=0)


def of_frame(run: Run, stage: str, index: int) -> dict[str, float]:
    frames = run.trajectory(stage)
    parts = frames.positions_A[index], frames.cells_A()[index], frames.numbers
    return measure(Snapshot(*parts, masses_u=frames.masses_u, temperature_K=1500))


def test_command_says_which_frames_of_a_run_the_features_are_of(run, tmp_path):
    tables = {}
    for option in ("--start", "--last", "--every=1"):
        file = tmp_path / f"{option}.csv"
        assert run_command_line(["features", str(run.path), "-o", str(file), option]) == 0
        tables[option] = FeatureTable.read_csv(file)
        assert tables[option].values.index.tolist() == [f"{run.path}/hot"]
    start, last, mean = tables.values()
    assert start.about.frames.tolist() == ["start of production"]
    assert last.about.frames.tolist() == ["last frame of production"]
    assert mean.about.frames.tolist() == ["mean over production"]
    assert [one.about.n_frames.item() for one in tables.values()] == [1, 1, 11]
    # The start is what the stage before has left; the others have seen the production.
    ended = of_frame(run, "melt", -1)
    assert start.values.iloc[0].to_dict() == pytest.approx(ended, rel=1e-9)
    assert last.values.iloc[0].to_dict() == pytest.approx(of_frame(run, "hot", -1), rel=1e-9)
    assert [one.after_start.item() for one in tables.values()] == [False, True, True]
    assert start.values["LASD"].item() != last.values["LASD"].item()


def test_command_says_which_frames_of_a_file_the_features_are_of(tmp_path, capsys):
    write(tmp_path / "s.cif", next(rattled(1)))
    write(tmp_path / "t.extxyz", list(rattled(4)))
    words = ["features", str(tmp_path / "s.cif"), str(tmp_path / "t.extxyz"), "--timestep-fs", "2"]
    for option, frames in {"--start": "start of", "--last": "last frame of"}.items():
        assert run_command_line([*words, option, "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        assert [row["frames"] for row in rows] == ["structure", f"{frames} file"]
        assert [row["n_frames"] for row in rows] == [1, 1]
    assert run_command_line(words) == 0
    assert "Cl4Li4, 4 frame(s), mean over file, mlmd" in capsys.readouterr().out
    assert run_command_line([*words, "--start", "--last"]) == 2
    assert "--start, --last and --each are of different frames" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to compute features of"),
        (["none.cif"], "no file or run directory none.cif"),
        ([__file__], "cannot be read"),
        ([".", "--every", "0"], "--every is 0"),
        (["."], "run.json"),
    ],
)
def test_command_says_what_is_wrong(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["features", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_command_lists_the_features(capsys):
    assert run_command_line(["features", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [feature["name"] for feature in listed] == NAMES
