"""Runs that an earlier version recorded: still read, still themselves, still gone on with."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Relax, Run
from mlmd.protocol.calculators import StageCalculators, recorded_name
from mlmd.protocol.settings import RunSettings
from mlmd.protocol.start import Asked
from mlmd.run.identity import IDENTITY_VERSION, digest
from mlmd.run.manifest import SCHEMA
from mlmd.run.measured import measured_stages

pytestmark = pytest.mark.kernels

FIXTURES = Path(__file__).parent / "fixtures"
SPEC = CalculatorSpec("lj", options={"cutoff_A": 4.5})
PROTOCOL = Protocol(
    "small",
    (
        Relax(name="relax", max_force_eV_A=0.01, max_steps=5),
        Equilibrate(name="melt", temperature_K=800.0, duration_ps=0.04, record_every_fs=4.0),
        Production(
            name="production",
            temperature_K=800.0,
            duration_ps=0.08,
            record_every_fs=4.0,
            record_velocities=True,
        ),
    ),
    reference="ours",
)
# What decided the forces of these is in the packages that constraints.txt pins.
SPECS = {
    "lj": {"name": "lj", "options": {"cutoff_A": 4.5}},
    "emt": {"name": "emt"},
    "chgnet": {"name": "chgnet"},
    "chgnet 0.2.0": {
        "name": "chgnet", "model": "0.2.0", "device": "cpu", "threads": 2, "dtype": "float32",
    },
    "sevennet": {"name": "sevennet"},
    "own": {"name": "json:loads", "options": {"a": [1, 2.5, "x"]}},
}  # fmt: skip


def copy_of(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "runs_schema_1" / name, tmp_path / name))


def test_a_finished_run_is_read_with_what_it_found(tmp_path):
    run = Run.open(copy_of("finished", tmp_path))
    assert json.loads((run.path / "run.json").read_text())["schema"] == 1
    assert run.status == "done"
    assert run.results["production"]["n_frames"] == 21
    assert list(measured_stages(run)) == ["production"]
    trajectory = run.trajectory("production")
    assert trajectory.uniform_interval_fs() == pytest.approx(4.0)
    assert trajectory.velocities_A_fs.shape == (21, 8, 3)
    assert run.manifest.identity_version == 1


def test_a_run_of_before_is_the_same_run(tmp_path):
    """The same command says that it is done; its bytes stay."""
    folder = copy_of("finished", tmp_path)
    before = (folder / "run.json").read_bytes()
    run = PROTOCOL.run(Run.open(folder).atoms, SPEC, folder, seed=7)
    assert run.status == "done"
    assert (folder / "run.json").read_bytes() == before


def test_a_stopped_run_of_before_goes_on(tmp_path):
    folder = copy_of("stopped", tmp_path)
    there = Run.open(folder)
    assert there.status == "stopped"
    early = there.trajectory("production")
    assert 1 < len(early) < 21
    run = PROTOCOL.run(
        there.atoms, SPEC, folder, seed=7, settings=RunSettings(allow_version_change=True)
    )
    assert run.status == "done"
    whole = run.trajectory("production")
    assert len(whole) == 21
    n = len(early) - 1
    assert np.array_equal(whole.positions_A[:n], early.positions_A[:n])
    # What came before the stop joins what came after without a jump: v dt, to the order of a dt^2.
    step_A = np.diff(whole.positions_A, axis=0)
    velocity = 0.5 * (whole.velocities_A_fs[1:] + whole.velocities_A_fs[:-1])
    assert np.abs(step_A - 4.0 * velocity).max() < 2e-3
    content = json.loads((folder / "run.json").read_text())
    assert content["schema"] == SCHEMA
    assert [stage["measured"] for stage in content["stages"]] == [False, False, True]
    assert content["identity_sha256"] == there.manifest.identity_sha256


@pytest.mark.parametrize("calculator", SPECS)
def test_identities_are_those_that_were_recorded(calculator):
    """For every recipe; a rule that changes gets another ``identity_version``."""
    recorded = json.loads((FIXTURES / "identities.json").read_text())
    pytest.importorskip("chgnet" if "chgnet" in calculator else "json")
    pytest.importorskip("sevenn" if calculator == "sevennet" else "json")
    atoms = Run.open(FIXTURES / "runs_schema_1" / "finished").atoms
    spec = CalculatorSpec(**SPECS[calculator])
    names = {key.partition(", ")[0] for key in recorded}
    assert len(names) == 6
    for name in names:
        protocol = Protocol.load(name)
        asked = Asked(protocol, atoms, StageCalculators(spec, protocol), 7)
        assert digest(asked.identity(version=1)) == recorded[f"{name}, {calculator}"], name


def test_a_new_run_records_what_it_was_computed_with(tmp_path):
    atoms = Run.open(copy_of("finished", tmp_path)).atoms
    run = PROTOCOL.run(atoms, SPEC, tmp_path / "new", seed=7)
    manifest = run.manifest
    atoms.calc = SPEC.load()
    probe = manifest.calculator["probe"]
    assert probe["energy_eV"] == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    assert np.allclose(probe["forces_eV_A"], atoms.get_forces(), rtol=0, atol=1e-12)
    assert manifest.identity_version == IDENTITY_VERSION == 2
    assert manifest.reproducible is True
    assert "one thread" in manifest.reproducible_because
    assert set(manifest.checksums) == {"structure.extxyz"}
    other = PROTOCOL.run(atoms, atoms.calc, tmp_path / "ready-made", seed=7).manifest
    assert other.reproducible is None
    assert "ready-made" in other.reproducible_because


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (
            "mlmd.calculators.models.lennard_jones.LennardJones",
            "mlmd.calculators.lennard_jones.LennardJones",
        ),
        (
            "mlmd.calculators.programs.cp2k.calculator.Cp2k",
            "mlmd.calculators.cp2k.calculator.Cp2kCalculator",
        ),
        (
            "mlmd.calculators.isolation.isolated.IsolatedCalculator",
            "mlmd.calculators.isolation.isolated.IsolatedCalculator",
        ),
        ("chgnet.model.dynamics.CHGNetCalculator", "chgnet.model.dynamics.CHGNetCalculator"),
    ],
)
def test_a_ready_made_calculator_that_has_moved_is_the_same(now, then):
    module, _, name = now.rpartition(".")
    assert recorded_name(now) == then
    if module.startswith("mlmd."):
        assert hasattr(importlib.import_module(module), name)


def test_a_run_with_a_ready_made_calculator_goes_on(tmp_path):
    """What an earlier version wrote for an object of LennardJones."""
    atoms = Run.open(copy_of("finished", tmp_path)).atoms
    run = PROTOCOL.run(atoms, SPEC.load(), tmp_path / "run", seed=7)
    assert run.manifest.identity["calculators"] == {
        "default": {
            "class": "mlmd.calculators.lennard_jones.LennardJones",
            "parameters": {"cutoff_A": 4.5, "epsilon_eV": None, "sigma_A": None},
        }
    }
