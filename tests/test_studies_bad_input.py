"""Bad input to a study: one line that says what to do, exit 2, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from lennard_jones_aimd import write_xdatcar

from mlmd import Trajectory
from mlmd.cli.app import run_command_line

pytest.importorskip("jinja2", reason="needs the report extra")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good and bad references, as the working directory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    grid = 3.8 * np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    walk = grid + np.cumsum(rng.normal(0, 0.02, (40, 27, 3)), axis=0)
    good = Trajectory(
        positions_A=walk,
        cell_A=11.4 * np.eye(3),
        numbers=np.full(27, 18),
        time_fs=20.0 * np.arange(40),
    )
    write_xdatcar(good, tmp_path / "XDATCAR")
    (tmp_path / "XDATCAR").write_bytes(_unpacked(tmp_path / "XDATCAR"))
    write(tmp_path / "one.extxyz", _atoms(walk[0], 0))
    cluster = [_atoms(positions, i) for i, positions in enumerate(walk)]
    for image in cluster:
        image.pbc, image.cell = False, np.zeros((3, 3))
    write(tmp_path / "cluster.extxyz", cluster)
    uneven = [_atoms(positions, i * i) for i, positions in enumerate(walk)]
    write(tmp_path / "uneven.extxyz", uneven)
    (tmp_path / "noise.dat").write_text("no trajectory\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    (tmp_path / "two.yaml").write_text("a: lj\nb: emt\n")
    return tmp_path


def _unpacked(path: Path) -> bytes:
    import gzip

    return gzip.decompress(path.read_bytes())


def _atoms(positions: np.ndarray, frame: int) -> Atoms:
    atoms = Atoms("Ar27", positions=positions, cell=[11.4] * 3, pbc=True)
    atoms.info["time_fs"] = 20.0 * frame
    return atoms


def study(reference: str = "XDATCAR", **changes: str | None) -> list[str]:
    """Return a command that would run, but for the changes."""
    options: dict[str, str | None] = {
        "timestep-fs": "20",
        "temperature-K": "140",
        "calculator": "lj",
        "out": "out",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    given = [part for name, value in options.items() if value for part in (f"--{name}", value)]
    return ["compare", "--reference", reference, "--calculator-option", "cutoff_A=5.5", *given]


BAD = {
    "no time step": (study(timestep_fs=None), "--frame-interval-fs"),
    "no temperature": (study(temperature_K=None), "--temperature-K"),
    "temperature of zero": (study(temperature_K="0"), "expected a positive number in K"),
    "unknown calculator": (study(calculator="chgnett"), "'chgnett' is not known"),
    "a model for lj": (study(calculator="lj:x"), "lj' has no models"),
    "no such element": (
        study(calculator="mlmd.calculators.models.emt:nothing"),
        "has no 'nothing'",
    ),
    "no out": (study(out=None), "--out DIR"),
    "no calculator": (study(calculator=None), "--calculator NAME"),
    "one frame": (study("one.extxyz", timestep_fs=None), "1 frame(s)"),
    "not periodic": (study("cluster.extxyz", timestep_fs=None), "cell"),
    "uneven times": (study("uneven.extxyz", timestep_fs=None), "not evenly spaced"),
    "no trajectory": (study("noise.dat"), "noise.dat"),
    "no file": (study("nowhere"), "no file nowhere"),
    "foreign directory": (study(out="full"), "no study (thesis.tex)"),
    "a file as directory": (study(out="noise.dat/x"), "noise.dat is no directory"),
    "all skipped": (study(skip_ps="5"), "is 0.78 ps long"),
    "skip backwards": (study(skip_ps="-1"), "at least 0 ps"),
    "time step too long": (study(md_timestep_fs="50"), "20 fs apart"),
    "negative equilibration": (study(equilibrate_ps="-1"), "--equilibrate-ps is -1"),
    "negative seed": (study(seed="-1"), "seed is -1"),
    "seed twice": ([*study(), "--seed", "1", "--seed", "1"], "each different"),
    "unknown threshold": (study(threshold="r3=1"), "has no r3"),
    "threshold no number": (study(threshold="r2_min=much"), "threshold r2_min is 'much'"),
    "threshold not assigned": (study(threshold="r2_min"), "expected KEY=VALUE"),
    "label twice": ([*study(calculator="a=lj"), "--calculator", "a=lj"], "labelled 'a'"),
    "options for several": (study(calculator="two.yaml"), "give them in a YAML file"),
    "too many temperatures": ([*study(), "--temperature-K", "9"], "1 references and 2 temp"),
    "cutoff too long": ([*study(), "--calculator-option", "cutoff_A=9"], "half the smallest"),
    "both forms": ([*study(), "XDATCAR", "XDATCAR"], "give either SURROGATE and REFERENCE"),
    "one path": (["compare", "XDATCAR"], "1 path(s) given"),
    "nothing": (["compare"], "0 path(s) given"),
    "study options alone": (["compare", "XDATCAR", "XDATCAR", "--seed", "1"], "of a study need"),
    "pair without time step": (["compare", "XDATCAR", "XDATCAR"], "--frame-interval-fs"),
    "no run to report": (["report", "full"], "full"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(folder: Path, capsys: pytest.CaptureFixture[str], name: str):
    command, expected = BAD[name]
    before = sorted(folder.rglob("*"))
    code = run_command_line(command)
    error = capsys.readouterr().err
    assert code == 2, error
    assert expected in error
    assert error.count("\n") == 1
    assert error.startswith("mlmd: ")
    assert sorted(folder.rglob("*")) == before


def test_without_jinja_nothing_is_run(folder: Path, capsys, monkeypatch):
    from mlmd.report.page import page

    monkeypatch.setattr(page.importlib.util, "find_spec", lambda name: None)
    before = sorted(folder.rglob("*"))
    assert run_command_line(study()) == 2
    assert "mlmd[report]" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before
