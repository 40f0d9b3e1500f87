"""A recipe says how its runs are measured: every face does it, options win, the run stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from runs import edit_manifest

from mlmd import CalculatorSpec, Production, Protocol, Run
from mlmd.analysis import RecipeAnalysis, diffusivity, measured_stages, summarize
from mlmd.analysis.diffusion.diffusivity import diffusivity_settings
from mlmd.analysis.recipe import shared_analysis
from mlmd.cli.app import run_command_line
from mlmd.comparison import ComparisonSettings
from mlmd.errors import InputError, StoppedError
from mlmd.protocol.recipes import recipe_names
from mlmd.run.stopping import StopToken
from mlmd.studies import compare_files, read_references
from mlmd.studies.matching import matching_protocol
from mlmd.studies.settings import StudySettings

WINDOWS = {"estimator": "windowed", "window_ps": 0.4, "fit_ps": [0.1, 0.4]}
PAPER = {"estimator": "windowed", "window_ps": 15, "fit_ps": [1, 15]}
FLUID = CalculatorSpec("lj", options={"cutoff_A": 4.5, "sigma_A": 2.4})


def protocol(**analysis: Any) -> Protocol:
    common: dict[str, Any] = {"timestep_fs": 4.0, "record_every_fs": 20.0, "duration_ps": 1.6}
    return Protocol(
        name="fluid",
        stages=(
            Production(name="hot", temperature_K=1500, **common),
            Production(name="cool", temperature_K=1000, **common),
        ),
        analysis=analysis,
    )


def salt() -> Atoms:
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    return Atoms("Li13Cl14", positions=3.6 * grid, cell=[10.8] * 3, pbc=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose recipe says windows."""
    return protocol(**WINDOWS).run(salt(), FLUID, tmp_path_factory.mktemp("made") / "run").path


