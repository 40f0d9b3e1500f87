"""Training data from runs: labels of `mlmd analyze`, features of what came before, what is out."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

pandas = pytest.importorskip("pandas", reason="needs the model extra")

from runs import edit_manifest  # noqa: E402

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Relax, Run, featurize  # noqa: E402
from mlmd.analysis import diffusivity  # noqa: E402
from mlmd.calculators.models.lennard_jones import LennardJones  # noqa: E402
from mlmd.cli.app import run_command_line  # noqa: E402
from mlmd.errors import InputError, StageFailedError, StoppedError  # noqa: E402
from mlmd.model.data import run_table as module  # noqa: E402
from mlmd.model.data.labelled_file import EINSTEIN  # noqa: E402
from mlmd.model.data.run_table import table_from_runs  # noqa: E402
from mlmd.model.data.table import TrainingTable  # noqa: E402
from mlmd.run.stopping import StopToken  # noqa: E402

FLUID = CalculatorSpec("lj", options={"cutoff_A": 4.5, "sigma_A": 2.4})
TIMES: dict[str, Any] = {"timestep_fs": 4.0, "record_every_fs": 20.0}
MELT = Equilibrate(name="melt", temperature_K=1500, duration_ps=0.2, **TIMES)
HOT = Production(name="hot", temperature_K=1500, duration_ps=6.0, **TIMES)
COOL = Production(name="cool", temperature_K=900, duration_ps=6.0, starts_from="melt", **TIMES)
SHORT = Production(name="short", temperature_K=900, duration_ps=0.12, starts_from="melt", **TIMES)


class Failing(LennardJones):
    """Loses its forces at the 60th call."""

    calls = 0

    def calculate(self, *args: Any, **kwargs: Any) -> None:
        super().calculate(*args, **kwargs)
        self.calls += 1
        if self.calls >= 60:
            self.results["forces"][3] = np.nan


def salt(symbols: str = "Li13Cl14") -> Atoms:
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    return Atoms(symbols, positions=3.6 * grid, cell=[10.8] * 3, pbc=True)


def make(folder: Path, *stages: Any, symbols: str = "Li13Cl14", seed: int = 0, **more: Any) -> Run:
    calculator = more.pop("calculator", FLUID)
    protocol = Protocol(name="fluid", stages=stages)
    return protocol.run(salt(symbols), calculator, folder, seed=seed, **more)


def marked(run: Path, copy: Path, flag: str) -> None:
    """Copy a run as another one whose productions carry a flag."""
    shutil.copytree(run, copy)

    def mark(content: dict[str, Any]) -> None:
        content["identity"]["seed"] = flag
        for entry in content["stages"]:
            entry["flags"] = [flag]

    edit_manifest(copy, mark)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs at several depths; some twice, flagged, broken off, or no runs at all."""
    folder = tmp_path_factory.mktemp("all") / "runs"
    make(folder / "LiCl", MELT, HOT, COOL, SHORT)
    make(folder / "LiCl-2", MELT, HOT, seed=1)
    make(folder / "more" / "fluorides" / "LiF", MELT, HOT, COOL, symbols="Li12F15")
    make(folder / "only-melt", MELT)
    make(folder / "sodium", MELT, SHORT, symbols="Na13Cl14")
    shutil.copytree(folder / "LiCl", folder / "more" / "copy-of-LiCl")
    marked(folder / "LiCl-2", folder / "unconverged", "unconverged_volume")
    marked(folder / "LiCl-2", folder / "virial", "virial_pressure_volume")
    stop = StopToken()
    stop.stop("enough")
    with pytest.raises(StoppedError):
        make(folder / "stopped", MELT, HOT, seed=2, stop=stop)
    frail = Production(name="frail", temperature_K=1500, duration_ps=0.4, max_halvings=0, **TIMES)
    with pytest.raises(StageFailedError):
        make(folder / "exploded", MELT, frail, calculator=Failing(sigma_A=2.4, cutoff_A=4.5))
    for name, text in {"foreign": "[]", "damaged": '{"schema": 1, ', "other": "{}"}.items():
        (folder / name).mkdir()
        (folder / name / "run.json").write_text(text)
    (folder / "notes.txt").write_text("not a folder")
    return folder


@pytest.fixture(scope="module")
def made(runs: Path) -> Any:
    return table_from_runs([runs])


