"""Every code of a finding that the library can give is seen in every face."""

from __future__ import annotations

import ast
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

import mlmd
from mlmd import CalculatorSpec, Production, Protocol, Run, Trajectory
from mlmd.analysis import measured_stages, summarize
from mlmd.analysis.events import RunEvents
from mlmd.analysis.extrapolation import Extrapolation
from mlmd.analysis.transport import ChargeDiffusivity
from mlmd.cli.app import run_command_line
from mlmd.findings import FLAGS, Finding

SOURCE = Path(mlmd.__file__).parent
SEVERITIES = ("note", "doubt", "invalid")
HOW = ["--window-ps", "0.3", "--fit-ps", "0.05", "0.3", "--extrapolate-K", "300"]
HOW += ["--oxidation-state", "Li=14", "--oxidation-state", "Cl=-13"]
CARRIERS = {
    "findings": "flags of stages, which their trajectories carry",
    "analysis": "stages, events, conductivities, laws, extrapolations: a summary",
    "trajectory": "what reading showed, which trajectories carry",
    "cli": "pieces that are left out, which their trajectories carry",
    "comparison": "a comparison",
    "model": "predictions",
    "screening": "rankings, see test_screening_cli.py",
    "studies": "trainings",
}
"""Rooms whose findings a test below follows to all faces."""


