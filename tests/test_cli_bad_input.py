"""Bad input: one line that says what was given and what to do, exit 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from mlmd.cli.app import run_command_line

RECIPE = """\
schema: 1
name: tiny
stages:
  - {name: melt, class: Equilibrate, temperature_K: 900, duration_ps: 0.02, record_every_fs: 4}
  - {name: production, class: Production, temperature_K: 900, duration_ps: 0.2, record_every_fs: 4}
"""

CIF_WITH_PARTIAL_OCCUPANCY = """\
data_x
_cell_length_a 6
_cell_length_b 6
_cell_length_c 6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0 0 0 0.5
Cl1 Cl 0.5 0.5 0.5 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good and bad files, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    (tmp_path / "typo.yaml").write_text(RECIPE.replace("record_every_fs", "record_evry_fs"))
    (tmp_path / "topkey.yaml").write_text(RECIPE + "calculator: chgnet\n")
    (tmp_path / "broken.yaml").write_text("stages: [")
    (tmp_path / "partial.cif").write_text(CIF_WITH_PARTIAL_OCCUPANCY)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    good = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    write(tmp_path / "good.extxyz", good)
    close = good.copy()
    close.positions[1] = close.positions[0] + [0.3, 0, 0]
    write(tmp_path / "overlap.extxyz", close)
    open_cell = good.copy()
    open_cell.pbc = False
    write(tmp_path / "cluster.extxyz", open_cell)
    write(tmp_path / "one.cif", Atoms("Cu", cell=[2.6] * 3, pbc=True))
    write(tmp_path / "two.cif", Atoms("LiCl", [[0, 0, 0], [2.5] * 3], cell=[5] * 3, pbc=True))
    (tmp_path / "noise.extxyz").write_text("this is no structure\n")
    return tmp_path


LJ = ["--calculator", "lj", "--calculator-option", "cutoff_A=4.5"]
GOOD = ["run", "tiny.yaml", "--structure", "good.extxyz", *LJ, "--out", "out"]


def setting(text: str) -> list[str]:
    return [*GOOD, "--set", text]


