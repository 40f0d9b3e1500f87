"""All calculators are tried before anything is written; later another potential is told apart."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.calculators.mixing import LinearCombinationCalculator, SumCalculator
from ase.stress import voigt_6_to_full_3x3_stress
from runs import edit_manifest
from test_calculators_espresso import HEADER

from mlmd import (
    CalculatorSpec,
    Equilibrate,
    EquilibrateVolume,
    Production,
    Protocol,
    Relax,
    Run,
    SampleInherentStructures,
)
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import InputError, RunDirectoryError, StoppedError
from mlmd.protocol.settings import RunSettings
from mlmd.run.stopping import StopToken

DYNAMICS: dict[str, Any] = {"temperature_K": 300.0, "timestep_fs": 2.0, "record_every_fs": 10.0}
MELT = Equilibrate(name="melt", duration_ps=0.2, **DYNAMICS)
SECOND = Production(name="second", duration_ps=0.02, **DYNAMICS)
SHORT = Protocol("short", (SECOND,))
LJ = CalculatorSpec("lj", options={"cutoff_A": 4.0})


class NoStress(LennardJones):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012


def salt() -> Atoms:
    return bulk("LiCl", "rocksalt", 5.13, cubic=True) * (2, 2, 2)


# --- faults of later stages

LATE = {
    "an element that it has not": (SECOND, "emt", "No EMT-potential for Li"),
    "a misspelt option": (SECOND, CalculatorSpec("lj", options={"cutof_A": 4.0}), "cutof_A"),
    "a cutoff too long": (SECOND, CalculatorSpec("lj", options={"cutoff_A": 8.0}), "cutoff 8.000"),
    "a model that is not there": (SECOND, "lj:large", "has no models"),
    "a module that is not there": (SECOND, "nomodule:make", "'nomodule' cannot be imported"),
    "a program that is not there": (SECOND, "vasp", "VASP"),
    "npt": (
        Production(name="second", duration_ps=0.02, ensemble="npt", **DYNAMICS),
        NoStress(cutoff_A=4.0),
        "needs stress for npt; the calculator NoStress gives none",
    ),
    "a volume": (
        EquilibrateVolume(name="second", duration_ps=0.2, **DYNAMICS),
        NoStress(cutoff_A=4.0),
        "needs stress to find the volume of zero pressure",
    ),
    "a cell to relax": (
        SampleInherentStructures(name="second", n_structures=2, every_ps=0.1),
        NoStress(cutoff_A=4.0),
        "needs stress to relax the cell",
    ),
}


@pytest.mark.parametrize("fault", LATE)
def test_faults_of_a_later_stage_are_told_before_the_first(fault, tmp_path, monkeypatch):
    for variable in ("MLMD_VASP_COMMAND", "ASE_VASP_COMMAND", "VASP_COMMAND"):
        monkeypatch.delenv(variable, raising=False)
    stage, calculator, said = LATE[fault]
    protocol = Protocol("two", (MELT, stage))
    with pytest.raises(InputError, match=said):
        protocol.run(salt(), {"default": LJ, "second": calculator}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_stage_is_named():
    protocol = Protocol("two", (MELT, SECOND))
    with pytest.raises(InputError, match=r"^stage 'second': "):
        protocol.run(salt(), {"default": LJ, "second": "emt"}, "unused")


@pytest.mark.parametrize("program", ["siesta", "espresso"])
def test_the_input_of_a_later_program_is_checked_and_it_is_not_run(program, tmp_path, monkeypatch):
    """A pseudopotential that is missing is told before the melt, without a call of the program."""
    stand_in = {"siesta": "siesta", "espresso": "pw_standin.py"}[program]
    path = Path(__file__).parent / "stand_ins" / stand_in
    folder = tmp_path / "pseudo"
    folder.mkdir()
    (folder / ("Li.psml" if program == "siesta" else "Li.upf")).write_text(
        "<psml> of Li\n" if program == "siesta" else HEADER.format("F")
    )
    options = {"command": shlex.join([sys.executable, str(path)]), "pseudopotentials": str(folder)}
    if program == "espresso":
        options["ecutwfc_Ry"] = 30
    spec = CalculatorSpec(program, options=options)
    monkeypatch.setattr(
        "mlmd.calculators.programs.base.ProgramCalculator.calculate", refuse_to_calculate
    )
    protocol = Protocol("two", (MELT, SECOND))
    with pytest.raises(InputError, match=r"^stage 'second': .*Cl"):
        protocol.run(salt(), {"default": LJ, "second": spec}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def refuse_to_calculate(*arguments: object) -> None:
    raise AssertionError("the program was run")


def test_a_stress_that_is_promised_and_not_there_is_recorded_as_none(tmp_path):
    class Promises(LennardJones):
        def get_property(self, name, atoms=None, allow_calculation=True):
            if name == "stress":
                raise PropertyNotImplementedError
            return super().get_property(name, atoms, allow_calculation)

        def calculate(self, *arguments):
            super().calculate(*arguments)
            del self.results["stress"]

    run = SHORT.run(salt(), Promises(cutoff_A=4.0), tmp_path / "run")
    assert run.trajectory("second").pressures_GPa is None
    npt = Protocol("npt", (Production(name="n", duration_ps=0.02, ensemble="npt", **DYNAMICS),))
    with pytest.raises(InputError, match="needs stress for npt"):
        npt.run(salt(), Promises(cutoff_A=4.0), tmp_path / "other")


# --- another potential in the same directory


class Springs(Calculator):
    """Atoms on springs in a perfect crystal: no energy and no forces, whatever the springs."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength, self.at_rest = strength, salt().positions

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        apart = self.atoms.positions - self.at_rest
        self.results = {
            "energy": 0.5 * self.strength * float((apart**2).sum()),
            "forces": -self.strength * apart,
        }