TAKEN = ["LiCl/hot", "LiCl/cool", "LiCl-2/hot", "more/fluorides/LiF/hot", "more/fluorides/LiF/cool",
         "virial/hot"]  # fmt: skip


def test_every_finished_production_that_diffuses_is_a_row(runs, made):
    table = made.table
    assert table.names == tuple(f"{runs}/{name}" for name in TAKEN)
    assert table.temperature_K.tolist() == [1500, 900, 1500, 1500, 900, 1500]
    assert table.formulas == ("Cl14Li13",) * 3 + ("F15Li12",) * 2 + ("Cl14Li13",)
    assert (table.convention, table.mobile, table.D_from) == ("mlmd", "Li", EINSTEIN)
    assert table.features.shape[1] > 40
    assert "inverse_kbT" not in table.features


def test_labels_are_the_numbers_of_mlmd_analyze(runs, made, capsys):
    labels = dict(zip(made.table.names, made.table.D_cm2_s, strict=True))
    errors = dict(zip(made.table.names, made.table.D_error_cm2_s, strict=True))
    for name in ("LiCl", "LiCl-2", "more/fluorides/LiF"):
        assert run_command_line(["analyze", str(runs / name), "--json"]) == 0
        stages = json.loads(capsys.readouterr().out)["stages"]
        for stage, content in stages.items():
            said, key = content["species"]["Li"], f"{runs}/{name}/{stage}"
            assert labels.get(key) == said["D_cm2_s"]
            assert errors.get(key) == (said["D_stderr_cm2_s"] if said["is_diffusive"] else None)


def test_features_are_of_the_end_of_the_stage_before_alone(runs, made):
    """They see nothing of the production: both productions of a run start from one snapshot."""
    for row, name in ((0, "LiCl"), (3, "more/fluorides/LiF")):
        melt = Run.open(runs / name).trajectory("melt")
        last = Atoms(numbers=melt.numbers, positions=melt.positions_A[-1],
                     cell=melt.cells_A()[-1], pbc=True)  # fmt: skip
        expected = featurize(last, temperature_K=1500.0).values
        found = made.table.features
        for column in found:
            assert found[column].iloc[row] == pytest.approx(expected[column].iloc[0], rel=1e-12)
        assert found.iloc[row].equals(found.iloc[row + 1])
    assert made.table.n_frames.tolist() == [1] * 6


def test_features_of_the_production_only_where_they_are_asked_for(runs, made, tmp_path, caplog):
    asked = table_from_runs([runs], features_from="production").table
    assert asked.names == made.table.names
    assert np.array_equal(asked.D_cm2_s, made.table.D_cm2_s)
    assert asked.n_frames.tolist() == [301] * 6
    expected = featurize(Run.open(runs / "LiCl").trajectory("cool"), temperature_K=900.0).values
    assert asked.features.LNC.iloc[1] == expected.LNC.iloc[0]
    assert not np.isclose(asked.features.LNC, made.table.features.LNC).any()
    asked.to_csv(tmp_path / "t.csv")
    with caplog.at_level(logging.WARNING):
        TrainingTable.read(tmp_path / "t.csv")
    assert "scores are optimistic" in caplog.text
    with pytest.raises(InputError, match="features_from is 'end'; expected start or production"):
        table_from_runs([runs], features_from="end")


def test_what_is_left_out_has_its_reason(runs, made, caplog):
    reasons = {
        str(one.path.relative_to(runs)) + (f"/{one.stage}" if one.stage else ""): one.reason
        for one in made.skipped
    }
    expected = {
        "LiCl/short": "not diffusive",
        "damaged": "cannot be read",
        "exploded": "failed, not finished",
        "foreign": "cannot be read",
        "more/copy-of-LiCl": f"the same run as {runs / 'LiCl'}",
        "only-melt": "no production stage",
        "other": "cannot be read",
        "sodium/short": "no atom of species 'Li'",
        "stopped": "stopped, not finished",
        "unconverged/hot": "flagged unconverged_volume",
    }
    assert sorted(reasons) == sorted(expected)
    for name, reason in expected.items():
        assert reason in reasons[name]
        assert "\n" not in reasons[name]
    assert "frail: " in reasons["exploded"]
    with caplog.at_level(logging.INFO):
        table_from_runs([runs / "LiCl"], fewest_rows=1)
    assert f"not in the table: {runs}/LiCl/short: it is not diffusive" in caplog.text