def said_by(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_command_line(list(words)) == 0
    return capsys.readouterr().out


# What is left of a recipe beside what is given by hand


@pytest.mark.parametrize(
    ("recipe", "given", "left"),
    [
        (PAPER, {}, PAPER),
        (PAPER, {"drift": "none"}, PAPER),
        ({**PAPER, "drift": "framework"}, {"drift": "none"}, PAPER),
        (PAPER, {"fit_ps": (2, 15)}, {"estimator": "windowed", "window_ps": 15}),
        (PAPER, {"window_ps": 5.0}, {"estimator": "windowed"}),  # the range was in 15 ps
        (PAPER, {"estimator": "windowed"}, {"window_ps": 15, "fit_ps": [1, 15]}),
        (PAPER, {"estimator": "gls"}, {}),
        ({**PAPER, "drift": "framework"}, {"estimator": "lag"}, {"drift": "framework"}),
        ({"estimator": "lag"}, {"window_ps": 5.0, "fit_ps": (1, 5)}, {}),
        ({"fit_ps": [1, 5]}, {"estimator": "lag"}, {}),  # chosen for the default estimator
        ({"fit_ps": [1, 5]}, {"window_ps": 3.0}, {}),
        (PAPER, {"estimator": None, "window_ps": None, "fit_ps": None}, PAPER),
    ],
)
def test_what_is_given_replaces_what_the_recipe_says_of_it(
    recipe: dict[str, Any], given: dict[str, Any], left: dict[str, Any]
) -> None:
    made = RecipeAnalysis("paper", recipe)
    assert made.beside(given).settings == left
    settings = diffusivity_settings(**made.keywords(given))  # goes together, whatever was given
    for key, value in given.items():
        assert value is None or getattr(settings, key) == value


@pytest.mark.parametrize(
    ("analysis", "said"),
    [
        ({"windows_ps": 15}, "the analysis of recipe fluid has no windows_ps; it has drift, est"),
        ({"species": "Li"}, "has no species"),
        ({"estimator": "magic"}, "estimator 'magic' is not known"),
        ({"estimator": "lag", "window_ps": 15}, "which has none"),
        ({"window_ps": -1}, "window_ps is -1"),
        ({"window_ps": 5, "fit_ps": [1, 15]}, "inside the window"),
        ({"fit_ps": 15}, "fit_ps is 15"),
        ({"drift": "centre"}, "centre"),
        (["gls"], "expected values by name"),
        ("", "expected values by name"),
    ],
)
def test_a_recipe_is_refused_for_what_cannot_be_measured(analysis: object, said: str) -> None:
    content = {**protocol().to_dict(), "analysis": analysis}
    with pytest.raises(InputError, match=said):
        Protocol.from_dict(content)


def test_yaml_carries_it(tmp_path: Path) -> None:
    made = protocol(window_ps=0.4, fit_ps=(0.1, 0.4), drift=None)
    made.save(tmp_path / "mine.yaml")
    read = Protocol.load(tmp_path / "mine.yaml")
    assert read == made
    assert read.analysis == {"window_ps": 0.4, "fit_ps": [0.1, 0.4]}
    without = {key: value for key, value in made.to_dict().items() if key != "analysis"}
    assert Protocol.from_dict(without).analysis == {}
    assert read.with_settings({"hot.duration_ps": 3.2}).analysis == made.analysis


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_ship_name_the_source_of_how_they_are_measured(name: str) -> None:
    made = Protocol.load(name)
    sources = {key.partition(".")[2] for key in made.sources if key.startswith("analysis.")}
    assert sources == set(made.analysis)


def test_published_recipes_are_measured_as_published() -> None:
    """15 ps windows fitted from 1 to 15 ps; the upper half of lags up to half of the run."""
    measured = {name: dict(Protocol.load(name).analysis) for name in recipe_names()}
    assert measured == {
        "lopez2023": {"estimator": "lag"},
        "maevskiy2025": PAPER,
        "maevskiy2025_aimd": PAPER,
        "quickstart": {},
        "slow_quench": {},
        "zheng2024": {},
    }


# Every face that measures D of a run


def test_analyze_measures_as_the_recipe_says_and_says_so(run, capsys):
    text = said_by("analyze", str(run), capsys=capsys)
    told = "windowed, window_ps 0.4, fit_ps 0.1 to 0.4 (recipe fluid)"
    assert f"measured as the run's recipe says: estimator {told}" in text
    content = json.loads(said_by("analyze", str(run), "--json", capsys=capsys))
    assert content["from_recipe"] == {"recipe": "fluid", "settings": WINDOWS}
    trajectory = Run.open(run).trajectory("hot")
    direct = diffusivity(trajectory, "Li", window_ps=0.4, fit_ps=(0.1, 0.4))
    found = content["stages"]["hot"]["species"]["Li"]
    assert found == json.loads(json.dumps(direct.to_dict()))
    opened = Run.open(run)
    python = summarize(measured_stages(opened), recipe=RecipeAnalysis.of(opened))
    assert json.loads(json.dumps(python.to_dict())) == content
    with pytest.raises(InputError, match=r"expected RecipeAnalysis.of"):
        summarize(measured_stages(opened), recipe="fluid")


@pytest.mark.parametrize(
    ("words", "left", "estimator", "fit_ps"),
    [
        (["--estimator", "lag"], None, "lag", [0.4, 0.8]),
        (["--fit-ps", "0.2", "0.4"], {"estimator": "windowed", "window_ps": 0.4}, "windowed", None),
        (["--drift", "none"], WINDOWS, "windowed", [0.1, 0.4]),
        (
            ["--window-ps", "0.5", "--fit-ps", "0.1", "0.5"],
            {"estimator": "windowed"},
            "windowed",
            [0.1, 0.5],
        ),
    ],
)
def test_options_win(run, words, left, estimator, fit_ps, capsys):
    content = json.loads(said_by("analyze", str(run), *words, "--json", capsys=capsys))
    settings = content["stages"]["hot"]["species"]["Li"]
    assert content["from_recipe"] == (left and {"recipe": "fluid", "settings": left})
    assert settings["estimator"] == estimator
    if fit_ps is not None:
        assert settings["settings"]["fit_ps"] == pytest.approx(fit_ps)
    text = said_by("analyze", str(run), *words, capsys=capsys)
    assert ("measured as the run's recipe says" in text) == (left is not None)


def test_the_report_of_a_run_measures_as_the_recipe_says(run, tmp_path, capsys):
    pytest.importorskip("jinja2", reason="needs the report extra")
    page = tmp_path / "page.html"
    said_by("report", str(run), "-o", str(page), capsys=capsys)
    text = page.read_text(encoding="utf-8")
    assert "estimator windowed, window_ps 0.4, fit_ps 0.1 to 0.4 (recipe fluid)" in text
    said_by("report", str(run), "-o", str(page), "--estimator", "gls", capsys=capsys)
    assert "(recipe fluid)" not in page.read_text(encoding="utf-8")


def test_what_a_recipe_asks_for_and_a_short_run_cannot_give(tmp_path, capsys):
    """`analyze` says why; the report is written and says it too."""
    pytest.importorskip("jinja2", reason="needs the report extra")
    made = protocol(**PAPER).run(salt(), FLUID, tmp_path / "run")
    assert run_command_line(["analyze", str(made.path)]) == 2
    assert "a window of 15 ps is longer than the trajectory" in capsys.readouterr().err
    said_by("report", str(made.path), capsys=capsys)
    page = (made.path / "report.html").read_text(encoding="utf-8")
    assert "a window of 15 ps is longer than the trajectory" in page
    assert run_command_line(["analyze", str(made.path), "--estimator", "lag"]) == 0


def test_training_rows_are_what_analyze_says(run):
    pytest.importorskip("pandas", reason="needs the model extra")
    from mlmd.model import table_from_runs

    opened = Run.open(run)
    summary = summarize(measured_stages(opened), recipe=RecipeAnalysis.of(opened))
    expected = [stage.species["Li"].D_cm2_s for stage in summary.stages.values()]
    rows = table_from_runs(run, fewest_rows=1)
    assert list(rows.table.D_cm2_s) == [D for D in expected if D is not None]


def test_compare_measures_both_sides_as_their_recipes_agree(run, tmp_path, capsys):
    pytest.importorskip("jinja2", reason="needs the report extra")
    other = protocol(**WINDOWS).run(salt(), FLUID, tmp_path / "same", seed=1).path
    content = compare_files(run, other).to_dict()
    assert {one["settings"]["estimator"] for one in content["diffusivity"]["points"]} == {
        "windowed"
    }
    (note,) = (one for one in content["findings"] if "recipe" in one["code"])
    assert note["code"] == "measured_by_recipe"
    assert note["message"] not in content["warnings"]
    page = tmp_path / "page.html"
    words = "compare", str(run), str(other), "--report", str(page)
    assert f"note: {note['message']}" in said_by(*words, capsys=capsys)
    assert "(recipe fluid)" in page.read_text(encoding="utf-8")

    edit_manifest(other, lambda content: content["protocol"].update(analysis={}, name="plain"))
    content = compare_files(run, other).to_dict()
    default = diffusivity_settings().estimator
    assert {one["settings"]["estimator"] for one in content["diffusivity"]["points"]} == {default}
    (note,) = (one for one in content["findings"] if "recipe" in one["code"])
    assert note["code"] == "recipes_differ"
    assert "recipe plain" in note["message"]

    by_hand = ComparisonSettings(diffusivity={"estimator": "lag"})
    for one in (run, other):
        content = compare_files(run, one, settings=by_hand).to_dict()
        points = content["diffusivity"]["points"]
        assert {point["settings"]["estimator"] for point in points} == {"lag"}


def test_a_study_measures_its_runs_as_the_recipe_of_its_reference(run):
    references = read_references([run])
    assert [one.recipe.settings for one in references] == [WINDOWS, WINDOWS]
    assert matching_protocol(references[0], StudySettings()).analysis == WINDOWS


def test_recipes_that_agree_are_one_and_others_none():
    aimd, other = RecipeAnalysis("aimd", PAPER), RecipeAnalysis("mlip", PAPER)
    assert shared_analysis([aimd, other]) == RecipeAnalysis("aimd and mlip", PAPER)
    assert shared_analysis([aimd, RecipeAnalysis("x", {})]) is None
    assert shared_analysis([]) is None


# No part of a run's identity


def test_a_run_that_is_done_is_measured_in_the_new_way_and_stays_what_it_is(run, tmp_path, capsys):
    folder = tmp_path / "run"
    made = protocol().run(salt(), FLUID, folder)
    assert made.manifest.identity_sha256 == Run.open(run).manifest.identity_sha256
    files = {path: path.read_bytes() for path in folder.rglob("*.h5md")}
    again = protocol(**WINDOWS).run(salt(), FLUID, folder)
    assert again.manifest.identity == made.manifest.identity
    assert again.manifest.sessions == made.manifest.sessions
    assert {path: path.read_bytes() for path in folder.rglob("*.h5md")} == files
    assert RecipeAnalysis.of(again).settings == WINDOWS
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert log[-1]["event"] == "analysis changed"
    written = (folder / "run.json").read_bytes()
    protocol(**WINDOWS).run(salt(), FLUID, folder)  # nothing has changed now
    assert (folder / "run.json").read_bytes() == written

    protocol().save(tmp_path / "mine.yaml")
    write(tmp_path / "salt.extxyz", salt())
    words = ["run", str(tmp_path / "mine.yaml"), "--structure", str(tmp_path / "salt.extxyz")]
    words += ["--calculator", "lj", "--out", str(folder)]
    for key, value in FLUID.options.items():
        words += ["--calculator-option", f"{key}={value}"]
    assert "nothing to do" in said_by(*words, capsys=capsys)
    assert RecipeAnalysis.of(Run.open(folder)).settings == {}


def test_a_run_that_was_stopped_goes_on_with_another_analysis(tmp_path):
    stop, folder = StopToken(), tmp_path / "run"

    def halfway(progress: Any) -> None:
        if progress.stage == "cool":
            stop.stop("enough")

    with pytest.raises(StoppedError):
        protocol(**WINDOWS).run(salt(), FLUID, folder, progress=halfway, stop=stop)
    done = protocol(estimator="lag").run(salt(), FLUID, folder)
    assert done.status == "done"
    assert RecipeAnalysis.of(done).settings == {"estimator": "lag"}


def test_a_run_recorded_before_recipes_said_so_is_measured_by_the_default(run, tmp_path):
    folder = tmp_path / "old"
    made = protocol().run(salt(), FLUID, folder)
    edit_manifest(folder, lambda content: content["protocol"].pop("analysis"))
    assert RecipeAnalysis.of(Run.open(folder)).settings == {}
    written = (folder / "run.json").read_bytes()
    assert protocol().run(salt(), FLUID, folder).status == "done"
    assert (folder / "run.json").read_bytes() == written
    assert Run.open(folder).manifest.identity_sha256 == made.manifest.identity_sha256