class Silent(LennardJones):
    """Does not say what it is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.parameters = {}


SWAPS = {
    "epsilon": (Silent(cutoff_A=4.0), Silent(cutoff_A=4.0, epsilon_eV=0.02 * (1 + 1e-4))),
    "sum": tuple(SumCalculator([LennardJones(cutoff_A=4.0) for _ in range(n)]) for n in (2, 3)),
    "weights": tuple(
        LinearCombinationCalculator([LennardJones(cutoff_A=4.0)], [weight]) for weight in (1, 1.01)
    ),
    "springs without force": (Springs(1.0), Springs(1.1)),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_another_object_is_refused_and_the_same_is_done(swap, tmp_path):
    first, second = SWAPS[swap]
    run = SHORT.run(salt(), first, tmp_path / "run")
    kept = (run.path / "run.json").read_bytes()
    with pytest.raises(RunDirectoryError, match="holds another run: calculator 'default' gives"):
        SHORT.run(salt(), second, tmp_path / "run")
    assert SHORT.run(salt(), first, tmp_path / "run").status == "done"
    assert (run.path / "run.json").read_bytes() == kept


def test_an_object_of_a_later_stage_is_known_too(tmp_path):
    protocol = Protocol("two", (Relax(name="relax", max_steps=2), SECOND))
    first, second = SWAPS["sum"]
    protocol.run(salt(), {"relax": LJ, "default": first}, tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="calculator 'default' gives"):
        protocol.run(salt(), {"relax": LJ, "default": second}, tmp_path / "run")


def test_single_precision_may_differ_by_rounding(tmp_path):
    class Single(Silent):
        def __init__(self, noise: float) -> None:
            super().__init__(cutoff_A=4.0)
            self.noise = noise

        def calculate(self, *arguments: Any) -> None:
            super().calculate(*arguments)
            forces = self.results["forces"] + self.noise
            self.results["forces"] = forces.astype(np.float32)

    SHORT.run(salt(), Single(0.0), tmp_path / "run")
    assert SHORT.run(salt(), Single(5e-4), tmp_path / "run").status == "done"
    with pytest.raises(RunDirectoryError, match=r"forces that differ by 0\.002 eV/A"):
        SHORT.run(salt(), Single(2e-3), tmp_path / "run")


def test_it_goes_on_with_another_where_versions_may_change(tmp_path):
    first, second = SWAPS["epsilon"]
    stop = StopToken()
    stop.reason = "enough"
    with pytest.raises(StoppedError):
        SHORT.run(salt(), first, tmp_path / "run", stop=stop)
    allowed = RunSettings(allow_version_change=True)
    run = SHORT.run(salt(), second, tmp_path / "run", settings=allowed)
    assert run.status == "done"
    events = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    (changed,) = [event for event in events if event["event"] == "calculator changed"]
    assert "eV/A" in changed["how"]


def test_of_a_run_that_recorded_nothing_it_is_said(tmp_path, caplog):
    run = SHORT.run(salt(), SWAPS["epsilon"][0], tmp_path / "run")
    edit_manifest(run.path, lambda content: content.update(calculator={}))
    assert SHORT.run(salt(), SWAPS["epsilon"][0], tmp_path / "run").status == "done"
    assert "cannot be told: nothing of it was recorded" in caplog.text


FACTORY = """
import json
from pathlib import Path
from mlmd.calculators.models.lennard_jones import LennardJones
SCALE = 1.0
def make(model=None, **options):
    file = Path(model or options["nested"]["files"][0])
    file = file / "weights.json" if file.is_dir() else file
    found = json.loads(file.read_text())
    return LennardJones(cutoff_A=4.0, epsilon_eV=SCALE * found["epsilon_eV"])
