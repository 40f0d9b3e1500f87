"""``mlmd rdf``: JSON, table and plot of files and runs, and one line for what cannot be."""

import csv
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from mlmd import Run, Trajectory, featurize, rdf
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError
from mlmd.trajectory.export import export_trajectory

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="module")
def salt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hot crystal of rock salt in a file of ASE."""
    fcc = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    basis = np.concatenate([fcc, fcc + np.array([0.5, 0, 0])])
    x = (np.array(list(product(range(2), repeat=3)))[:, None] + basis).reshape(-1, 3) * 5.6
    moved = x + np.random.default_rng(0).normal(0, 0.15, (50, *x.shape))
    numbers = np.tile([11] * 4 + [17] * 4, 8)
    path = tmp_path_factory.mktemp("rdf") / "salt.traj"
    export_trajectory(
        Trajectory(moved, np.eye(3) * 11.2, numbers, np.arange(50) * 10.0, source="salt"), path
    )
    return path


def test_json_has_the_curves_and_first_shells(salt, capsys):
    arguments = ["rdf", str(salt), "--timestep-fs", "10", "--r-max-A", "5", "--bin-A", "0.1"]
    assert run_command_line([*arguments, "--json"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["trajectory"]
    expected = rdf(Trajectory.read(salt, 10), r_max_A=5.0, bin_A=0.1)
    assert stage["g"]["Na-Cl"] == pytest.approx(expected.of("Na", "Cl").g)
    assert stage["g_stderr"]["total"] == pytest.approx(expected.total.stderr)
    assert stage["settings"]["convention"] == "exact"
    assert stage["settings"]["n_frames"] == 50
    shells = stage["first_shells"]
    assert set(shells) == {"Na-Na", "Na-Cl", "Cl-Na", "Cl-Cl"}
    assert shells["Na-Cl"]["coordination"] == pytest.approx(6, abs=0.05)
    assert shells["Na-Cl"]["peak_A"] == pytest.approx(2.8, abs=0.05)
    assert shells["Cl-Na"]["minimum_A"] == shells["Na-Cl"]["minimum_A"]


def test_text_table_and_plot(salt, tmp_path, capsys):
    table, folder = tmp_path / "out" / "g.csv", tmp_path / "plots"
    arguments = ["rdf", str(salt), "--timestep-fs", "10", "--species", "Cl-Na"]
    assert run_command_line([*arguments, "--csv", str(table), "--plot", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert "coordination number 6.0" in printed
    assert "50 frames" in printed
    rows = list(csv.DictReader(table.open()))
    assert set(rows[0]) == {"r_A", "g_total", "stderr_total", "g_Na-Cl", "stderr_Na-Cl"}
    assert (folder / "rdf-trajectory.png").read_bytes()[:4] == b"\x89PNG"


def test_conventions_by_name(salt, capsys):
    arguments = ["rdf", str(salt), "--timestep-fs", "10", "--json", "--convention"]
    assert run_command_line([*arguments, "zheng2024"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["trajectory"]
    assert stage["r_A"] == pytest.approx(np.arange(100) * 0.1)
    assert run_command_line([*arguments, "zheng2024_files"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["trajectory"]
    assert stage["r_A"] == pytest.approx(np.arange(101) * 0.1)


def test_what_has_no_first_shell_says_why(salt, capsys):
    arguments = ["rdf", str(salt), "--timestep-fs", "10", "--r-max-A", "3"]
    assert run_command_line(arguments) == 0
    assert "no minimum after its first peak up to 3 A" in capsys.readouterr().out
    assert run_command_line([*arguments, "--json"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["trajectory"]
    assert stage["first_shells"]["Na-Cl"] is None


def test_stages_of_a_run(protocol, atoms, calculator, tmp_path, capsys):
    """Each finished production stage, with a table of its own where there are several."""
    folder = tmp_path / "run"
    protocol.run(atoms, calculator, folder, seed=1)
    assert run_command_line(["rdf", str(folder), "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert list(stages) == ["production"]
    expected = rdf(Run.open(folder).trajectory("production"))
    assert stages["production"]["g"]["Li-Cl"] == pytest.approx(expected.of("Li", "Cl").g)
    assert run_command_line(["rdf", str(folder), "--timestep-fs", "2"]) == 2


def test_a_place_that_cannot_be_written_is_bad_input(salt, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for option in ("--csv", "--plot"):
        place = tmp_path / "file" / "below"
        assert run_command_line(["rdf", str(salt), "--timestep-fs", "10", option, str(place)]) == 2
        assert f"{option} {place} cannot be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--species", "Na"], "--species 'Na' is not a pair; expected one such as Li-O"),
        (["--species", "Na-Xe"], "no atom of species 'Xe'"),
        (["--convention", "best"], "convention is 'best'; expected exact or zheng2024"),
        (["--r-max-A", "-2"], "--r-max-A is -2"),
        (["--bin-A", "nan"], "--bin-A is nan"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(salt, capsys, options, message):
    assert run_command_line(["rdf", str(salt), "--timestep-fs", "10", *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.skipif(not (DATA / "liquid_na_aimd").is_dir(), reason="the AIMD data are not here")
def test_a_file_of_vasp(capsys):
    path = DATA / "liquid_na_aimd" / "XDATCAR_Na_671.0.gz"
    assert run_command_line(["rdf", str(path), "--timestep-fs", "2", "--json"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["trajectory"]
    assert stage["first_shells"]["Na-Na"]["coordination"] == pytest.approx(12.3, abs=0.3)
    assert stage["errors_reliable"]


# What does not depend on times or on unwrapping


def independent(n: int, pbc=(True, True, True)) -> list[Atoms]:
    """Snapshots that do not follow each other: no step between them can be unwrapped."""
    rng = np.random.default_rng(11)
    return [
        Atoms("Li27", rng.uniform(0.0, 12.0, (27, 3)), cell=[12.0] * 3, pbc=pbc) for _ in range(n)
    ]


def test_snapshots_need_no_times_and_no_unwrapping(tmp_path, capsys):
    frames, path = independent(6), tmp_path / "snapshots.xyz"
    write(path, frames, format="extxyz")
    with pytest.raises(InputError, match="too far to be unwrapped"):
        Trajectory.read(path, timestep_fs=1.0)
    assert run_command_line(["rdf", str(path), "--json"]) == 0
    said = capsys.readouterr()
    stage = json.loads(said.out)["stages"]["trajectory"]
    each = [
        rdf(Trajectory(one.positions[None], one.cell.array, one.numbers, np.zeros(1)))
        for one in frames
    ]
    assert stage["g"]["total"] == pytest.approx(
        np.mean([one.total.g for one in each], axis=0), abs=1e-5
    )
    assert stage["settings"]["n_blocks"] == 6
    assert stage["findings"] == []
    assert said.err == ""
    # Of independent snapshots the scatter is the error.
    scatter = np.std([one.total.g for one in each], axis=0, ddof=1) / np.sqrt(6)
    assert stage["g_stderr"]["total"] == pytest.approx(scatter, abs=1e-4)

    assert run_command_line(["features", str(path), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["rows"][0]
    of_each = featurize(frames).values
    for name in ("AAV", "Li_first_shell_CN"):
        if name in of_each:
            assert row["features"][name] == pytest.approx(of_each[name].mean(), rel=1e-6)
    known = {name: value for name, value in row["features"].items() if value is not None}
    assert len(known) > 20
    assert known == pytest.approx(of_each.mean()[list(known)].to_dict(), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(
    ("pbc", "code", "severity"),
    [
        ((True, True, True), None, None),
        ((True, True, False), "open_boundary", "doubt"),
        ((False, False, False), "no_density", "invalid"),
    ],
)
def test_g_of_what_is_no_bulk_is_doubted_in_each_face(pbc, code, severity, tmp_path, capsys):
    path = tmp_path / "snapshots.xyz"
    write(path, independent(3, pbc), format="extxyz")
    assert run_command_line(["rdf", str(path), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["stages"]["trajectory"]["findings"]
    assert [(one["code"], one["severity"]) for one in findings] == (
        [] if code is None else [(code, severity)]
    )
    assert run_command_line(["rdf", str(path)]) == 0
    text = capsys.readouterr().out
    assert (f"{severity}: trajectory: " in text) == (code is not None)
    assert run_command_line(["features", str(path)]) == (0 if all(pbc) else 2)
