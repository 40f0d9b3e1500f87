"""``mlmd train`` from runs and tables, its page, and ``mlmd predict`` after it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("sklearn", reason="needs the model extra")
pytest.importorskip("skops", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Run  # noqa: E402
from mlmd.cli.app import run_command_line  # noqa: E402
from mlmd.cli.predict import _text  # noqa: E402
from mlmd.errors import InputError  # noqa: E402
from mlmd.model import Predictor, TrainingTable  # noqa: E402
from mlmd.model.data.labelled_file import EINSTEIN  # noqa: E402
from mlmd.model.predictor.prediction import Prediction  # noqa: E402
from mlmd.plot import plot_predictions  # noqa: E402

FLUID = CalculatorSpec("lj", options={"cutoff_A": 4.5, "sigma_A": 2.4})
TIMES: dict[str, Any] = {"timestep_fs": 4.0, "record_every_fs": 20.0}
MELT = Equilibrate(name="melt", temperature_K=1500, duration_ps=0.2, **TIMES)
HOT = Production(name="hot", temperature_K=1500, duration_ps=3.2, **TIMES)
SHORT = Production(name="short", temperature_K=900, duration_ps=0.12, starts_from="melt", **TIMES)


SALTS = ("Li13Cl14", "Li12F15", "Li9O18", "Li14Br13", "Li10S17", "Li12Br15")


def fluid(symbols: str, a: float = 10.8) -> Atoms:
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    return Atoms(symbols, positions=a / 3 * grid, cell=[a] * 3, pbc=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all") / "runs"
    for i, symbols in enumerate(
        ("Li13Cl14", "Li12F15", "Li9O18", "Li14Br13", "Li10S17", "Li12Br15")
    ):
        stages = (MELT, HOT, SHORT) if i == 0 else (MELT, HOT)
        protocol = Protocol(name="fluid", stages=stages)
        protocol.run(fluid(symbols, 10.6 + 0.1 * i), FLUID, folder / symbols, seed=i)
    return folder


@pytest.fixture
def learnt(runs: Path, tmp_path: Path, capsys: Any) -> tuple[dict[str, Any], str, Path]:
    """Result of training on the runs, what was said on stderr, and the folder of the files."""
    command = ["train", str(runs), "--model", "ridge", "--bootstrap", "10", "--weighted", "--json"]
    files = ["--save-table", str(tmp_path / "t.csv"), "-o", str(tmp_path / "m.mlmd")]
    assert run_command_line([*command, *files]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err, tmp_path


def test_a_model_is_trained_on_finished_runs(runs, learnt):
    content, err, folder = learnt
    assert (content["n_rows"], content["n_left_out"], content["D_from"]) == (6, 1, EINSTEIN)
    assert "Li13Cl14/short" in err
    assert "not diffusive" in err
    table = TrainingTable.read(folder / "t.csv")
    analysed = Run.open(runs / "Li12F15")
    i = table.formulas.index("F15Li12")
    assert table.names[i] == f"{analysed.path}/hot"
    assert table.D_error_cm2_s[i] > 0
    training = Predictor.load(folder / "m.mlmd").training
    assert training.weighted
    assert training.D_from == EINSTEIN
    assert training.sha256 == table.problem(weighted=True).sha256


def test_the_kept_table_gives_the_same_scores(learnt, capsys):
    content, _, folder = learnt
    again = ["train", str(folder / "t.csv"), "--model", "ridge", "--weighted", "--json"]
    assert run_command_line(again) == 0
    same = json.loads(capsys.readouterr().out)
    assert [same[k] for k in ("rmse", "mae", "by_fold")] == [
        content[k] for k in ("rmse", "mae", "by_fold")
    ]


def test_a_cif_is_predicted_with_an_interval_at_each_temperature(learnt, capsys):
    _, _, folder = learnt
    fluid("Li13Cl14", 10.7).write(folder / "a.cif")
    ask = ["predict", str(folder / "m.mlmd"), str(folder / "a.cif"), "-T", "1500", "-T", "1000"]
    assert run_command_line([*ask, "--plot", str(folder / "D.png")]) == 0
    assert (folder / "D.png").read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    found = re.search(r"1500 K {2}D (\S+) cm2/s, 95 % (\S+) to (\S+)", lines[0])
    value, low, high = map(float, found.groups())
    assert 0 < low < value < high
    # All that it has seen is 1500 K.
    assert "outside of the training: inverse_kbT" in lines[1]


def test_the_equation_of_the_preprint_predicts_a_structure(tmp_path, capsys):
    atoms = fluid("Li13Cl14", 9.3)
    atoms.rattle(0.3, seed=1)
    atoms.write(tmp_path / "a.cif")
    ask = ["predict", "zheng2024_preprint_sisso", str(tmp_path / "a.cif"), "-T", "1500", "--json"]
    assert run_command_line(ask) == 0
    content = json.loads(capsys.readouterr().out)
    one = content["predictions"][0]
    # Their D and ours may differ by a factor: never without saying so.
    assert "published" in content["D_from"]
    assert run_command_line(ask[:-1]) == 0
    assert "three times" in capsys.readouterr().out
    assert one["unit"] == "1e-3 cm2/s"
    assert one["D_cm2_s"] == pytest.approx(max(one["value"], 0) * 1e-3)


def test_the_page_of_a_model_has_all_its_parts(learnt, capsys):
    pytest.importorskip("jinja2", reason="needs the report extra")
    _, _, folder = learnt
    rng = np.random.default_rng(2)
    n = 60
    X = pandas.DataFrame(rng.uniform([12, 0.2], [22, 0.8], (n, 2)), columns=["AAV", "PF"])
    anions = ["Cl", "F", "O", "S", "Br", "I"]
    formulas = tuple(f"Li{1 + i % 2}{anions[i % 6]}{1 + i // 24}" for i in range(n))
    T = rng.choice([1000.0, 1500.0, 2000.0], n)
    D = np.exp(-9 + 0.1 * X.AAV - 0.25 / (8.617e-5 * T) + rng.normal(0, 0.1, n))
    TrainingTable(X, formulas, T, np.asarray(D), "mlmd").to_csv(folder / "planted.csv")
    page = folder / "page.html"
    command = ["train", str(folder / "planted.csv"), "--model", "ridge", "--repeats", "1"]
    assert run_command_line([*command, "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert f"written: {page}" in out
    html = page.read_text()
    for part in ("Permutation importance", "SHAP values", "Learning curve", "Coverage", "Pearson"):
        assert part in html, part
    for folds in ("random", "formula", "chemical system"):
        assert folds in html


def test_what_the_equations_were_not_fitted_to_is_said(tmp_path, capsys):
    fluid("Li13U14", 9.3).write(tmp_path / "u.cif")
    fluid("Na13Cl14", 9.3).write(tmp_path / "na.cif")
    files = [str(tmp_path / name) for name in ("na.cif", "u.cif")]
    # One without the mobile ion does not take the others with it.
    assert run_command_line(["predict", "zheng2024_sisso", *files, "-T", "1500"]) == 2
    out, err = capsys.readouterr()
    assert re.search(r"u\.cif .* outside of the training: U\b", out)
    assert "na.cif: " in err
    assert "no Li" in err


def test_predictions_are_drawn_with_their_intervals():
    hot = Prediction.of("ln_D", 1500.0, -8.0, 0.2, 0.5, ())
    cold = Prediction.of("ln_D", 1000.0, -9.0, 0.3, 0.8, ("AAV",))
    below = Prediction.of("D", 1000.0, -0.1, 0.1, 0.2, ())
    ax = plot_predictions({"a.cif": [hot, cold, below]})
    wide = ax.containers[0].lines[2][0].get_segments()
    assert len(wide) == 2  # nothing at or below zero on a logarithmic axis
    for one, segment in zip((hot, cold), wide, strict=True):
        assert segment[:, 0] == pytest.approx(1000 / one.temperature_K)
        assert segment[:, 1] == pytest.approx(one.interval_95)
    open_ones = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert open_ones[0].get_xdata() == pytest.approx([1.0])
    with pytest.raises(InputError, match="above zero"):
        plot_predictions({"b.cif": [below]})


def test_many_structures_are_told_apart_beside_the_drawing():
    one = Prediction.of("ln_D", 1000.0, -8.0, 0.2, 0.5, ())
    names = [f"db.xyz:{i}" for i in range(12)]
    ax = plot_predictions({name: [one] for name in names})
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == names
    looks = {(line.get_color(), line.get_marker()) for line in legend.legend_handles}
    assert len(looks) == 12
    ax.figure.draw_without_rendering()
    assert not legend.get_window_extent().overlaps(ax.bbox)


def test_less_than_nothing_is_no_zero():
    # The equation of the preprint, say, is linear in D and may be negative.
    some = Prediction.of("D", 300.0, -0.1, 0.1, 0.25, ())
    assert _text(some) == "300 K  D below 0.00015 cm2/s (95 %): the model gives -0.1 1e-3 cm2/s"
    none = Prediction.of("D", 300.0, -0.5, 0.1, 0.25, ())
    assert "D not known" in _text(none)


def test_a_table_with_a_wrong_unit_or_doubled_rows_is_noticed(learnt, caplog):
    _, _, folder = learnt
    text = (folder / "t.csv").read_text().splitlines()
    (folder / "twice.csv").write_text("\n".join([*text, text[-1].replace("runs/", "again/", 1)]))
    TrainingTable.read(folder / "twice.csv")
    assert "1 row(s) are there twice" in caplog.text
    table = TrainingTable.read(folder / "t.csv")
    with pytest.raises(InputError, match="see its unit"):
        replace(table, D_cm2_s=table.D_cm2_s * 1e5)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--study", "s.log"], "--tune"),
        (["--tune", "2", "--report", "page.html"], "leave out"),
        (["--folds", "half"], "no folds 'half'"),
        (["--model", "crystal_ball"], "no model"),
        (["--target", "E_a"], "two temperatures"),
        (["--save-table", "."], "is a folder"),
        (["--report", "."], "folder"),
        (["-o", "nowhere/m.mlmd"], "does not exist"),
        (["--report", "nowhere/m.html"], "does not exist"),
        (["--mobile", "Xx"], "Xx"),
        (["--convention", "mine"], "mine"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(runs, more, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["train", str(runs), "--model", "ridge", *more]) == 2
    assert says in capsys.readouterr().err.strip().splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_one_run_is_too_little_to_learn_from(runs, capsys):
    assert run_command_line(["train", str(runs / "Li12F15"), "--model", "ridge"]) == 2
    assert "expected at least 5" in capsys.readouterr().err
