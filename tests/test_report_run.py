"""Reports of runs and the comparison of two trajectories, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from browser import browser, needs_chromium
from lennard_jones_aimd import RIGHT, make_reference

from mlmd import CalculatorSpec, Production, Protocol, Run
from mlmd.analysis import measured_stages, summarize
from mlmd.cli.app import run_command_line

pytest.importorskip("jinja2", reason="needs the report extra")
WINDOWS = ["--window-ps", "1", "--fit-ps", "0.2", "1"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run at two temperatures, and its first trajectory in files."""
    folder = tmp_path_factory.mktemp("runs")
    make_reference(folder, duration_ps=3.0)
    atoms = Run.open(folder / "aimd-5").atoms
    common = {"duration_ps": 4.0, "timestep_fs": 4.0, "record_every_fs": 20.0}
    protocol = Protocol(
        name="two <b>temperatures</b>",
        stages=(
            Production(name="cool", temperature_K=120, **common),
            Production(name="hot", temperature_K=240, **common),
        ),
    )
    protocol.run(atoms, CalculatorSpec.of(RIGHT), folder / "run", seed=1)
    return folder


def test_a_report_has_the_numbers_of_the_analysis(made, capsys):
    assert run_command_line(["report", str(made / "run"), *WINDOWS]) == 0
    assert capsys.readouterr().out == f"written: {made / 'run' / 'report.html'}\n"
    html = (made / "run" / "report.html").read_text(encoding="utf-8")
    values = {float(text) for text in re.findall(r'<data value="([^"]+)">', html)}
    summary = summarize(measured_stages(Run.open(made / "run")), window_ps=1, fit_ps=(0.2, 1))
    for stage in summary.stages.values():
        result = stage.species["Ar"]
        shown = result.D_cm2_s if result.is_diffusive else result.D_upper_bound_cm2_s
        assert shown in values
    results = Run.open(made / "run").results
    assert results["hot"]["pressure_GPa"] in values
    data = re.search(r'(?s)<script type="application/json" id="content">(.*?)</script>', html)
    assert data is not None
    assert json.loads(data[1])["analysis"] == json.loads(json.dumps(summary.to_dict()))
    assert "two &lt;b&gt;temperatures&lt;/b&gt;" in html


def test_a_run_without_results_has_a_report_that_says_why(made, tmp_path):
    atoms = Atoms("Ar8", positions=4.0 * np.indices((2, 2, 2)).reshape(3, -1).T, cell=[8.0] * 3,
                  pbc=True)  # fmt: skip
    stage = Production(name="p", temperature_K=10, duration_ps=0.04, record_every_fs=20.0)
    protocol = Protocol(name="short", stages=(stage,))
    protocol.run(atoms, CalculatorSpec("lj", options={"cutoff_A": 3.9}), tmp_path / "run")
    assert run_command_line(["report", str(tmp_path / "run"), "-o", str(tmp_path / "r.html")]) == 0
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "No diffusivity" in html or "not diffusive" in html
    assert "0.04" in html


@needs_chromium
def test_a_run_in_a_browser(made):
    run_command_line(["report", str(made / "run"), *WINDOWS])
    with browser() as page:
        for width in (320, 1200):
            page.open(made / "run" / "report.html", width=width, mobile=width < 500)
            assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.complaints() == []
        assert len([one for one in page.requests() if not one.startswith("data:")]) == 1
        assert page.evaluate("document.querySelectorAll('figure svg').length") >= 3


def test_two_trajectories_and_two_runs_compared(made, capsys, tmp_path):
    pair = [str(made / "ref.extxyz"), str(made / "XDATCAR.gz")]
    more = ["--timestep-fs", "20", "--temperature-K", "140"]
    assert run_command_line(["compare", *pair, *more, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rdf"]["r2_pooled"] == pytest.approx(1.0, abs=1e-4)  # the same frames
    assert content["rdf"]["r2_by_pair"]["Ar-Ar"] == pytest.approx(1.0, abs=1e-4)
    (point,) = content["diffusivity"]["points"]
    assert point["log10_ratio"] is None or abs(point["log10_ratio"]) < 0.01
    assert content["points"]["energy_mae_meV_atom"] is None
    assert content["verdict"]["rdf"]["by_temperature"].keys() == {"140"}

    run = str(made / "run")
    report = tmp_path / "r.html"
    assert run_command_line(["compare", run, run, "--report", str(report)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^  rdf +yes ", shown, re.MULTILINE)
    assert "  120 K" in shown
    assert "  240 K" in shown
    assert report.is_file()


def test_a_run_serves_as_the_reference_of_a_study(made, capsys, tmp_path):
    options = ["--calculator-option", "cutoff_A=7.5", "--equilibrate-ps", "0.2", "--json"]
    study = ["compare", "--reference", str(made / "run"), "--calculator", "mine=lj", *options]
    assert run_command_line([*study, "--out", str(tmp_path / "study")]) == 0
    content = json.loads(capsys.readouterr().out)
    found = content["surrogates"]["mine"]["comparison"]
    assert [one["temperature_K"] for one in found["systems"]] == [120, 240]
    assert found["verdict"]["rdf"]["answer"] == "no"  # a liquid of other atoms
    assert sorted(content["surrogates"]["mine"]["runs"]) == [
        "runs/mine/Ar-120K-0",
        "runs/mine/Ar-240K-0",
    ]


def test_a_run_against_a_file_takes_the_stage_of_that_temperature(made, capsys):
    pair = ["compare", str(made / "run"), str(made / "ref.extxyz")]
    assert run_command_line([*pair, "--temperature-K", "240", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["systems"][0]["temperature_K"] == 240
    assert content["systems"][0]["surrogate"]["duration_ps"] == 4.0
    assert run_command_line([*pair, "--temperature-K", "300"]) == 2
    assert "120 K, 240 K" in capsys.readouterr().err
    assert run_command_line(pair) == 2
    assert "--temperature-K" in capsys.readouterr().err
