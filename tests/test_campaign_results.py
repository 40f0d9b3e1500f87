"""What a campaign gave is what `mlmd analyze` says of its runs, to the digit, on every face."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runs import edit_manifest

from mlmd import Run
from mlmd.analysis import combine
from mlmd.analysis.diffusion import kept as kept_file
from mlmd.analysis.diffusion.diffusivity import diffusivity
from mlmd.analysis.diffusion.estimators.options import WeightedOptions
from mlmd.campaign import Campaign, measure_case, results_of
from mlmd.campaign.results import measuring
from mlmd.campaign.results.table import COLUMNS, data_frame, write_table
from mlmd.cli.app import run_command_line
from mlmd.errors import DamagedDataError, InputError, MissingExtraError
from mlmd.plain import to_plain

NUMBERS = (
    "D_cm2_s",
    "D_stderr_cm2_s",
    "D_raw_cm2_s",
    "D_upper_bound_cm2_s",
    "D_lower_bound_cm2_s",
    "verdict",
    "needs_ps",
)


@pytest.fixture
def copy(six_cases: Path, tmp_path: Path) -> Path:
    """The campaign's file with all its runs, to be changed."""
    shutil.copytree(six_cases.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / six_cases.name


def analyzed(capsys: pytest.CaptureFixture[str], *paths: Path) -> dict[str, Any]:
    """What `mlmd analyze --json` prints."""
    capsys.readouterr()
    assert run_command_line(["analyze", *map(str, paths), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def assert_same(line: dict[str, str], said: dict[str, Any]) -> None:
    """Hold a line of a table against JSON."""
    for name in NUMBERS:
        assert line[name] == ("" if said[name] is None else str(said[name])), name
    low, high = said["D_interval68_cm2_s"]
    assert (line["D_low68_cm2_s"], line["D_high68_cm2_s"]) == (repr(low), repr(high))


def test_numbers_are_those_of_analyze(six_cases, tmp_path, capsys):
    campaign = Campaign.load(six_cases)
    write_table(campaign, results_of(campaign), tmp_path / "t.csv")
    lines = table(tmp_path / "t.csv")
    assert len(lines) == 6 * 2 * 2 + 2 * 2 * 2
    for case in campaign.cases:
        said = analyzed(capsys, campaign.folder / case.name)
        own = [line for line in lines if line["case"] == case.name]
        assert len(own) == 4
        for line in own:
            assert_same(line, said["stages"][line["stage"]]["species"][line["species"]])
            law = said["arrhenius"][line["species"]]
            for name in ("E_a_eV", "E_a_stderr_eV", "E_a_lower_bound_eV"):
                assert line[name] == ("" if law[name] is None else repr(law[name]))
            assert float(line["volume_per_atom_A3"]) == pytest.approx(20)
            assert line["versions"].startswith("mlmd ")
            assert Path(line["path"]) == (campaign.folder / case.name).absolute()
    assert "diffusive" in {line["verdict"] for line in lines}


def test_melts_of_the_same_are_pooled_as_analyze_pools_runs(six_cases, tmp_path, capsys):
    campaign = Campaign.load(six_cases)
    write_table(campaign, results_of(campaign), tmp_path / "t.csv")
    for group in {case.group for case in campaign.cases}:
        runs = [campaign.folder / one.name for one in campaign.cases if one.group == group]
        said = analyzed(capsys, *runs)
        own = [line for line in table(tmp_path / "t.csv") if line["case"] == group]
        assert len(own) == 4
        for line in own:
            one = said["replicas"][line["stage"]]["species"][line["species"]]
            assert_same(line, one)
            assert line["n_melts"] == "3"
            for source in ("within", "between"):
                name = f"{source}_stderr_cm2_s"
                assert line[f"D_{name}"] == repr(one["settings"][name])
            law = said["arrhenius"][line["species"]]
            assert line["E_a_eV"] == ("" if law["E_a_eV"] is None else repr(law["E_a_eV"]))
            between = float(line["D_between_stderr_cm2_s"])
            assert float(line["D_stderr_cm2_s"]) == between > 0  # three melts: their spread


def test_a_row_is_a_line_of_pandas_too(six_cases, monkeypatch):
    results = results_of(Campaign.load(six_cases))
    frame = data_frame(results)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 32
    pooled = frame[frame.n_melts == 3]
    assert pooled.D_stderr_cm2_s.to_numpy() == pytest.approx(pooled.D_between_stderr_cm2_s)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"mlmd\[campaign\]"):
        data_frame(results)


def test_a_worker_keeps_what_it_measured(six_cases, monkeypatch):
    monkeypatch.setattr(measuring, "summarize", None)  # nothing is measured again
    campaign = Campaign.load(six_cases)
    assert len(results_of(campaign).rows) == 16
    for case in campaign.cases:
        assert (campaign.folder / case.name / "analysis.json").stat().st_size < 40_000


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"window_ps": 0.5, "fit_ps": (0.1, 0.5)},
        {"estimator": "weighted", "options": WeightedOptions(smoothed="constant", avg_nsteps=50)},
        {"drift": "none", "atoms": [0, 1, 2, 3]},
    ],
)
def test_what_is_kept_of_a_diffusivity_is_all_but_its_curves(six_cases, how):
    campaign = Campaign.load(six_cases)
    run = Run.open(campaign.folder / campaign.cases[0].name)
    found = diffusivity(run.trajectory("production-1500K"), "Li", **how)
    for one in (found, replace(found, df=math.inf, D_interval68_cm2_s=None)):
        back = kept_file.from_kept(json.loads(json.dumps(kept_file.kept(one), allow_nan=False)))
        assert to_plain(back) == to_plain(one)
        assert back.motion == one.motion
        assert back.settings == one.settings
        assert back.df == one.df
        assert back.n_atoms == one.n_atoms
    others = [diffusivity(run.trajectory("production-2500K"), "Li", **how), found]
    again = [kept_file.from_kept(kept_file.kept(one)) for one in others]
    assert to_plain(combine(again)) == to_plain(combine(others))