"""


def write_weights(folder: Path, epsilon_eV: float) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "weights.json"
    file.write_text(json.dumps({"epsilon_eV": epsilon_eV}))
    return file


@pytest.mark.parametrize("named_by", ["model", "an option", "a folder", "another interpreter"])
def test_a_file_of_weights_counts_by_its_content(named_by, tmp_path, monkeypatch):
    (tmp_path / "factory_of_tests.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    monkeypatch.setenv("PYTHONPATH", path)
    file = write_weights(tmp_path / "model", 0.02)
    fields: dict[str, Any] = {"model": str(file)}
    if named_by == "an option":
        fields = {"options": {"nested": {"files": [str(file)]}}}
    elif named_by == "a folder":
        fields = {"model": str(file.parent)}
    elif named_by == "another interpreter":
        fields["python"] = sys.executable
    spec = CalculatorSpec("factory_of_tests:make", **fields)
    first = SHORT.run(salt(), spec, tmp_path / "run")
    assert "sha256" in json.dumps(first.manifest.identity["calculators"])
    write_weights(tmp_path / "model", 0.03)
    with pytest.raises(RunDirectoryError, match=r"holds another run: calculators.default.*sha256"):
        SHORT.run(salt(), spec, tmp_path / "run")
    write_weights(tmp_path / "model", 0.02)
    assert SHORT.run(salt(), spec, tmp_path / "run").status == "done"


def test_a_factory_whose_code_has_changed_is_another_potential(tmp_path, monkeypatch):
    module = tmp_path / "changing_factory.py"
    module.write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = write_weights(tmp_path / "model", 0.02)
    spec = CalculatorSpec("changing_factory:make", model=str(file))
    SHORT.run(salt(), spec, tmp_path / "run")
    monkeypatch.setattr("changing_factory.SCALE", 1.1)
    with pytest.raises(RunDirectoryError, match="calculator 'default' gives"):
        SHORT.run(salt(), spec, tmp_path / "run")


# --- one object in several runs


def test_an_object_that_another_run_uses_is_refused_and_free_afterwards(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    class Waits(LennardJones):
        def calculate(self, *arguments: Any) -> None:
            super().calculate(*arguments)
            begun.set()
            assert go_on.wait(60)

    inner = Waits(cutoff_A=4.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(SHORT.run, salt(), inner, tmp_path / "first")
        assert begun.wait(60)
        try:
            for shared in (inner, SumCalculator([inner, LennardJones(cutoff_A=4.0)])):
                with pytest.raises(
                    InputError, match=r"Waits object is in use by the run in .*first"
                ):
                    SHORT.run(salt(), shared, tmp_path / "second")
            assert not (tmp_path / "second").exists()
        finally:
            go_on.set()
        assert first.result().status == "done"
    assert SHORT.run(salt(), inner, tmp_path / "second").status == "done"


def test_an_object_is_free_after_a_run_that_was_refused(tmp_path):
    calculator = LennardJones(cutoff_A=8.0)
    for _ in range(2):
        with pytest.raises(InputError, match=r"cutoff 8.000"):
            SHORT.run(salt(), calculator, tmp_path / "run")


def test_one_object_may_serve_several_stages(tmp_path):
    calculator = LennardJones(cutoff_A=4.0)
    protocol = Protocol("two", (Relax(name="relax", max_steps=2), SECOND))
    run = protocol.run(salt(), {"relax": calculator, "second": calculator}, tmp_path / "run")
    assert run.status == "done"


# --- calculators that move what they are given, and places


class Moves(LennardJones):
    """Wraps the atoms into the cell, as some calculators do, and puts them elsewhere."""

    def calculate(self, atoms: Atoms, *arguments: Any) -> None:
        super().calculate(atoms, *arguments)
        atoms.positions += 3 * atoms.cell.array[0]
        atoms.wrap()
        atoms.set_cell(atoms.cell.array * 1.01)


def test_a_calculator_that_moves_the_atoms_moves_nothing_that_is_recorded(tmp_path):
    protocol = Protocol("one", (Production(name="m", duration_ps=0.2, **DYNAMICS),))
    atoms = salt()
    atoms.rattle(0.1, seed=2)
    atoms.positions -= 0.1  # some are outside of the cell
    plain = protocol.run(atoms, LJ, tmp_path / "plain").trajectory("m")
    moved = protocol.run(atoms, Moves(cutoff_A=4.0), tmp_path / "moved").trajectory("m")
    assert np.array_equal(moved.positions_A, plain.positions_A)
    assert np.array_equal(moved.cell_A, plain.cell_A)
    assert np.array_equal(moved.pressures_GPa, plain.pressures_GPa)


EVERY_STAGE = Protocol(
    "every stage",
    (
        Relax(name="relax", max_steps=5),
        Equilibrate(name="npt", duration_ps=0.04, ensemble="npt", **DYNAMICS),
        Production(name="m", duration_ps=0.04, **DYNAMICS),
        SampleInherentStructures(name="glasses", n_structures=2, every_ps=0.02, max_steps=5),
    ),
)


def test_relaxations_and_npt_are_not_moved_either(tmp_path):
    atoms = salt()
    atoms.rattle(0.1, seed=2)
    atoms.positions -= 0.1
    runs = {
        name: EVERY_STAGE.run(atoms, calculator, tmp_path / name)
        for name, calculator in {"plain": LJ, "moved": Moves(cutoff_A=4.0)}.items()
    }
    for stage in ("npt", "m"):
        plain, moved = (runs[name].trajectory(stage) for name in ("plain", "moved"))
        assert np.array_equal(moved.positions_A, plain.positions_A)
        assert np.array_equal(moved.cell_A, plain.cell_A)
        assert np.array_equal(moved.pressures_GPa, plain.pressures_GPa)
        assert np.array_equal(moved.conserved_energies_eV, plain.conserved_energies_eV)
    assert runs["moved"].results["relax"] == runs["plain"].results["relax"]
    assert runs["moved"].results["glasses"] == runs["plain"].results["glasses"]


def test_every_stage_takes_what_calculators_give(tmp_path):
    """Energies of shape (1,), a free energy alone, single precision, a matrix of stress."""

    class Odd(LennardJones):
        implemented_properties = ["free_energy", "forces", "stress"]  # noqa: RUF012

        def calculate(self, *arguments: Any) -> None:
            super().calculate(*arguments)
            found = self.results
            self.results = {
                "free_energy": np.array([found["free_energy"]]),
                "forces": np.ascontiguousarray(found["forces"]),
                "stress": voigt_6_to_full_3x3_stress(found["stress"]),
            }

    atoms = salt()
    atoms.rattle(0.1, seed=2)
    plain = EVERY_STAGE.run(atoms, LJ, tmp_path / "plain")
    odd = EVERY_STAGE.run(atoms, Odd(cutoff_A=4.0), tmp_path / "odd")
    assert odd.results == plain.results
    for stage in ("npt", "m"):
        assert np.array_equal(
            odd.trajectory(stage).pressures_GPa, plain.trajectory(stage).pressures_GPa
        )


@pytest.mark.parametrize("at", [2, 12, 40, 80])
def test_a_working_directory_that_changes_changes_nothing(at, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()

    class Leaves(LennardJones):
        calls = 0

        def calculate(self, *arguments: Any) -> None:
            super().calculate(*arguments)
            type(self).calls += 1
            if self.calls == at:
                os.chdir(tmp_path / "elsewhere")

    monkeypatch.chdir(tmp_path)
    protocol = Protocol("two", (Relax(name="relax", max_steps=5), MELT))
    run = protocol.run(salt(), Leaves(cutoff_A=4.0), "run")
    assert run.status == "done"
    assert run.trajectory("melt").positions_A.shape == (21, 64, 3)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert Run.open(tmp_path / "run").status == "done"


# --- limits of guards are no identity


def test_limits_of_guards_may_change_between_two_commands(tmp_path):
    protocol = Protocol("one", (MELT, SECOND))
    stop = StopToken()
    stop.reason = "enough"
    with pytest.raises(StoppedError):
        protocol.run(salt(), LJ, tmp_path / "run", stop=stop)
    changed = protocol.with_settings({"melt.max_halvings": 5, "melt.guard": {"max_force_eV_A": 50}})
    run = changed.run(salt(), LJ, tmp_path / "run")
    assert run.status == "done"
    assert run.stages[0].settings["max_halvings"] == 5
    assert run.manifest.protocol["stages"][0]["guard"] == {"max_force_eV_A": 50}
    assert "guards changed" in (run.path / "log.jsonl").read_text()
    # A finished run is still the same one.
    assert protocol.run(salt(), LJ, tmp_path / "run").results == run.results
