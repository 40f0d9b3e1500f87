"""Calculators in another interpreter: the same numbers, and every way in which it can end."""

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError

from mlmd import CalculatorSpec, Protocol, Run, load_calculator
from mlmd.errors import CalculatorError, InputError, StageFailedError
from mlmd.protocol.settings import RunSettings

HERE = sys.executable
LJ = {"sigma_A": {"Li": 2.0, "Cl": 3.0}, "epsilon_eV": 0.05, "cutoff_A": 4.4}

FACTORIES = """
import os, sys, time
import numpy as np
from mlmd.calculators.models.lennard_jones import LennardJones

class Faulty(LennardJones):
    # Does it once: a file says that it has been done.
    def __init__(self, fault, at, mark):
        super().__init__(sigma_A=2.5, cutoff_A=4.4)
        self.fault, self.at, self.mark, self.calls = fault, at, mark, 0

    def calculate(self, *arguments):
        super().calculate(*arguments)
        self.calls += 1
        if self.calls != self.at or os.path.exists(self.mark):
            return
        open(self.mark, "w").close()
        if self.fault == "die":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(7)
        if self.fault == "hang":
            print("going to sleep", flush=True)
            time.sleep(1000)
        if self.fault == "raise":
            raise ValueError("no such\\nelement")
        if self.fault == "nan":
            self.results["forces"][0, 0] = np.nan

def faulty(fault="none", at=2, mark="mark"):
    return Faulty(fault, at, mark)

class NoStress(LennardJones):
    implemented_properties = ["energy", "forces"]

def no_stress():
    return NoStress(sigma_A=2.5, cutoff_A=4.4)

def chatty():
    os.write(1, b"x" * 1_000_000)
    return LennardJones(cutoff_A=4.4)

def broken():
    raise RuntimeError("the library is of another age")
"""


@pytest.fixture(autouse=True)
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of the user's own, found there as well."""
    folder = tmp_path / "on-the-path"
    folder.mkdir()
    (folder / "far_away.py").write_text(FACTORIES)
    monkeypatch.setenv("PYTHONPATH", str(folder))


@pytest.fixture
def salt() -> Atoms:
    """A rattled triclinic cell with the species interleaved."""
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True) * (2, 2, 2)
    order = np.random.default_rng(3).permutation(len(atoms))
    atoms = atoms[order]
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.05 * np.tri(3, k=-1)), scale_atoms=True)
    atoms.rattle(0.1, seed=4)
    return atoms


def faulty(fault: str, tmp_path: Path, **changes: object) -> CalculatorSpec:
    options = {"fault": fault, "mark": str(tmp_path / "mark")}
    return CalculatorSpec("far_away:faulty", python=HERE, options=options, **changes)


