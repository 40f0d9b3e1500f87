"""One list of findings, and every face shows it."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
from ase import Atoms

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Run, Trajectory
from mlmd.analysis import summarize
from mlmd.cli.app import run_command_line
from mlmd.report import write_run_report
from mlmd.run.measured import measured_stages

SETTINGS = {"window_ps": 0.3, "fit_ps": (0.05, 0.3)}


@pytest.fixture(scope="module")
def still(tmp_path_factory) -> Run:
    """Two short runs of atoms that hardly move, the second with a doubt of its own."""
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    hot = {"record_every_fs": 4.0, "duration_ps": 0.6}
    protocol = Protocol(
        "still",
        (
            Equilibrate(name="start", temperature_K=60.0, duration_ps=0.04, record_every_fs=4.0),
            Production(name="cold", temperature_K=60.0, **hot),
            Production(name="warm", temperature_K=90.0, **hot),
        ),
    )
    folder = tmp_path_factory.mktemp("findings") / "run"
    run = protocol.run(atoms, CalculatorSpec("lj", options={"cutoff_A": 4.5}), folder)
    run.manifest.stage("warm").flags.append("unconverged_volume")
    run.manifest.write(run.path)
    return Run.open(folder)


def test_terminal_json_report_and_python_say_the_same(still, capsys, tmp_path):
    summary = summarize(measured_stages(still), **SETTINGS)
    messages = [finding.message for finding in summary.findings]
    codes = {finding.code for finding in summary.findings}
    assert {"unconverged_volume", "no_activation_energy"} <= codes
    assert any(code.startswith("motion_") for code in codes)
    assert len(messages) == len(set(messages))

    command = ["analyze", str(still.path), "--window-ps", "0.3", "--fit-ps", "0.05", "0.3"]
    assert run_command_line([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["findings"]
    assert told == [finding.to_dict() for finding in summary.findings]
    assert run_command_line(command) == 0
    lines = capsys.readouterr().out.splitlines()
    for finding in summary.findings:
        assert f"{finding.severity}: {finding.message}" in lines
    page = write_run_report(still, tmp_path / "page.html", **SETTINGS).read_text()
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    for message in messages:
        assert message in text


def test_what_is_invalid_has_no_value(still):
    """A motion that is not diffusive is a finding wherever D is None, and nowhere else."""
    summary = summarize(measured_stages(still), **SETTINGS)
    for name, stage in summary.stages.items():
        for symbol, result in stage.species.items():
            about = [
                one
                for one in stage.findings
                if one.code.startswith("motion_") and one.message.startswith(f"{symbol} is")
            ]
            assert bool(about) == (result.D_cm2_s is None), (name, symbol)
            if about:
                assert about[0].severity == "invalid"
                assert about[0].numbers["D_upper_bound_cm2_s"] == result.D_upper_bound_cm2_s


def test_a_clean_run_has_no_findings():
    rng = np.random.default_rng(8)
    steps = rng.normal(0, 0.3, (400, 20, 3))
    walk = Trajectory(
        positions_A=np.cumsum(steps, axis=0),
        cell_A=np.eye(3) * 20.0,
        numbers=np.full(20, 3),
        time_fs=np.arange(400) * 20.0,
    )
    summary = summarize({"walk": (walk, None)}, species="Li", drift="none")
    (only,) = summary.findings
    assert only.code == "no_activation_energy"
