"""Rankings: one row for each structure whatever happens to it, and what is kept is not redone."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from crystals import CRYSTALS, Ions

from mlmd import CalculatorSpec, screen
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError
from mlmd.screening.descriptors import Descriptors
from mlmd.screening.ranking import COLUMNS, Ranking, Screened
from mlmd.screening.scan.scan import ScanSettings

pytest.importorskip("spglib", reason="needs the screening extra")
NAMES = ("Fm-3m", "P6_3mc", "P4_2/mnm")
MODEL = ["--calculator", "crystals:Ions", "--no-relax"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Crystals in files, and what cannot be ranked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    for name in NAMES:
        write(f"{name.replace('/', '_')}.cif", CRYSTALS[name])
    write("twin.extxyz", CRYSTALS["Fm-3m"])
    write("no_lithium.extxyz", Atoms("F", cell=[3.0] * 3, pbc=True))
    write("slab.extxyz", Atoms("LiF", [[0, 0, 0], [1.9, 0, 0]], cell=[4, 4, 9], pbc=[1, 1, 0]))
    Path("noise.cif").write_text("this is no structure\n")
    return tmp_path


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_ranked_and_what_is_bad_costs_a_line_each(folder, capsys):
    files = sorted(str(path.relative_to(folder)) for path in folder.iterdir())
    code = run_command_line(["screen", *files, *MODEL, "-o", "ranking.csv"])
    said = capsys.readouterr()
    rows = table("ranking.csv")
    assert code == 2
    assert tuple(rows[0]) == COLUMNS
    assert [row["status"] for row in rows].count("failed") == 3
    assert "4 row(s) made, 3 left out" in said.err
    good = rows[:4]
    assert [float(row["xi"]) for row in good] == sorted(float(row["xi"]) for row in good)[::-1]
    assert good[0]["name"] == "P6_3mc.cif"  # the only one with a way out below 1 eV
    assert good[0]["status"] == "done"
    assert {row["status"] for row in good[1:]} == {"above_max_level"}
    assert {row["mpe_eV"] for row in good[1:]} == {""}
    assert ">1.0" in said.out
    twins = [row for row in good if row["name"] in ("Fm-3m.cif", "twin.extxyz")]
    assert twins[0]["rank"] == twins[1]["rank"]
    assert f"{twins[0]['rank']}=" in said.out
    assert {row["formula"] for row in good} == {"LiF", "Li2F"}
    for name, why in (("no_lithium", "no Li"), ("slab", "periodic"), ("noise", "cannot be read")):
        (row,) = [row for row in rows if row["name"].startswith(name)]
        assert why in row["message"]
        assert row["xi"] == ""
    left_out = [line for line in said.err.splitlines() if "left out" in line]
    assert not any(name in line for name in ("P6_3mc", "twin") for line in left_out)


def test_json_has_the_table(folder, capsys):
    assert run_command_line(["screen", "P6_3mc.cif", *MODEL, "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    (row,) = json.loads(line)["structures"]
    assert tuple(row) == COLUMNS
    assert 0 < row["mpe_eV"] <= row["mpe_1d_eV"] <= row["mpe_2d_eV"] < 1
    assert row["mpe_3d_eV"] is None  # above 1 eV
    assert row["status"] == "done"
    assert row["cell"] == "primitive"


def test_what_was_computed_is_not_computed_again(folder, capsys, monkeypatch):
    command = ["screen", "P6_3mc.cif", "twin.extxyz", *MODEL]
    assert run_command_line([*command, "-o", "a.csv"]) == 0
    asked = []
    monkeypatch.setattr(Ions, "calculate_many", lambda *_: asked.append(1))
    assert run_command_line([*command, "-o", "b.csv", "--keep", "a-scans"]) == 0
    assert table("a.csv") == table("b.csv")
    assert asked == []
    assert run_command_line([*command, "--mode", "full", "-o", "c.csv", "--keep", "a-scans"]) == 2
    assert asked  # that is another question


def test_a_kill_costs_no_energy_that_was_computed(folder, capsys):
    """Stopped in the second structure: the first is done, the second goes on."""
    files = ["P6_3mc.cif", "P4_2_mnm.cif"]
    whole = screen({name: _read(name) for name in files}, Ions(), relax=False)
    n_first = whole.screened[0].n_evaluations
    stop = ["--calculator-option", f"at_most={n_first + 40}", "--batch", "8"]
    assert run_command_line(["screen", *files, *MODEL, *stop, "-o", "a.csv"]) == 3
    assert "interrupted" in capsys.readouterr().err
    assert not Path("a.csv").exists()
    assert len(list(Path("a-scans").glob("*/result.json"))) == 1
    (partial,) = [path for path in Path("a-scans").glob("*/*.energies")
                  if not (path.parent / "result.json").exists()]  # fmt: skip
    assert 32 * 16 < partial.stat().st_size <= 40 * 16


def _read(name: str) -> Atoms:
    from mlmd.structure.reading import read_structure

    return read_structure(name)


def test_a_folder_of_somebody_elses_is_not_written_into(folder, capsys):
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("precious")
    assert run_command_line(["screen", "P6_3mc.cif", *MODEL, "--keep", "mine"]) == 2
    assert "not empty" in capsys.readouterr().err
    Path("r-scans").mkdir()
    Path("r-scans/mine").write_text("x")
    assert run_command_line(["screen", "P6_3mc.cif", *MODEL, "-o", "r.csv"]) == 2
    assert not Path("r.csv").exists()


def test_of_two_processes_on_one_folder_the_second_is_refused(folder, capsys):
    """And may work there when the first is gone, killed or done."""
    hold = (
        "import sys, time; from pathlib import Path; from mlmd.screening.kept import make_kept; "
        "lock = make_kept(Path('a-scans')); print('held', flush=True); time.sleep(60)"
    )
    command = ["screen", "P6_3mc.cif", *MODEL, "-o", "a.csv"]
    other = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert run_command_line(command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "another process works on a-scans" in line
        assert "--keep" in line
        assert {path.name for path in Path("a-scans").iterdir()} == {"screening.json", "lock"}
    finally:
        other.kill()
        other.wait()
    assert run_command_line(command) == 0
    assert run_command_line([*command, "--force"]) == 0


def test_an_object_cannot_be_kept_but_used(folder):
    atoms = {"one": CRYSTALS["P6_3mc"]}
    assert screen(atoms, Ions(), relax=False).screened[0].descriptors is not None
    with pytest.raises(InputError, match="CalculatorSpec"):
        screen(atoms, Ions(), kept="somewhere")
    assert not Path("somewhere").exists()


def test_a_crystal_is_relaxed_first_and_one_that_comes_apart_fails_alone():
    """Copper by EMT, 3 % too wide; and where atoms repel each other without end."""
    wide = Atoms("Cu4", scaled_positions=[[0, 0, 0], [0, .5, .5], [.5, 0, .5], [.5, .5, 0]],
                 cell=[3.7] * 3, pbc=True)  # fmt: skip
    settings = ScanSettings(spacing_A=0.6)
    as_it_is = screen({"Cu": wide}, "emt", "Cu", settings, relax=False).screened[0]
    relaxed = screen({"Cu": wide}, "emt", "Cu", settings).screened[0]
    assert relaxed.descriptors is not None
    assert as_it_is.descriptors is not None
    assert relaxed.descriptors != as_it_is.descriptors
    repelling = CalculatorSpec("lj", options={"sigma_A": 9.0, "epsilon_eV": 50.0, "cutoff_A": 1.8})
    bad = screen({"Cu": wide, "also": wide}, repelling, "Cu", settings)
    assert [one.status for one in bad.screened] == ["failed", "failed"]


def descriptors(**changes) -> Descriptors:
    numbers = dict.fromkeys(Descriptors.__dataclass_fields__, 0.0)
    return Descriptors(**{**numbers, "xi": 0.5, "mpe_eV": 0.4, **changes})


def test_what_doubts_a_row_is_said_in_the_terminal_and_in_json(folder, capsys, monkeypatch):
    found = [
        Screened("deep", "LiF", descriptors(deeper_eV=0.3), 5, ScanSettings()),
        Screened("loose", "LiF", descriptors(xi_error=0.2), 5, ScanSettings()),
        Screened("bad", "LiF", None, 0, ScanSettings(), "why it failed"),
    ]
    ranking = Ranking(tuple(found))
    codes = [finding.code for finding in ranking.findings]
    assert sorted(codes) == ["deeper_place", "not_screened", "xi_uncertain"]
    monkeypatch.setattr("mlmd.screening.screening.screen", lambda *_, **__: ranking)
    assert run_command_line(["screen", "P6_3mc.cif", *MODEL]) == 2
    said = capsys.readouterr()
    for finding in ranking.findings:
        assert finding.message in said.out + said.err
    assert run_command_line(["screen", "P6_3mc.cif", *MODEL, "--json"]) == 2
    content = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in content["findings"]] == codes


def test_ranks_are_shared_by_equal_rows_alone():
    def row(name: str, xi: float, mpe_eV: float = 0.4) -> Screened:
        return Screened(name, "LiF", descriptors(xi=xi, mpe_eV=mpe_eV), 1, ScanSettings())

    failed = replace(row("x", 0.0), descriptors=None, message="no")
    ranking = Ranking((row("c", 0.0), failed, row("a", 0.9), row("b", 0.0, np.inf), row("d", 0.2)))
    assert [(rank, one.name) for rank, one in ranking.ranked()] == [
        (1, "a"), (2, "d"), (3, "c"), (3, "b"), (None, "x"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mobile", "Xx"], "unknown"),
        (["--mode", "fast"], "lazy or thorough or full"),
        (["--max-level-eV", "0.2"], "at least 0.5"),
        (["--thresholds", "mine"], "paper or averaged"),
        (["--ions", "some"], "inequivalent or all"),
        (["--cell", "0x1x1"], "2x2x2"),
        (["--calculator", "melt=lj"], "one calculator"),
    ],
)
def test_bad_settings_are_refused(folder, capsys, arguments, said):
    assert run_command_line(["screen", "P6_3mc.cif", *MODEL, *arguments]) == 2
    assert said in capsys.readouterr().err