def codes_of_the_library() -> dict[str, str]:
    """Return the room of each code that stands in the source, and of codes that are computed."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "Finding":
                continue
            first = node.args[0]
            computed = not (isinstance(first, ast.Constant) and isinstance(first.value, str))
            found[f"computed-{path.stem}-{node.lineno}" if computed else first.value] = room
    verdicts = ("localised", "subdiffusive", "too_short")
    found.update(dict.fromkeys([f"motion_{one}" for one in verdicts], "analysis"))
    found.update(dict.fromkeys(FLAGS, "findings"))
    return found


CODES = codes_of_the_library()


def probes(where: str) -> tuple[Finding, ...]:
    """Return a finding of each code, told apart by its message."""
    return tuple(
        Finding(code, SEVERITIES[i % 3], f"probe {where} {code} <&>", {"rank": float(i)})
        for i, code in enumerate(sorted(CODES))
    )


def test_the_rooms_that_give_findings_are_followed() -> None:
    assert set(CODES.values()) <= set(CARRIERS), "a new room gives findings: which face shows them?"
    assert len(CODES) >= 30
    for code in CODES:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", code)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Run:
    """A short run at two temperatures."""
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    hot = {"record_every_fs": 4.0, "duration_ps": 0.6}
    stages = [Production(name=f"at{T}", temperature_K=T, **hot) for T in (60, 90)]
    spec = CalculatorSpec("lj", options={"cutoff_A": 4.5})
    folder = tmp_path_factory.mktemp("every-face") / "run"
    return Protocol("probed", tuple(stages)).run(atoms, spec, folder)


@pytest.fixture
def probed(made, monkeypatch) -> Run:
    """That run, all of whose results carry a finding of every code."""
    as_read = Run.trajectory

    def read(self, *arguments, **more) -> Trajectory:
        return replace(as_read(self, *arguments, **more), findings=probes("file"))

    monkeypatch.setattr(Run, "trajectory", read)
    monkeypatch.setattr(RunEvents, "findings", property(lambda _: probes("events")))
    monkeypatch.setattr(ChargeDiffusivity, "findings", property(lambda _: probes("charge")))
    monkeypatch.setattr("mlmd.analysis.together.law_of", lambda *_: (None, None, [*probes("law")]))
    monkeypatch.setattr(
        "mlmd.analysis.summary.extrapolated",
        lambda *_: Extrapolation(300.0, {}, None, None, probes("further")),
    )
    return made


def text_of(page: Path) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.read_text("utf-8"))).split())


def test_a_summary_shows_every_code_in_every_face(probed, capsys, tmp_path) -> None:
    states = {"oxidation_states": {"Li": 14, "Cl": -13}, "extrapolate_K": [300.0]}
    windows = {"window_ps": 0.3, "fit_ps": (0.05, 0.3)}
    findings = summarize(measured_stages(probed), **states, **windows).findings
    for where, times in {"file": 2, "events": 2, "charge": 2, "law": 2, "further": 1}.items():
        for probe in probes(where):
            told = [one for one in findings if one.message.endswith(probe.message)]
            assert len(told) == times, probe
            assert {(one.code, one.severity) for one in told} == {(probe.code, probe.severity)}

    assert run_command_line(["analyze", str(probed.path), *HOW, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["findings"] == [one.to_dict() for one in findings]
    assert run_command_line(["analyze", str(probed.path), *HOW]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert run_command_line(["report", str(probed.path), *HOW, "-o", str(tmp_path / "r.html")]) == 0
    page = text_of(tmp_path / "r.html")
    for one in findings:
        assert f"{one.severity}: {one.message}" in lines
        assert f"{one.severity}: {one.message}" in page
    rows_have_their_doubts((tmp_path / "r.html").read_text("utf-8"))


def rows_have_their_doubts(source: str) -> None:
    """The row of a doubtful stage never has a dash, and has the fit range of its own."""
    rows = re.findall(r"(?s)<tr>(.*?)</tr>", source)
    named = [row for row in rows if re.search(r"at(60|90), (Li|Cl)<", row)]
    assert len(named) == 4
    for row in named:
        doubts = re.search(r'(?s)data-label="Doubts"[^>]*>(.*?)</td>', row)
        assert doubts is not None
        words = html.unescape(re.sub(r"<[^>]+>", "", doubts[1])).strip()
        assert {code.replace("_", " ") for code in CODES} <= set(words.split("; "))
        fit = re.search(r'(?s)data-label="Fit \(ps\)"[^>]*>(.*?)</td>', row)
        assert fit is not None
        assert re.sub(r"<[^>]+>", "", fit[1]).strip() == "0.05 to 0.3"


def test_a_comparison_shows_every_code_in_every_face(tmp_path, monkeypatch, capsys) -> None:
    rng = np.random.default_rng(2)
    for name in ("one", "two"):
        frames = [
            Atoms("Ar8", positions=at, cell=[12] * 3, pbc=True)
            for at in 6.0 * np.indices((2, 2, 2)).reshape(3, -1).T
            + np.cumsum(rng.normal(0, 0.1, (60, 8, 3)), axis=0)
        ]
        write(tmp_path / f"{name}.xyz", frames)
    monkeypatch.setattr("mlmd.comparison.comparing.check_system", lambda _: [*probes("system")])
    paths = [str(tmp_path / "one.xyz"), str(tmp_path / "two.xyz"), "--timestep-fs", "20"]
    assert run_command_line(["compare", *paths, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    report = ["--report", str(tmp_path / "r.html")]
    assert run_command_line(["compare", *paths, *report]) == 0
    out, page = capsys.readouterr().out, text_of(tmp_path / "r.html")
    told = [one["message"] for one in content["findings"]]
    for probe in probes("system"):
        assert probe.message in told
        if probe.code in ("disagrees", "inconclusive", "not_compared"):
            continue  # those stand as verdicts and as what is not known, see below
        assert probe.message in out, probe
        assert probe.message in page, probe
    codes = [one["code"] for one in content["findings"] if "probe" not in one["message"]]
    assert {"inconclusive", "not_compared"} <= set(codes)
    for name, verdict in content["verdict"].items():
        assert (f"{name}: {verdict['reason']}" in told) == (verdict["answer"] != "yes")
        assert verdict["reason"] in out
        assert " ".join(verdict["reason"].split()) in page
    for what, why in content["missing"].items():
        assert f"{what}: {why}" in told
        assert f"not known: {what}: {why}" in out
        assert why in page


def test_a_prediction_shows_its_findings_in_every_face(tmp_path, capsys) -> None:
    from mlmd.model import load_model

    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    symbols = ["Li", "U"] * 13 + ["Li"]
    atoms = Atoms(symbols, positions=2.6 * grid, cell=[7.8] * 3, pbc=True)
    write(tmp_path / "odd.cif", atoms)
    model = "zheng2024_preprint_sisso"
    made = load_model(model).predict_structure(atoms, 1000.0)
    assert {one.code for one in made.findings} <= set(CODES)
    assert "outside_of_training" in {one.code for one in made.findings}
    command = ["predict", model, str(tmp_path / "odd.cif"), "-T", "1000"]
    assert run_command_line([*command, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["code"] for one in row["findings"]] == [one.code for one in made.findings]
    assert run_command_line(command) == 0
    out = capsys.readouterr().out
    for one in row["findings"]:
        assert one["message"] in out


def test_a_flag_of_a_run_is_said_by_status_analyze_compare_and_plots(made, capsys) -> None:
    run = Run.open(made.path)
    run.manifest.stage("at90").flags.append("langevin_friction")
    run.manifest.write(run.path)
    said = FLAGS["langevin_friction"]
    path = str(run.path)
    assert run_command_line(["status", path]) == 0
    assert said in capsys.readouterr().out
    assert run_command_line(["status", path, "--json"]) == 0
    at60, at90 = json.loads(capsys.readouterr().out)["stages"]
    assert at60["findings"] == []
    assert [one["code"] for one in at90["findings"]] == ["langevin_friction"]
    assert run_command_line(["analyze", path, *HOW]) == 0
    assert f"doubt: at90: {said}" in capsys.readouterr().out
    assert run_command_line(["compare", path, path]) == 0
    out = capsys.readouterr().out
    for side in ("surrogate", "reference"):
        assert f"warning: Li13Cl14 90 K, {side}: {said}" in out
        assert f"60 K, {side}: {said}" not in out
    summary = summarize(measured_stages(run), window_ps=0.3, fit_ps=(0.05, 0.3))
    assert "langevin friction" in summary.title_of("at90")
    assert "langevin friction" not in summary.title_of("at60")
    assert "at90 (doubtful)" in summary.results_of("Li")
    # What happened in a stage is said by a comparison as well.
    happened = summary.stages["at60"].events.findings
    for one in happened:
        assert f"Li13Cl14 60 K, surrogate: {one.message}" in out
    for symbol, one in summary.stages["at60"].species.items():
        assert not one.is_diffusive
        assert re.search(rf"warning: Li13Cl14 60 K, reference: {symbol} is \w+", out)
    # As the trajectory of that stage is, wherever it is read.
    assert [one.code for one in run.trajectory("at90").findings] == ["langevin_friction"]