BAD = {
    "unknown element": (
        ["run", "tiny.yaml", "--composition", "Xx2O", *LJ, "--out", "out"],
        "unknown element 'Xx'",
    ),
    "zero temperature": (setting("melt.temperature_K=0"), "temperature_K is 0"),
    "negative temperature": (setting("melt.temperature_K=-5"), "temperature_K is -5"),
    "zero time step": (setting("melt.timestep_fs=0"), "timestep_fs is 0"),
    "negative duration": (setting("Production.duration_ps=-1"), "duration_ps is -1"),
    "infinite duration": (setting("Production.duration_ps=.inf"), "duration_ps is inf"),
    "temperature in words": (setting("melt.temperature_K=hot"), "temperature_K is 'hot'"),
    "interval no multiple": (setting("melt.timestep_fs=3"), "not a whole number of time steps"),
    "unknown field": (setting("melt.temperature=300"), "unknown key(s) temperature"),
    "unknown stage": (setting("mlet.temperature_K=300"), "no stage or class 'mlet'"),
    "no field": (setting("temperature_K=300"), "expected NAME.field=value"),
    "unknown key in YAML": (
        ["run", "typo.yaml", *GOOD[2:]],
        "unknown key(s) record_evry_fs; expected among",
    ),
    "unknown key of the protocol": (["run", "topkey.yaml", *GOOD[2:]], "unknown key(s) calculator"),
    "broken YAML": (["run", "broken.yaml", *GOOD[2:]], "is not YAML"),
    "unknown protocol": (["run", "quickstrat", *GOOD[2:]], "no protocol 'quickstrat'"),
    "partial occupancies": (
        ["run", "tiny.yaml", "--structure", "partial.cif", *LJ, "--out", "out"],
        "occup",
    ),
    "overlapping atoms": (
        ["run", "tiny.yaml", "--structure", "overlap.extxyz", *LJ, "--out", "out"],
        "0.300",
    ),
    "not periodic": (
        ["run", "tiny.yaml", "--structure", "cluster.extxyz", *LJ, "--out", "out"],
        "periodic",
    ),
    "no structure in the file": (
        ["run", "tiny.yaml", "--structure", "noise.extxyz", *LJ, "--out", "out"],
        "noise.extxyz",
    ),
    "no such file": (
        ["run", "tiny.yaml", "--structure", "absent.cif", *LJ, "--out", "out"],
        "absent.cif",
    ),
    "neither composition nor structure": (
        ["run", "tiny.yaml", *LJ, "--out", "out"],
        "either --composition or --structure",
    ),
    "no such format": (
        [*GOOD, "--format", "extxzy"],
        "format is 'extxzy'; expected one that ASE reads, such as extxyz",
    ),
    "too few atoms for dynamics": (
        ["run", "tiny.yaml", "--structure", "one.cif", *LJ, "--out", "out"],
        "1 atoms; expected at least 2, repeat it first (mlmd.structure.supercell, "
        "--supercell-n-atoms)",
    ),
    "too few atoms are left": (
        [*GOOD[:2], "--structure", "two.cif", "--vacancies", "Li=1", *LJ, "--out", "out"],
        "1 of 1 Li atoms would be taken out",
    ),
    "extension in words, before anything is packed": (
        ["run", "tiny.yaml", "--composition", "Xx2O", "--extend", "melt", *LJ, "--out", "out"],
        "--extend 'melt' is not understood",
    ),
    "dispersion of no functional": (
        [*GOOD, "--calculator-option", "d3=pbee"],
        "d3 has no parameters of the functional 'pbee'",
    ),
    "dispersion on top of a program": (
        [*GOOD[:4], "--calculator", "vasp", "--calculator-option", "d3=pbe", "--out", "out"],
        "'vasp' has dispersion of its own: give the option incar: {IVDW: 12}",
    ),
    "both densities": (
        ["pack", "LiCl", "-o", "a.cif", "--density-g-cm3", "1", "--volume-per-atom-A3", "20"],
        "density",
    ),
    "negative density": (["pack", "LiCl", "-o", "a.cif", "--density-g-cm3", "-1"], "density"),
    "unknown suffix": (["pack", "LiCl", "-o", "a.nothing"], "no suffix that ASE can write"),
    "unknown calculator": (
        [
            "run",
            "tiny.yaml",
            "--structure",
            "good.extxyz",
            "--calculator",
            "chgnett",
            "--out",
            "out",
        ],
        "calculator 'chgnett' is not known; expected one of chgnet, cp2k, emt",
    ),
    "calculator that cannot do the elements": (
        ["run", "tiny.yaml", "--structure", "good.extxyz", "--calculator", "emt", "--out", "out"],
        "No EMT-potential for",
    ),
    "unknown option of the calculator": (
        [*GOOD[:4], "--calculator", "lj", "--calculator-option", "cutof=3", "--out", "out"],
        "options: sigma_A, epsilon_eV, cutoff_A",
    ),
    "negative seed": ([*GOOD, "--seed", "-3"], "seed is -3"),
    "zero checkpoint interval": ([*GOOD, "--checkpoint-every-s", "0"], "checkpoint_every_s is 0"),
    "no threads": ([*GOOD, "--threads", "0"], "threads is 0"),
    "unknown option": ([*GOOD, "--tempreature", "3"], "--tempreature"),
    "missing option": (["run", "tiny.yaml", "--structure", "good.extxyz"], "--calculator"),
    "status of no run": (["status", "."], "not a run directory"),
    "analysis of no file": (["analyze", "absent.h5md"], "no file absent.h5md"),
    "times not known": (["analyze", "good.extxyz"], "--timestep-fs"),
    "zero time between frames": (
        ["analyze", "good.extxyz", "--timestep-fs", "0"],
        "timestep_fs is 0",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD.keys())
def test_bad_input(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = sorted(folder.rglob("*"))
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("mlmd: ")
    assert said in line
    assert sorted(folder.rglob("*")) == before


def test_missing_extra_names_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "chgnet" else found(name, *a)
    )
    arguments = ["run", "tiny.yaml", "--structure", "good.extxyz", "--calculator", "chgnet"]
    assert run_command_line([*arguments, "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install 'mlmd[chgnet]'" in line
    assert not (folder / "out").exists()


def test_window_longer_than_the_trajectory(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(GOOD) == 0
    capsys.readouterr()
    assert run_command_line(["analyze", "out", "--estimator", "windowed"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.strip().splitlines()
    assert "15" in line
    assert "0.2 ps" in line
    assert "--window-ps" in line
    assert captured.out == ""


def test_another_runs_directory(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(GOOD) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run_command_line([*GOOD, "--seed", "5"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "out holds another run: seed is 0 there and 5 given" in line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_existing_files_are_not_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(GOOD) == 0
    (folder / "taken.extxyz").write_text("mine")
    for arguments in (
        ["export", "out", "production", "-o", "taken.extxyz"],
        ["pack", "LiCl", "-o", "taken.extxyz"],
    ):
        assert run_command_line(arguments) == 2
        assert "nothing is overwritten" in capsys.readouterr().err
    assert (folder / "taken.extxyz").read_text() == "mine"