def test_productions_without_diffusion_are_bounds(runs, made, tmp_path, monkeypatch):
    """That D is less than its bound is learnt from; here of what moves less than at 1500 K."""

    def still(trajectory: Any, species: str) -> Any:
        found = diffusivity(trajectory, species)
        if trajectory.source and "hot" in str(trajectory.source):
            return found
        motion = replace(found.motion, verdict="localised")
        return replace(found, motion=motion, D_upper_bound_cm2_s=1e-6)

    monkeypatch.setattr(module, "diffusivity", still)
    table = table_from_runs([runs], fewest_rows=1).table
    bounds = table.bounds
    assert table.names == tuple(name for name in made.table.names if name.endswith("hot"))
    assert {name.split("/")[-1] for name in bounds.names} == {"cool", "short"}
    assert bounds.D_cm2_s.tolist() == [1e-6] * len(bounds)
    table.to_csv(tmp_path / "t.csv")
    back = TrainingTable.read(tmp_path / "t.csv")
    assert (back.names, back.bounds.names) == (table.names, bounds.names)
    for target in ("ln_D", "D"):
        assert back.problem(target).sha256 == table.problem(target).sha256
    assert table.problem().bounds.y == pytest.approx(np.log(1e-6))


def test_a_run_that_is_found_twice_is_taken_once(runs, tmp_path):
    (tmp_path / "link").symlink_to(runs / "LiCl")
    seen = []
    many = [runs / "LiCl", tmp_path, str(runs / "LiCl"), runs / "more", runs / "LiCl-2"]
    found = table_from_runs(many, progress=lambda *x: seen.append(x))
    ends = [name.removeprefix(f"{runs}/") for name in found.table.names]
    assert ends == ["LiCl/hot", "LiCl/cool", *TAKEN[3:5], "LiCl-2/hot"]
    assert seen == [(i + 1, 4) for i in range(4)]  # the copy is a directory of its own


def test_the_table_goes_through_a_file(made, tmp_path):
    made.table.to_csv(tmp_path / "t.csv")
    back = TrainingTable.read(tmp_path / "t.csv")
    pandas.testing.assert_frame_equal(back.features, made.table.features, check_exact=True)
    assert back.names == made.table.names
    assert back.D_from == EINSTEIN
    for target in ("ln_D", "D", "E_a"):
        one, other = (t.problem(target, weighted=True) for t in (back, made.table))
        assert one.sha256 == other.sha256
    assert made.table.problem("E_a").formulas == ("Cl14Li13", "F5Li4")


@pytest.mark.parametrize(
    ("where", "options", "says"),
    [
        (["nowhere"], {}, "nowhere is no folder"),
        (["notes.txt"], {}, "notes.txt is no folder"),
        ([], {}, "no run directory in nothing"),
        (["LiCl/01-melt"], {}, "no run directory in .*LiCl/01-melt"),
        (["stopped", "exploded"], {}, "none of 2 run.* is finished; .*stopped: it is stopped"),
        (["sodium"], {}, "1 finished run.* none of which gives D of Li; .*no atom of species"),
        (["only-melt"], {}, "none of which gives D of Li; .*no production stage"),
        (["LiCl"], {}, r"2 row\(s\) from .*; expected at least 5: give more runs; 1 left out"),
        (["LiCl"], {"convention": "mine"}, "convention is 'mine'"),
        (["LiCl"], {"mobile": "Lithium"}, "mobile element 'Lithium' is unknown"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(runs, where, options, says):
    with pytest.raises(InputError, match=says) as caught:
        table_from_runs([runs / name for name in where], **options)
    assert "\n" not in str(caught.value)


def test_a_cell_that_was_relaxed_first_is_described_as_relaxed(tmp_path):
    relax = Relax(name="relax", max_force_eV_A=0.001, max_steps=30)
    start = salt("Li13Cl14")
    start.rattle(0.3, seed=1)
    protocol = Protocol(name="p", stages=(relax, HOT))
    run = protocol.run(start, FLUID, tmp_path / "run")
    (row,) = table_from_runs(str(tmp_path / "run"), fewest_rows=1).table.features.LASD
    assert row != pytest.approx(featurize(start).values.LASD.iloc[0], rel=1e-3)
    first = run.trajectory("hot")
    atoms = Atoms(
        numbers=first.numbers, positions=first.positions_A[0], cell=first.cells_A()[0], pbc=True
    )
    assert row == featurize(atoms).values.LASD.iloc[0]
