"""The command line: JSON contracts, messages, and nothing heavy imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from runs import edit_manifest

from mlmd import Run
from mlmd.cli.app import run_command_line

LJ = ["--calculator", "lj", "--calculator-option", "cutoff_A=4.7"]
RUN = [
    "run",
    "quickstart",
    "--composition",
    "LiCl",
    "--n-atoms",
    "32",
    "--volume-per-atom-A3",
    "27",
]
SHORT = ["--set", "Equilibrate.duration_ps=0.1", "--set", "Production.duration_ps=2"]
WINDOW = ["--window-ps", "1", "--fit-ps", "0.3", "1"]

STAGE_KEYS = {"coordination", "events", "temperature_K", "duration_ps", "species"}
LAW_KEYS = {
    "E_a_eV",
    "E_a_stderr_eV",
    "D0_cm2_s",
    "E_a_interval68_eV",
    "E_a_lower_bound_eV",
}
SPECIES_KEYS = {
    "D_stderr_df",
    "relaxation_time_ps",
    "run_over_relaxation_time",
    "D_cm2_s",
    "D_stderr_cm2_s",
    "D_interval68_cm2_s",
    "is_diffusive",
    "n_windows",
    "estimator",
    "D_raw_cm2_s",
    "D_upper_bound_cm2_s",
    "D_lower_bound_cm2_s",
    "verdict",
    "needs_ps",
    "D_axes_cm2_s",
    "reason",
    "gate",
    "settings",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert run_command_line([*RUN, *LJ, *SHORT, "--out", str(folder)]) == 0
    return folder


def test_analyze_json_is_the_contract(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["analyze", str(finished), *WINDOW, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"stages", "arrhenius", "from_recipe", "findings"}
    assert list(printed["stages"]) == [f"production-{T}K" for T in (1000, 1400, 1800)]
    for T, stage in zip((1000, 1400, 1800), printed["stages"].values(), strict=True):
        assert set(stage) == STAGE_KEYS
        assert stage["temperature_K"] == T
        assert stage["duration_ps"] == pytest.approx(2.0)
        assert set(stage["species"]) == {"Li", "Cl"}
        for found in stage["species"].values():
            assert set(found) == SPECIES_KEYS
            assert found["n_windows"] == 2
            low, high = found["D_interval68_cm2_s"]
            assert found["D_cm2_s"] == (found["D_raw_cm2_s"] if found["is_diffusive"] else None)
            assert found["reason"]
            assert low < found["D_raw_cm2_s"] < high
            # Student's t with one degree of freedom: 1.837 standard errors.
            assert high - found["D_raw_cm2_s"] == pytest.approx(
                1.837 * found["D_stderr_cm2_s"], rel=1e-3
            )
    for law in printed["arrhenius"].values():
        assert set(law) == LAW_KEYS


def test_one_window_has_no_error(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["analyze", str(finished), "--window-ps", "2", "--fit-ps", "0.5", "2", "--json"]
    assert run_command_line(arguments) == 0
    printed = json.loads(capsys.readouterr().out)
    found = printed["stages"]["production-1000K"]["species"]["Li"]
    assert found["n_windows"] == 1
    assert found["D_cm2_s"] > 0
    assert found["D_stderr_cm2_s"] is None
    assert found["D_interval68_cm2_s"] is None


@pytest.mark.parametrize("suffix", [".h5md", ".traj", ".extxyz"])
def test_a_bare_trajectory_gives_the_numbers_of_the_run(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    exported = tmp_path / f"frames{suffix}"
    arguments = ["export", str(finished), "production-1400K", "-o", str(exported)]
    assert run_command_line(arguments) == 0
    capsys.readouterr()
    for path in (finished, exported):
        assert run_command_line(["analyze", str(path), *WINDOW, "--json"]) == 0
    of_run, of_file = map(json.loads, capsys.readouterr().out.splitlines())
    (stage,) = of_file["stages"].values()
    assert list(of_file["stages"]) == ["trajectory"]
    assert stage["temperature_K"] is None
    assert of_file["arrhenius"]["Li"] == dict.fromkeys(LAW_KEYS)
    expected = of_run["stages"]["production-1400K"]["species"]["Li"]["D_cm2_s"]
    assert stage["species"]["Li"]["D_cm2_s"] == pytest.approx(expected, rel=1e-4)


def test_given_time_between_frames_scales_D(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same frames said to be twice as far apart diffuse half as fast."""
    rng = np.random.default_rng(0)
    positions = 50 + np.cumsum(rng.normal(0, 0.1, (2001, 20, 3)), axis=0)
    images = [Atoms("Li20", positions=frame, cell=[100.0] * 3, pbc=True) for frame in positions]
    write(tmp_path / "walk.traj", images)
    values = []
    for timestep_fs in ("10", "20"):
        arguments = ["analyze", str(tmp_path / "walk.traj"), "--timestep-fs", timestep_fs]
        scale = float(timestep_fs) / 10
        window = [str(2 * scale), "--fit-ps", str(0.1 * scale), str(2 * scale)]
        more = ["--window-ps", *window, "--drift", "none", "--json"]
        assert run_command_line([*arguments, *more]) == 0
        printed = json.loads(capsys.readouterr().out)
        values.append(printed["stages"]["trajectory"]["species"]["Li"])
    assert values[0]["D_cm2_s"] == pytest.approx(2 * values[1]["D_cm2_s"], rel=1e-9)
    # 0.1^2 A2 per axis and 10 fs: D = 5e-4 A2/fs, and 1 A2/fs is 0.1 cm2/s.
    exact = 0.1**2 / 2 / 10 * 0.1
    assert abs(values[0]["D_cm2_s"] - exact) < 4 * values[0]["D_stderr_cm2_s"]


