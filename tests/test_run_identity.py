"""The same command goes on or is done; another one is refused and told what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from runs import assert_equal_bits, edit_manifest

from mlmd import CalculatorSpec, Protocol, Run
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import InputError, RunDirectoryError
from mlmd.protocol.engine import stage_generator
from mlmd.protocol.settings import RunSettings
from mlmd.run.identity import structure_from_text, structure_text
from mlmd.run.manifest import SCHEMA


@pytest.fixture
def short(protocol: Protocol) -> Protocol:
    return Protocol(name="short", stages=protocol.stages[:2])


def refuse_to_calculate(*args: object, **kwargs: object) -> None:
    raise AssertionError("computed again")


def test_done_is_not_computed_again(
    tmp_path: Path,
    atoms: Atoms,
    calculator: CalculatorSpec,
    short: Protocol,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = short.run(atoms, calculator, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    monkeypatch.setattr(LennardJones, "calculate", refuse_to_calculate)
    again = short.run(atoms, calculator, tmp_path / "run")
    assert again.status == "done"
    assert again.results == first.results
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}


def test_every_part_of_the_identity_is_told_apart(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    run = short.run(atoms, calculator, tmp_path / "run", seed=1)
    kept = (run.path / "run.json").read_bytes()

    def refused(pattern: str, **changes: object) -> None:
        given = {"atoms": atoms, "calculator": calculator, "seed": 1, "protocol": short, **changes}
        with pytest.raises(RunDirectoryError, match=pattern):
            given.pop("protocol").run(
                given.pop("atoms"), given.pop("calculator"), run.path, **given
            )

    refused("seed is 1 there and 2 given", seed=2)
    refused(
        "options.cutoff_A is 4.5 there and 4.4 given",
        calculator=CalculatorSpec("lj", options={"cutoff_A": 4.4}),
    )
    moved = atoms.copy()
    moved.positions[0, 0] += 1e-6
    refused(r"another run: atoms.arrays\['positions'\] differs;", atoms=moved)
    refused(
        r"stages\[melt\].temperature_K is 1500.0 there and 1600.0 given",
        protocol=short.with_settings({"melt.temperature_K": 1600}),
    )
    refused(
        "use --extend",
        protocol=short.with_settings({"melt.duration_ps": 0.8}),
    )
    # Device and threads are not identity.
    elsewhere = CalculatorSpec("lj", device="cpu", threads=2, options={"cutoff_A": 4.5})
    assert short.run(atoms, elsewhere, run.path, seed=1).status == "done"
    assert (run.path / "run.json").read_bytes() == kept


def test_foreign_directories_are_left_alone(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    with pytest.raises(RunDirectoryError, match=r"not empty and no run \(thesis.tex"):
        short.run(atoms, calculator, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="is a file"):
        short.run(atoms, calculator, tmp_path / "file")


def test_newer_schema_is_refused(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    run = short.run(atoms, calculator, tmp_path / "run")
    assert json.loads((run.path / "run.json").read_text())["schema"] == SCHEMA
    edit_manifest(run.path, lambda content: content.update(schema=SCHEMA + 1))
    with pytest.raises(RunDirectoryError, match=rf"schema {SCHEMA + 1}.*install a newer"):
        Run.open(run.path)


def test_other_versions_are_refused_unless_allowed(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    run = short.run(atoms, calculator, tmp_path / "run")

    def older(manifest: dict[str, Any]) -> None:
        manifest["versions"]["ase"] = "3.1.4"
        manifest["stages"][1].update(status="stopped", result=None, checksums={})

    edit_manifest(run.path, older)
    with pytest.raises(InputError, match=r"ase 3.1.4 then, .* now"):
        short.run(atoms, calculator, run.path)
    allowed = RunSettings(allow_version_change=True)
    assert short.run(atoms, calculator, run.path, settings=allowed).status == "done"
    events = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    (changed,) = [event for event in events if event["event"] == "versions changed"]
    assert changed["then"]["ase"] == "3.1.4"


def test_what_the_run_starts_from_is_what_the_file_says(atoms: Atoms) -> None:
    atoms.positions += np.random.default_rng(1).normal(0, 0.1, (27, 3))
    atoms.set_momenta(np.random.default_rng(2).normal(0, 1, (27, 3)))
    atoms.info["packing"] = {"seed": 1, "source": "estimate"}
    text = structure_text(atoms)
    again = structure_text(structure_from_text(text))
    assert text == again
    assert structure_from_text(text).positions == pytest.approx(atoms.positions, abs=1e-8)


def test_extension_equals_the_longer_run_bit_by_bit(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, protocol: Protocol
) -> None:
    first = protocol.run(atoms, calculator, tmp_path / "run", seed=2)
    short_result = first.results["production"]
    run = protocol.run(atoms, calculator, tmp_path / "run", seed=2, extend={"production": 1.0})
    longer = protocol.with_settings({"production.duration_ps": 1.0})
    assert_equal_bits(run, longer.run(atoms, calculator, tmp_path / "longer", seed=2))
    assert run.manifest.stage("production").earlier_results == [short_result]
    assert run.trajectory("production").duration_ps == pytest.approx(1.0)
    # The same command again, and the one without the extension, find it done.
    for extend in ({"production": 1.0}, {}):
        before = (run.path / "run.json").read_bytes()
        protocol.run(atoms, calculator, tmp_path / "run", seed=2, extend=extend)
        assert (run.path / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("extend", "pattern"),
    [
        ({"melt": 2.0}, "'ramp' starts from its last frame"),
        ({"production": 0.1}, "would shorten it"),
        ({"relax": 1.0}, "has no duration"),
        ({"nothing": 1.0}, "no stage 'nothing'"),
        ({"production": 0.4001}, "not a whole number"),
        ({"production": "long"}, "expected a positive number"),
    ],
)
def test_extensions_that_cannot_be(
    tmp_path: Path,
    atoms: Atoms,
    calculator: CalculatorSpec,
    protocol: Protocol,
    extend: dict[str, float],
    pattern: str,
) -> None:
    run = protocol.run(atoms, calculator, tmp_path / "run")
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(InputError, match=pattern):
        protocol.run(atoms, calculator, run.path, extend=extend)
    assert (run.path / "run.json").read_bytes() == before


def test_adding_a_stage_leaves_the_others_their_numbers(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, protocol: Protocol
) -> None:
    """'branch' starts from 'melt'; leaving out two stages between must not change it."""
    fewer = Protocol(name="fewer", stages=(*protocol.stages[:2], protocol.stages[4]))
    run = protocol.run(atoms, calculator, tmp_path / "run", seed=9)
    small = fewer.run(atoms, calculator, tmp_path / "small", seed=9)
    for name in ("melt", "branch"):
        one, other = run.trajectory(name), small.trajectory(name)
        assert one.positions_A.tobytes() == other.positions_A.tobytes()
    assert stage_generator(9, "melt").random() != stage_generator(9, "branch").random()
    assert stage_generator(9, "melt").random() != stage_generator(10, "melt").random()


def test_another_seed_gives_another_trajectory(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    one = short.run(atoms, calculator, tmp_path / "one", seed=1).trajectory("melt")
    other = short.run(atoms, calculator, tmp_path / "other", seed=2).trajectory("melt")
    assert np.abs(one.positions_A[-1] - other.positions_A[-1]).max() > 0.1


def test_a_calculator_for_each_stage(tmp_path: Path, atoms: Atoms, short: Protocol) -> None:
    stiff = CalculatorSpec("lj", options={"cutoff_A": 4.5, "epsilon_eV": 0.1})
    soft = CalculatorSpec("lj", options={"cutoff_A": 4.5, "epsilon_eV": 0.001})
    mixed = short.run(atoms, {"default": stiff, "Equilibrate": soft}, tmp_path / "mixed")
    all_stiff = short.run(atoms, stiff, tmp_path / "stiff")
    assert mixed.results["relax"] == all_stiff.results["relax"]
    ratio = (
        all_stiff.results["melt"]["potential_energy_eV"]
        / mixed.results["melt"]["potential_energy_eV"]
    )
    assert abs(ratio) > 5
    with pytest.raises(InputError, match="serves no stage"):
        short.run(atoms, {"defualt": stiff}, tmp_path / "typo")
    with pytest.raises(InputError, match="'relax' has no calculator"):
        short.run(atoms, {"melt": stiff}, tmp_path / "lacking")
    assert not (tmp_path / "typo").exists()
    assert not (tmp_path / "lacking").exists()
