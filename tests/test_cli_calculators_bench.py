"""``mlmd calculators bench``: what its numbers say of each other, and what it refuses."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import Calculator, all_changes

from mlmd.cli.app import run_command_line
from mlmd.structure import pack
from mlmd.studies.speed import bench_calculator

OF = ["--composition", "LiCl", "--n-atoms", "32", "--volume-per-atom-A3", "60", "--steps", "12"]
LJ = ["calculators", "bench", "lj", *OF]
FORCE_CALL_S, GRAPH_S = 0.02, 0.004


class StandIn(Calculator):
    """No forces, after a while; a call and the next, by which a batch is tried again, may fail."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.fails_at, self.n_calls = fails_at, 0

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.n_calls += 1
        if self.fails_at is not None and 0 <= self.n_calls - self.fails_at < 2:
            raise RuntimeError("the planted failure")
        time.sleep(FORCE_CALL_S)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


class Shared(StandIn):
    """Computes many at once, and its graphs apart."""

    def calculate_many(self, structures, properties):
        results = []
        for atoms in structures:
            self.reset()
            self.calculate(atoms)
            results.append(self.results)
        return results

    def graphs(self, structures):
        time.sleep(GRAPH_S * len(structures))


def benched(capsys: pytest.CaptureFixture[str], *more: str) -> dict:
    assert run_command_line([*more, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def check(found: dict, walkers: list[int], timestep_fs: float) -> None:
    """What holds between the numbers, whatever the machine."""
    assert [row["n_walkers"] for row in found["walkers"]] == walkers
    for row in found["walkers"]:
        each = 86400 * timestep_fs * 1e-6 / row["step_s"]
        assert row["ns_per_day_per_walker"] == pytest.approx(each)
        assert row["ns_per_day"] == pytest.approx(row["n_walkers"] * each)
        shares = [row["share_model"], row["share_graph"] or 0.0, row["share_us"]]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) == pytest.approx(1)
        low, high = row["step_s_quartiles"]
        assert 0 < low <= row["step_s"] <= high
        assert row["n_steps"] == 12
        assert row["peak_memory_bytes"] > 1e7


def test_numbers_fit_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    found = benched(capsys, *LJ, "--walkers", "4,1", "--timestep-fs", "1.5")
    check(found, [1, 4], 1.5)
    assert found["calculator"]["name"] == "lj"
    assert (found["formula"], found["n_atoms"]) == ("Cl16Li16", 32)
    assert found["walkers"][0]["share_graph"] is None
    assert found["note"] == ""


@pytest.mark.parametrize("walkers", [(1,), (3,)])
def test_shares_are_those_of_what_takes_the_time(
    walkers: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlmd.calculators.registry._build_from_factory", lambda spec: Shared())
    atoms = pack("LiCl", 32, volume_per_atom_A3=60)
    found = bench_calculator("some.module:factory", atoms, walkers=walkers, n_steps=12)
    (row,) = found.walkers
    check({"walkers": [row.__dict__]}, list(walkers), 2.0)
    # Sleeping takes its time at least; a busy machine adds to both.
    assert row.step_s >= FORCE_CALL_S * walkers[0]
    assert row.share_us < 0.5
    assert row.share_graph is not None
    assert 0.02 < row.share_graph < row.share_model


def test_table_has_a_row_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([*LJ, "--walkers", "1,3"]) == 0
    shown = capsys.readouterr()
    title, heads, *rows = shown.out.splitlines()
    assert "Cl16Li16, 32 atoms" in title
    assert heads.split()[0] == "walkers"
    assert [row.split()[0] for row in rows] == ["1", "3"]
    assert "step 12/12" in shown.err


def test_what_cannot_be_shared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_bench.py").write_text(
        "from ase.calculators.lj import LennardJones\n"
        "def make():\n"
        "    return LennardJones(sigma=2.3, epsilon=0.02, rc=5.0)\n"
    )
    own = ["calculators", "bench", "own_bench:make", *OF]
    found = benched(capsys, *own)
    check(found, [1], 2.0)
    assert found["note"].startswith("one walker only: calculator 'own_bench:make' cannot compute")
    assert run_command_line([*own, "--walkers", "1,2"]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("mlmd: calculator 'own_bench:make' cannot compute many")
    assert shown.out == ""


@pytest.mark.parametrize("walkers", [1, 3])
@pytest.mark.parametrize("fails_at", [1, 2, 6, 40])
def test_a_failure_ends_it(walkers: int, fails_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the walkers begin, while they wait for each other, and later: nobody hangs."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    atoms = pack("LiCl", 32, volume_per_atom_A3=60)
    made = Shared(fails_at)
    monkeypatch.setattr("mlmd.calculators.registry._build_from_factory", lambda spec: made)
    with pytest.raises(RuntimeError, match="the planted failure"):
        bench_calculator("some.module:factory", atoms, walkers=(walkers,), n_steps=60)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--walkers", "1,x"], "--walkers is '1,x'"),
        (["--walkers=1,"], "--walkers is"),
        (["--walkers", "0,8"], "walkers is 0; expected a whole number of at least 1"),
        (["--walkers", "1000000"], "at most 4096"),
        (["--steps", "1"], "steps is 1; expected a whole number of at least 2"),
        (["--dtype", "float64"], "lj"),
        (["--density-g-cm3", "1"], "density"),
    ],
)
def test_wrong_input(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line([*LJ, *more]) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert line.startswith("mlmd: ")
    assert said in line
    assert shown.out == ""


def test_a_name_of_a_stage_is_no_calculator(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["calculators", "bench", "melt=lj", *OF]) == 2
    assert "'melt=lj' is not one calculator" in capsys.readouterr().err