def test_running_again_says_done_and_computes_nothing(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlmd.calculators.models.lennard_jones import LennardJones

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(LennardJones, "calculate", refuse)
    assert run_command_line([*RUN, *LJ, *SHORT, "--out", str(finished)]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_status_and_listings(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["status", str(finished), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["status"] == "done"
    assert {stage["status"] for stage in status["stages"]} == {"done"}
    assert run_command_line(["protocols", "--json"]) == 0
    assert "quickstart" in json.loads(capsys.readouterr().out)
    assert run_command_line(["calculators", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["calculators"]["lj"]["installed"] is True
    assert listed["calculators"]["chgnet"]["install"] == "mlmd[chgnet]"


def test_plots_are_written(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["analyze", str(finished), *WINDOW, "--plot", str(tmp_path / "p")]) == 0
    out = capsys.readouterr().out
    for name in ("msd-Li.png", "msd-Cl.png", "arrhenius.png"):
        assert (tmp_path / "p" / name).stat().st_size > 10_000
        assert name in out


def test_unfinished_production_is_not_analysed(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    edit_manifest(copy, lambda run: run["stages"][-1].update(status="failed", result=None))
    assert Run.open(copy).status == "failed"
    assert run_command_line(["analyze", str(copy), *WINDOW, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed["stages"]) == ["production-1000K", "production-1400K"]


HEAVY = ("torch", "matplotlib", "pymatgen", "pandas", "sklearn", "chgnet")


@pytest.mark.parametrize(
    "program",
    [
        "import mlmd",
        "import mlmd; mlmd.pack, mlmd.Protocol, mlmd.Run, mlmd.Trajectory, mlmd.diffusivity",
        "from mlmd.cli.app import run_command_line; run_command_line(['--help'])",
        "from mlmd.cli.app import run_command_line; run_command_line(['protocols'])",
    ],
)
def test_nothing_heavy_is_imported(program: str) -> None:
    check = f"\nimport sys; print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program + check], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["--help"]) == 0
    out = capsys.readouterr().out
    for command in ("pack", "run", "status", "export", "analyze", "protocols", "calculators"):
        assert command in out
    assert "resumable" in out