def workers(parent: int | None = None) -> list[int]:
    """Return the workers of a process, this one where none is named."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
                state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            if b"bootstrap.py" in line and state != "Z" and int(ppid) == (parent or os.getpid()):
                found.append(int(entry.name))
    return found


def test_same_numbers_in_the_same_order(salt: Atoms) -> None:
    here, there = load_calculator("lj", **LJ), load_calculator("lj", python=HERE, **LJ)
    for _ in range(2):
        salt.rattle(0.05, seed=5)
        energy, forces, stress = (
            here.get_property(name, salt) for name in ("energy", "forces", "stress")
        )
        # Through atomic units and back: rounding only.
        assert there.get_property("energy", salt) == pytest.approx(energy, rel=1e-13)
        assert there.get_property("forces", salt) == pytest.approx(forces, abs=1e-13)
        assert there.get_property("stress", salt) == pytest.approx(stress, abs=1e-15)
    assert np.abs(forces).max() > 0.1
    assert np.abs(stress).max() > 1e-3


def test_other_atoms_in_the_next_call(salt: Atoms) -> None:
    here, there = load_calculator("lj", **LJ), load_calculator("lj", python=HERE, **LJ)
    swapped = salt.copy()
    swapped.numbers = swapped.numbers[::-1]
    for atoms in (salt, swapped, salt[:20], salt):
        assert there.get_property("forces", atoms) == pytest.approx(
            here.get_property("forces", atoms), abs=1e-12
        )


def test_molecule_without_a_cell_has_no_stress() -> None:
    here, there = load_calculator("emt"), load_calculator("emt", python=HERE)
    atoms = molecule("CO")
    atoms.numbers[:] = 29
    atoms.rattle(0.1, seed=1)
    assert there.get_property("forces", atoms) == pytest.approx(
        here.get_property("forces", atoms), abs=1e-12
    )
    assert "stress" not in there.results


def test_missing_stress_is_not_zero(salt: Atoms) -> None:
    there = load_calculator("far_away:no_stress", python=HERE)
    assert "stress" not in there.implemented_properties
    there.get_property("forces", salt)
    with pytest.raises(PropertyNotImplementedError):
        there.get_property("stress", salt)


def test_worker_that_dies_is_an_error_with_its_last_words(salt: Atoms, tmp_path: Path) -> None:
    there = faulty("die", tmp_path).load()
    before = there.get_property("forces", salt).copy()
    start = salt.get_positions()
    salt.rattle(0.1, seed=8)
    with pytest.raises(CalculatorError, match=r"exit code 7.*the last words") as caught:
        there.get_property("forces", salt)
    assert "\n" not in str(caught.value)
    salt.positions[:] = start
    assert (there.get_property("forces", salt) == before).all()


def test_worker_that_hangs_is_ended(salt: Atoms, tmp_path: Path) -> None:
    earlier = workers()
    there = faulty("hang", tmp_path, timeout_s=2.0).load()
    there.get_property("forces", salt)
    (worker,) = set(workers()) - set(earlier)
    salt.rattle(0.1, seed=8)
    started = time.monotonic()
    with pytest.raises(CalculatorError, match=r"2 s.*going to sleep"):
        there.get_property("forces", salt)
    assert time.monotonic() - started < 60  # not the half hour of a call without a limit
    assert not Path(f"/proc/{worker}").exists()
    assert np.isfinite(there.get_property("forces", salt)).all()


def test_exception_there_leaves_the_worker_in_place(salt: Atoms, tmp_path: Path) -> None:
    there = faulty("raise", tmp_path).load()
    there.get_property("forces", salt)
    worker = workers()
    salt.rattle(0.1, seed=8)
    with pytest.raises(CalculatorError, match="ValueError: no such element"):
        there.get_property("forces", salt)
    assert np.isfinite(there.get_property("forces", salt)).all()
    assert workers() == worker


def test_forces_that_are_not_finite_reach_the_caller(salt: Atoms, tmp_path: Path) -> None:
    there = faulty("nan", tmp_path).load()
    there.get_property("forces", salt)
    salt.rattle(0.1, seed=8)
    assert not np.isfinite(there.get_property("forces", salt)).any()


def test_output_of_a_package_does_not_get_in_the_way(salt: Atoms) -> None:
    there = load_calculator("far_away:chatty", python=HERE)
    assert np.isfinite(there.get_property("forces", salt)).all()


@pytest.mark.parametrize(
    ("name", "fields", "error", "text"),
    [
        ("lj", {"model": "x"}, InputError, "no models"),
        ("lj", {"options": {"sigma": 1}}, InputError, "sigma_A"),
        ("far_away:broken", {}, InputError, "another age"),
        ("far_away:absent", {}, InputError, "absent"),
        ("lj", {"python": "/no/such/python"}, InputError, "/no/such/python"),
        ("lj", {"python": "/bin/false"}, InputError, "/bin/false"),
    ],
)
def test_what_cannot_be_made_there(
    name: str,
    fields: dict[str, object],
    error: type[Exception],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spec = CalculatorSpec(name, **{"python": HERE, **fields})
    with pytest.raises(error, match=text) as caught:
        spec.load()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("mlmd-*"))


def test_physics_is_that_of_the_other_interpreter_and_the_same() -> None:
    here, there = (CalculatorSpec("lj", options=LJ, python=python) for python in (None, HERE))
    assert there.physics() == here.physics()
    assert CalculatorSpec("emt", python=HERE).packages() == CalculatorSpec("emt").packages()


def test_pickled_calculator_gets_a_worker_of_its_own(salt: Atoms) -> None:
    earlier = workers()
    there = load_calculator("lj", python=HERE, **LJ)
    again = pickle.loads(pickle.dumps(there))
    assert (again.get_property("forces", salt) == there.get_property("forces", salt)).all()
    assert len(workers()) == len(earlier) + 2


def test_nothing_is_left_when_the_caller_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import time
        from ase.build import bulk
        from mlmd import load_calculator
        import sys
        there = load_calculator("lj", python=sys.executable)
        there.get_property("forces", bulk("Ar", cubic=True) * (3, 3, 3))
        print("ready", flush=True)
        time.sleep(100)
    """)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    caller = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == "ready\n"
    (worker,) = workers(caller.pid)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