def test_several_may_measure_a_case_at_once(run, monkeypatch):
    """Each puts a whole file in the place of the other's."""
    (run.path / "analysis.json").unlink()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: measure_case(Run.open(run.path)).summary, range(4)))
    assert found == [found[0]] * 4
    monkeypatch.setattr(measuring, "summarize", None)
    assert measure_case(run).summary == found[0]
    assert not list(run.path.glob(".analysis*"))


@pytest.fixture
def run(copy: Path) -> Run:
    campaign = Campaign.load(copy)
    return Run.open(campaign.folder / campaign.cases[0].name)


def count_measured(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Have every measurement noted."""
    done = []
    real = measuring._measured

    def counted(run: Run) -> dict[str, Any]:
        done.append(run.path)
        return real(run)

    monkeypatch.setattr(measuring, "_measured", counted)
    return done


@pytest.mark.parametrize(
    "what", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"checksum": 1}', "a number", "a link"]
)
def test_what_is_damaged_or_foreign_is_measured_again(run, monkeypatch, what):
    before = measure_case(run).summary
    file = run.path / "analysis.json"
    if what == "a number":
        file.write_text(file.read_text().replace('"n_atoms": 24', '"n_atoms": 25', 1))
    elif what == "a link":
        file.unlink()
        file.symlink_to("run.json")
    else:
        file.write_bytes(what)
    done = count_measured(monkeypatch)
    assert measure_case(run).summary == before
    assert measure_case(run).n_atoms == 24
    assert len(done) == 1
    assert not file.is_symlink()
    assert not list(run.path.glob(".analysis*"))


def test_another_version_or_recipe_is_measured_again(run, monkeypatch):
    done = count_measured(monkeypatch)
    measure_case(run)
    assert done == []
    monkeypatch.setattr(measuring, "__version__", "99")
    measure_case(run)
    assert len(done) == 1
    edit_manifest(run.path, lambda one: one["protocol"].update(analysis={"drift": "none"}))
    again = measure_case(Run.open(run.path))
    assert len(done) == 2
    settings = again.stages["production-1500K"].species["Li"].settings
    assert settings.drift == "none"


def test_a_lengthened_production_is_measured_again(copy, run, monkeypatch, calculator):
    campaign = Campaign.load(copy)
    done = count_measured(monkeypatch)
    before = measure_case(run)
    campaign.protocols[0].run(
        run.atoms,
        campaign.calculators[0],
        run.path,
        seed=campaign.cases[0].seed,
        extend={"production-2500K": 2.4},
    )
    after = measure_case(Run.open(run.path))
    assert len(done) == 1
    assert before.stages["production-2500K"].duration_ps == pytest.approx(2.0)
    assert after.stages["production-2500K"].duration_ps == pytest.approx(2.4)


def test_a_copy_of_a_run_is_not_measured_again(run, tmp_path, monkeypatch):
    done = count_measured(monkeypatch)
    there = shutil.copytree(run.path, tmp_path / "there", copy_function=shutil.copyfile)
    assert measure_case(Run.open(there)).summary == measure_case(run).summary
    assert done == []


def test_nothing_is_lost_where_nothing_can_be_kept(run, monkeypatch):
    (run.path / "analysis.json").unlink()

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    assert measure_case(run).n_atoms == 24
    assert not (run.path / "analysis.json").exists()


def test_a_damaged_run_is_a_line_and_stops_nothing(copy, capsys):
    campaign = Campaign.load(copy)
    first, second, third = (campaign.folder / one.name for one in campaign.cases[:3])
    trajectory = first / "03-production-2500K" / "trajectory.h5md"
    content = bytearray(trajectory.read_bytes())
    content[-100] ^= 1
    trajectory.write_bytes(content)
    (second / "run.json").write_text("{}")
    shutil.rmtree(third)
    found = results_of(campaign)
    assert set(found.problems) == {first.name, second.name}
    assert "is not what was written" in found.problems[first.name]
    assert "schema" in found.problems[second.name]
    assert len({row.case for row in found.rows if row.n_melts == 1}) == 3
    assert {row.n_melts for row in found.rows} == {1, 2}
    with pytest.raises(DamagedDataError, match="is not what was written"):
        measure_case(Run.open(first))
    out = copy.parent / "t.csv"
    assert run_command_line(["campaign", "export", str(copy), "-o", str(out)]) == 0
    assert capsys.readouterr().err.count("left out: ") == 2


def test_a_case_that_failed_keeps_the_productions_that_it_finished(copy):
    campaign = Campaign.load(copy)
    path = campaign.folder / campaign.cases[0].name

    def fail(content: dict[str, Any]) -> None:
        content["stages"][2].update(status="failed", error="unstable", result=None, checksums={})

    edit_manifest(path, fail)
    own = [row for row in results_of(campaign).rows if row.path == path.absolute()]
    assert [row.stage for row in own] == ["production-1500K"]
    assert own[0].laws["Li"]["E_a_eV"] is None

    edit_manifest(path, lambda content: content["stages"][2].update(status="stopped"))
    assert path.absolute() not in [row.path for row in results_of(campaign).rows]


def test_a_run_without_a_finished_production_cannot_be_measured(run):
    for number in (1, 2):
        edit_manifest(
            run.path, lambda one, n=number: one["stages"][n].update(status="pending", result=None)
        )
    with pytest.raises(InputError, match="no finished production"):
        measure_case(Run.open(run.path))


def test_the_volume_has_the_error_of_its_search(copy):
    """The nearest search that the production descends from, per atom."""
    campaign = Campaign.load(copy)
    path = campaign.folder / campaign.cases[0].name

    def searched(content: dict[str, Any]) -> None:
        content["stages"][0]["result"]["volume_stderr_A3"] = 4.8

    edit_manifest(path, searched)
    rows = [row for row in results_of(campaign).rows if row.path == path.absolute()]
    assert [row.volume_per_atom_stderr_A3 for row in rows] == [pytest.approx(0.2)] * 2


def test_what_is_kept_is_no_output_of_anybody(run, capsys):
    assert Run.open(run.path).verify() == {}
    os.unlink(run.path / "analysis.json")
    out = str(run.path / "analysis.json.xyz")
    assert run_command_line(["export", str(run.path), "melt", "-o", out]) == 2
    assert "is a file of the run" in capsys.readouterr().err
