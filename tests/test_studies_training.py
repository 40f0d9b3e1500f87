"""What the commands do, for users of Python: training, features of files, a pair of files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

pytest.importorskip("sklearn", reason="needs the model extra")
pytest.importorskip("skops", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

from mlmd.cli.app import run_command_line  # noqa: E402
from mlmd.errors import InputError  # noqa: E402
from mlmd.model import Predictor, TrainingTable, load_model  # noqa: E402
from mlmd.studies import (  # noqa: E402
    TrainingSettings,
    compare_files,
    featurize_files,
    train_study,
    training_table,
)

ANIONS = ("Cl", "F", "O", "S", "Br", "I")


def planted(n_anions: int = 6, n: int = 48) -> TrainingTable:
    """Rows of a law that ridge can learn, of as many chemical systems as anions."""
    rng = np.random.default_rng(2)
    X = pandas.DataFrame(rng.uniform([12, 0.2], [22, 0.8], (n, 2)), columns=["AAV", "PF"])
    formulas = tuple(f"Li{1 + i % 8}{ANIONS[i % n_anions]}" for i in range(n))
    T = rng.choice([1000.0, 1500.0, 2000.0], n)
    ln_D = -9 + 0.1 * X.AAV.to_numpy() - 0.25 / (8.617e-5 * T) + rng.normal(0, 0.1, n)
    return TrainingTable(X, formulas, T, np.exp(ln_D), "mlmd")


def test_python_gets_what_the_command_prints(tmp_path, capsys):
    planted().to_csv(tmp_path / "t.csv")
    settings = TrainingSettings("ridge", n_repeats=2, seed=3, n_bootstrap=10)
    seen = []
    study = train_study(
        training_table([tmp_path / "t.csv"]).table, settings, tmp_path / "a.mlmd", seen.append
    )
    command = ["train", str(tmp_path / "t.csv"), "--model", "ridge", "--repeats", "2", "--json"]
    more = ["--seed", "3", "--bootstrap", "10", "-o", str(tmp_path / "b.mlmd")]
    assert run_command_line([*command, *more]) == 0
    said = json.loads(capsys.readouterr().out)
    ours = json.loads(json.dumps(study.to_dict()))
    assert said.pop("n_left_out") == 0
    assert (said.pop("saved"), ours.pop("saved")) == tuple(
        str(tmp_path / f"{k}.mlmd") for k in "ba"
    )
    assert said == ours
    assert ours["folds"] == "chemical_system"
    assert len(ours["by_fold"]) == 10
    loaded = load_model(tmp_path / "a.mlmd")
    assert isinstance(loaded, Predictor)
    assert loaded.training == study.predictor.training
    stages = list(dict.fromkeys(one.stage for one in seen))
    assert stages[0] == "folds chemical_system"
    assert stages[-1] == "the model to keep"


def test_optimistic_folds_are_told_and_never_alone(caplog):
    study = train_study(planted(n_anions=3), TrainingSettings("ridge", n_repeats=1))
    assert study.reports[0].folds == "formula"
    assert "folds are by formula, which is optimistic for new materials" in caplog.text
    assert "published" in [one.folds for one in study.reports[1:]]
    alone = train_study(planted(), TrainingSettings("ridge", folds="random", beside=()))
    assert [one.folds for one in alone.reports] == ["random"]
    assert alone.predictor is None
    with pytest.raises(InputError, match="no model 'oracle'"):
        TrainingSettings("oracle")


def test_a_table_and_runs_are_not_mixed(tmp_path):
    planted().to_csv(tmp_path / "t.csv")
    with pytest.raises(InputError, match="expected one table, or run directories alone"):
        training_table([tmp_path / "t.csv", tmp_path])


def liquid(folder: Path, name: str, seed: int, n_frames: int = 60) -> Path:
    """Atoms about the sites of a lattice, as extxyz."""
    rng = np.random.default_rng(seed)
    grid = 3.0 * np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
    frames = []
    for i in range(n_frames):
        atoms = Atoms("Li32Cl32", positions=grid + rng.normal(0, 0.2, grid.shape), cell=[12.0] * 3)
        atoms.pbc = True
        atoms.info["time_fs"] = 20.0 * i
        frames.append(atoms)
    write(folder / name, frames)
    return folder / name


def test_two_files_of_one_liquid_agree(tmp_path):
    one, other = liquid(tmp_path, "a.extxyz", 0), liquid(tmp_path, "b.extxyz", 1)
    found = compare_files(one, other, temperature_K=300.0)
    (system,) = found.systems.values()
    assert (system.composition, system.temperature_K) == ("Li32Cl32", 300.0)
    assert found.verdict["rdf"].answer == "yes"
    with pytest.raises(InputError, match="no file"):
        compare_files(one, tmp_path / "nothing.extxyz")


def test_features_of_files_are_those_of_the_frames_that_are_chosen(tmp_path):
    path = liquid(tmp_path, "a.extxyz", 0, n_frames=4)
    mean, start, last = (featurize_files([path], chosen=c) for c in ("mean", "start", "last"))
    assert [t.about.n_frames.item() for t in (mean, start, last)] == [4, 1, 1]
    assert [t.about.frames.item() for t in (mean, start, last)] == [
        "mean over file", "start of file", "last frame of file"
    ]  # fmt: skip
    assert start.values.LASD.item() != last.values.LASD.item()
    with pytest.raises(InputError, match="nothing to compute features of"):
        featurize_files([])