PROTOCOL = {
    "schema": 1,
    "name": "short",
    "stages": [
        {
            "name": "melt",
            "class": "Equilibrate",
            "temperature_K": 500,
            "duration_ps": 0.1,
            "timestep_fs": 1.0,
            "record_every_fs": 5.0,
        }
    ],
}


@pytest.mark.parametrize("fault", ["die", "hang", "raise"])
def test_run_goes_on_bit_for_bit_after_a_fault(salt: Atoms, tmp_path: Path, fault: str) -> None:
    protocol = Protocol.from_dict(PROTOCOL)
    options = {"fault": fault, "at": 60, "mark": str(tmp_path / "mark")}
    spec = CalculatorSpec("far_away:faulty", python=HERE, options=options, timeout_s=3.0)
    settings = RunSettings(checkpoint_every_s=1e-6)
    with pytest.raises(StageFailedError, match="far_away:faulty"):
        protocol.run(salt, spec, tmp_path / "run", settings=settings)
    assert Run.open(tmp_path / "run").status == "failed"
    assert (tmp_path / "mark").exists()
    run = protocol.run(salt, spec, tmp_path / "run", settings=settings)
    # The mark is there: this one sees no fault. Another physics only by its options.
    whole = protocol.run(salt, spec, tmp_path / "whole", settings=settings)
    one, other = (each.trajectory("melt") for each in (run, whole))
    assert (one.positions_A == other.positions_A).all()
    assert len(one) == 21


def test_run_begun_here_goes_on_there(salt: Atoms, tmp_path: Path) -> None:
    protocol = Protocol.from_dict(PROTOCOL)
    here, there = (CalculatorSpec("lj", options=LJ, python=python) for python in (None, HERE))
    longer = {"melt": 0.15}
    protocol.run(salt, here, tmp_path / "run")
    run = protocol.run(salt, there, tmp_path / "run", extend=longer)
    whole = protocol.run(salt, here, tmp_path / "whole", extend=longer)
    assert len(run.trajectory("melt")) == 31
    assert run.trajectory("melt").positions_A == pytest.approx(
        whole.trajectory("melt").positions_A, abs=1e-5
    )
    assert run.manifest.sessions[-1]["calculators"]["default"]["python"] == HERE


def test_a_worker_that_starts_again_finds_the_files_of_its_place(tmp_path, monkeypatch):
    """The working directory has changed since, and the model is named relative to the first."""
    (tmp_path / "here").mkdir()
    (tmp_path / "away").mkdir()
    (tmp_path / "here" / "weights.txt").write_text("0.07")
    (tmp_path / "on-the-path" / "by_file.py").write_text(
        "from mlmd.calculators.models.lennard_jones import LennardJones\n"
        "def make(model):\n"
        "    return LennardJones(epsilon_eV=float(open(model).read()), cutoff_A=4.4)\n"
    )
    monkeypatch.chdir(tmp_path / "here")
    calculator = load_calculator("by_file:make", model="weights.txt", python=HERE)
    atoms = bulk("LiCl", "rocksalt", 5.13, cubic=True) * (2, 2, 2)
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    calculator.close()
    monkeypatch.chdir(tmp_path / "away")
    atoms.rattle(0.01, seed=1)
    assert atoms.get_potential_energy() != before
    calculator.close()
