"""The server of many walkers: each gets its own numbers, whatever the others do."""

from __future__ import annotations

import copy
import ctypes
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from mlmd import CalculatorSpec, load_calculator
from mlmd.calculators import batched, evaluate
from mlmd.calculators.batched import BatchedCalculator, BatchServer
from mlmd.calculators.evaluation import Evaluator
from mlmd.errors import CalculatorError, InputError

LONG_S = 60.0
"""After which a thread is taken to hang."""


def value_of(atoms: Atoms) -> float:
    """What tells one walker from another: a sum over all that a model looks at."""
    weights = np.arange(1, 3 * len(atoms) + 1)
    return float(
        weights @ atoms.positions.ravel()
        + atoms.numbers.sum()
        + atoms.cell.array.sum()
        + atoms.get_initial_charges().sum()
        + 10 * float(atoms.info.get("charge", 0))
        + 100 * atoms.pbc.sum()
    )


class Cheap(Calculator):
    """A model that computes nothing, and can be made to fail on what it is given."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def __init__(self, fails: Callable[[list[Atoms]], None] | None = None) -> None:
        super().__init__()
        self.fails = fails or (lambda structures: None)
        self.sizes: list[int] = []

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = self.calculate_many([atoms], properties)[0]

    def calculate_many(self, structures, properties):
        self.sizes.append(len(structures))
        self.fails(list(structures))
        return [self.of_one(atoms, properties) for atoms in structures]

    def of_one(self, atoms, properties):
        value = value_of(atoms)
        results = {"energy": value, "free_energy": value}
        if {"forces", "stress"} & set(properties):
            results["forces"] = atoms.positions + value
            results["stress"] = np.full(6, value)
        return results


class Graphs(Cheap):
    """The same, which says of edges that there are ten of each atom."""

    spec_name = "cheap"

    def of_one(self, atoms, properties):
        return {**super().of_one(atoms, properties), "num_edges": 10 * len(atoms)}


class OutOfMemoryError(RuntimeError):
    """As torch has one, which is no MemoryError."""


def walker(seed: int, n_atoms: int | None = None) -> Atoms:
    rng = np.random.default_rng(seed)
    n_atoms = n_atoms or int(rng.integers(1, 9))
    return Atoms(f"Li{n_atoms}", rng.uniform(0, 9, (n_atoms, 3)), cell=[9.0] * 3, pbc=True)


def assert_own(atoms: Atoms) -> None:
    """The numbers are those of these atoms where they are now."""
    value = value_of(atoms)
    assert np.allclose(atoms.get_forces(), atoms.positions + value, rtol=1e-12)
    assert atoms.get_potential_energy() == pytest.approx(value, rel=1e-12)


def steps(atoms: Atoms, n_steps: int, seed: int = 0) -> None:
    for number in range(n_steps):
        atoms.rattle(0.1, seed=seed + number)
        assert_own(atoms)


@contextmanager
def threads(n_threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(n_threads)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def together(server: BatchServer, structures: list[Atoms], do: Callable[[Atoms], object]) -> list:
    """Do something with each in a thread of its own; return what came of it, or the error."""
    for atoms in structures:
        atoms.calc = server.calculator()
    with threads(len(structures)) as pool:
        tasks = [pool.submit(do, atoms) for atoms in structures]
        return [task.exception(LONG_S) or task.result() for task in tasks]


class Killed(BaseException):
    """Put into a thread from outside."""


def raise_in(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(Killed)
    )


def one_schedule(seed: int) -> None:
    """Walkers that come, go, sleep, ask this and that, fail, die; a server closed at any time."""
    rng = np.random.default_rng(seed)
    unlucky = rng.integers(1, 1000, 3)

    def fails(structures):
        if any(int(1000 * atoms.positions[0, 0]) % 1000 in unlucky for atoms in structures):
            raise ValueError("unlucky")

    server = BatchServer((Graphs if seed % 2 else Cheap)(fails), max_atoms=int(rng.integers(1, 40)))
    wrong: list[BaseException] = []
    closes = bool(rng.integers(0, 2))
    began = threading.Event()

    def run(number: int) -> None:
        mine = np.random.default_rng((seed, number))
        try:
            if number == 0:
                began.set()
            atoms = walker(seed * 100 + number)
            atoms.calc = server.calculator()
            for _ in range(mine.integers(1, 12)):
                what = mine.integers(0, 10)
                if what == 0:
                    time.sleep(mine.uniform(0, 0.003))
                elif what == 1:
                    atoms.calc.close()
                elif what == 2 and number % 3 == 0:
                    return
                elif what == 3:
                    atoms.calc = server.calculator()
                elif what == 4:
                    assert np.allclose(atoms.get_stress(), value_of(atoms))
                elif what == 5:
                    assert atoms.get_potential_energy() == pytest.approx(value_of(atoms))
                else:
                    atoms.positions += mine.normal(size=atoms.positions.shape)
                    assert_own(atoms)
        except (ValueError, CalculatorError, Killed) as error:
            if isinstance(error, CalculatorError) and not closes:
                wrong.append(error)
        except BaseException as error:
            wrong.append(error)

    running = [
        threading.Thread(target=run, args=(number,), daemon=True)
        for number in range(rng.integers(2, 9))
    ]
    for thread in running:
        thread.start()
    if rng.integers(0, 3) == 0 and began.wait(LONG_S):
        raise_in(running[0])
    if closes:
        time.sleep(rng.uniform(0, 0.006))
        server.close()
    for thread in running:
        thread.join(LONG_S)
        assert not thread.is_alive(), f"schedule {seed} hangs"
    server.close()
    assert not wrong, f"schedule {seed}: {wrong[0]!r}"
    assert not server._thread.is_alive()


def test_no_random_schedule_hangs_or_mixes_walkers_up():
    for seed in range(120):
        one_schedule(seed)


@pytest.mark.slow
def test_no_schedule_of_a_thousand_hangs_or_mixes_walkers_up():
    for seed in range(200, 1200):
        one_schedule(seed)


def test_two_hundred_walkers_of_which_half_leave_early():
    model = Cheap(lambda structures: time.sleep(0.005))
    with BatchServer(model) as server:
        structures = [walker(seed) for seed in range(200)]

        def run(atoms):
            stays = atoms.calc.number % 2 == 0
            steps(atoms, 12 if stays else 3)
            if stays or atoms.calc.number % 4 == 1:
                atoms.calc.close()  # the others just end

        assert together(server, structures, run) == [None] * 200
        assert server.n_computed == 100 * 12 + 100 * 3
        # Those who stay are not kept waiting for those who left, nor computed one by one.
        assert server.n_batches < 300


def test_walkers_that_ask_at_one_time_are_one_batch():
    model = Cheap(lambda structures: time.sleep(0.002))
    with BatchServer(model) as server:
        structures = [walker(seed) for seed in range(8)]
        assert together(server, structures, lambda atoms: steps(atoms, 50)) == [None] * 8
        assert server.n_computed == 400
        assert np.mean(model.sizes) > 4


def test_each_failure_is_of_one_walker():
    def fails(structures):
        for atoms in structures:
            if not np.isfinite(atoms.positions).all():
                raise CalculatorError("positions are not finite")
            if "Xe" in atoms.symbols:
                raise InputError("the model does not know Xe")
            if len(atoms) == 13:
                raise ZeroDivisionError("thirteen")

    structures = [walker(seed, 4) for seed in range(9)]
    structures[2].positions[1, 1] = np.nan
    structures[4].symbols[0] = "Xe"
    structures[7] = walker(7, 13)
    model = Cheap(fails)
    with BatchServer(model) as server:
        found = together(server, structures, lambda atoms: atoms.get_forces())
        kinds = [type(one).__name__ for one in found]
        assert kinds == [
            *["ndarray"] * 2,
            "CalculatorError",
            "ndarray",
            "InputError",
            *["ndarray"] * 2,
            "ZeroDivisionError",
            "ndarray",
        ]
        for place in (0, 1, 3, 5, 6, 8):
            assert np.allclose(
                found[place], structures[place].positions + value_of(structures[place])
            )
        # And they go on, also those that failed.
        structures[2].positions[1, 1] = 0.5
        assert_own(structures[2])
        assert_own(structures[0])


@pytest.mark.parametrize("kind", [OutOfMemoryError, MemoryError])
@pytest.mark.parametrize("model_of", [Graphs, Cheap])
def test_out_of_memory_halves_the_batch_and_later_ones_keep_to_it(kind, model_of, caplog):
    fits = 24  # atoms, of ten edges each where the model has edges

    def fails(structures):
        if sum(map(len, structures)) > fits:
            # As the models' own classes wrap what their packages raise.
            raise CalculatorError("the model failed") from kind("no memory")

    model = model_of(fails)
    structures = [walker(seed, 4) for seed in range(16)]
    with BatchServer(model) as server:
        assert together(server, structures, lambda atoms: steps(atoms, 6)) == [None] * 16
        assert "did not fit into memory" in caplog.text
        model.sizes.clear()
        assert together(server, structures, lambda atoms: steps(atoms, 6, 50)) == [None] * 16
        # New walkers, of which more edges are guessed, in the first batches; then what fits.
        assert max(model.sizes) * 4 <= fits
        assert max(model.sizes) > 1


def test_one_that_does_not_fit_alone_is_its_own_failure():
    def fails(structures):
        if sum(map(len, structures)) > 20:
            raise MemoryError

    structures = [walker(1, 2), walker(2, 30), walker(3, 2)]
    with BatchServer(Graphs(fails)) as server:
        found = together(server, structures, lambda atoms: atoms.get_forces())
        assert [type(one) for one in found] == [np.ndarray, MemoryError, np.ndarray]


@pytest.mark.parametrize(("bounds", "most"), [({"max_atoms": 10}, 2), ({"max_edges": 130}, 3)])
def test_a_batch_keeps_to_its_bounds(bounds, most):
    model = Graphs()
    structures = [walker(seed, 4) for seed in range(12)]
    with BatchServer(model, **bounds) as server:
        for atoms in structures:
            atoms.calc = server.calculator()
            atoms.get_forces()  # now it is known that it has forty edges
        model.sizes.clear()
        with threads(12) as pool:
            for task in [pool.submit(steps, atoms, 10) for atoms in structures]:
                task.result(LONG_S)
        assert max(model.sizes) == most
        large = walker(1, 50)
        large.calc = server.calculator()
        assert_own(large)


@pytest.mark.parametrize("bounds", [{"max_atoms": 0}, {"max_edges": -5}, {"max_atoms": 2.5}])
def test_bounds_that_are_none_are_refused(bounds):
    with pytest.raises(InputError, match=next(iter(bounds))) as caught:
        BatchServer(Cheap(), **bounds)
    assert "\n" not in str(caught.value)


def test_a_server_whose_thread_dies_lets_nobody_wait():
    def fails(structures):
        if any("He" in atoms.symbols for atoms in structures):
            raise SystemExit("the model\nends the thread")

    structures = [walker(seed, 3) for seed in range(6)]
    structures[3].symbols[:] = "He"
    server = BatchServer(Cheap(fails))
    began = time.perf_counter()
    found = together(server, structures, lambda atoms: steps(atoms, 500))
    assert time.perf_counter() - began < 0.8 * batched.LOOK_EVERY_S
    for error in found:
        assert isinstance(error, CalculatorError)
        assert "SystemExit: the model ends the thread" in str(error)
        assert "\n" not in str(error)
    with pytest.raises(CalculatorError, match="does not answer: it failed"):
        structures[0].get_forces()
    server.close()


def test_closing_answers_those_who_wait():
    gate = threading.Event()
    in_model = threading.Event()

    def fails(structures):
        in_model.set()
        gate.wait(LONG_S)

    server = BatchServer(Cheap(fails), max_atoms=1)
    structures = [walker(seed, 3) for seed in range(4)]
    for atoms in structures:
        atoms.calc = server.calculator()
    with threads(5) as pool:
        tasks = [pool.submit(atoms.get_forces) for atoms in structures]
        in_model.wait(LONG_S)
        while len(server._waiting) < 3:
            time.sleep(0.001)
        closing = pool.submit(server.close)
        while server._ended is None:
            time.sleep(0.001)
        gate.set()
        closing.result(LONG_S)
        errors = [task.exception(LONG_S) for task in tasks]
    # The one that was being computed has its forces.
    assert errors.count(None) == 1
    assert sum(isinstance(error, CalculatorError) for error in errors) == 3
    server.close()
    structures[0].rattle(0.1)
    with pytest.raises(CalculatorError, match="it was closed"):
        structures[0].calc.get_property("energy", structures[0])


def test_ctrl_c_while_waiting_leaves_the_server_to_the_others():
    gate = threading.Event()

    def fails(structures):
        if len(structures[0]) == 1:
            gate.wait(LONG_S)

    with BatchServer(Cheap(fails)) as server:
        blocker, mine = walker(1, 1), walker(2, 5)
        blocker.calc, mine.calc = server.calculator(), server.calculator()
        assert_own(mine)
        with threads(1) as pool:
            task = pool.submit(blocker.get_forces)
            while not server.model.sizes or server._waiting:
                time.sleep(0.001)
            mine.rattle(0.1, seed=1)
            timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                mine.get_forces()
            assert not server._waiting
            assert mine.calc not in server._expected
            gate.set()
            task.result(LONG_S)
        assert_own(mine)
        mine.rattle(0.1, seed=2)
        assert_own(mine)


def test_two_threads_on_one_calculator_do_not_get_each_others_forces():
    with BatchServer(Cheap(lambda structures: time.sleep(0.002))) as server:
        calculator = server.calculator()
        structures = [walker(1, 4), walker(2, 4)]
        refused: list[str] = []

        def run(atoms):
            atoms.calc = calculator
            for number in range(30):
                atoms.rattle(0.1, seed=number)
                try:
                    calculator.calculate(atoms, ["forces"], ["positions"])
                except InputError as error:
                    refused.append(str(error))

        with threads(2) as pool:
            for task in [pool.submit(run, atoms) for atoms in structures]:
                task.result(LONG_S)
        assert refused
        assert set(refused) == {refused[0]}
        assert "in use by another thread" in refused[0]
        assert "\n" not in refused[0]
        assert_own(structures[0])


def test_nothing_fools_it_about_what_has_changed():
    """Where only positions changed it keeps the rest of the copy that it has."""
    with BatchServer(Cheap()) as server:
        atoms = walker(3, 5)
        atoms.calc = server.calculator()
        changes: list[Callable[[], object]] = [
            lambda: atoms.rattle(0.1, seed=1),
            lambda: atoms.set_cell([9, 10, 11.0]),
            lambda: atoms.set_cell([9, 10, 12.0], scale_atoms=True),
            lambda: atoms.symbols.__setitem__(2, "Na"),
            lambda: (atoms.rattle(0.1, seed=2), atoms.symbols.__setitem__(1, "K")),
            lambda: atoms.set_initial_charges(np.arange(5.0)),
            lambda: (atoms.rattle(0.1, seed=3), atoms.set_initial_charges(np.arange(5.0) * 2)),
            lambda: (atoms.rattle(0.1, seed=4), atoms.info.update(charge=3)),
            lambda: atoms.set_pbc((True, False, True)),
            lambda: atoms.append("Cl"),
            lambda: atoms.positions.__setitem__((0, 0), atoms.positions[0, 0] + 1e-9),
            lambda: atoms.pop(0),
        ]
        for number, change in enumerate(changes):
            change()
            assert_own(atoms)
            assert np.allclose(atoms.get_stress(), value_of(atoms)), number
        # The quick way of the integrators, which says itself that only positions changed.
        step = Evaluator()
        for change in [*changes[:1] * 3, changes[3], changes[4], changes[6], changes[7]]:
            change()
            found = step(atoms)
            assert np.allclose(found.forces_eV_A, atoms.positions + value_of(atoms), rtol=1e-12)
        mine = atoms.get_forces()
        mine[:] = 0.0
        assert_own(atoms)


def test_an_ordinary_ase_calculator():
    spec = CalculatorSpec("emt")
    with BatchServer(spec) as server:
        atoms = bulk("Cu", cubic=True)
        atoms.set_cell(atoms.cell.array * (1.03, 0.99, 1.0), scale_atoms=True)
        atoms.rattle(0.05, seed=1)
        alone = atoms.copy()
        atoms.calc, alone.calc = server.calculator(), spec.load()
        for one in (atoms, alone):
            BFGS(FrechetCellFilter(one), logfile=None).run(fmax=0.005, steps=60)
        assert np.array_equal(atoms.positions, alone.positions)
        assert np.array_equal(atoms.cell.array, alone.cell.array)
        assert np.abs(atoms.get_stress()).max() < 1e-3
        assert atoms.get_potential_energy(force_consistent=True) == alone.get_potential_energy()
        with pytest.raises(PropertyNotImplementedError):
            atoms.get_magnetic_moments()
        other = copy.deepcopy(atoms)
        assert isinstance(other.calc, BatchedCalculator)
        assert other.calc is not atoms.calc
        other.rattle(0.1, seed=4)
        alone.positions[:] = other.positions
        assert np.array_equal(other.get_forces(), alone.get_forces())
        assert np.array_equal(atoms.calc.results["forces"], copy.copy(atoms.calc.results)["forces"])
        with pytest.raises(TypeError, match="belongs to the process of its server"):
            pickle.dumps(atoms.calc)
    with pytest.raises(InputError, match="no atoms"):
        atoms.calc.calculate()


@pytest.mark.parametrize("name", ["emt", "lj"])
def test_cheap_potentials_give_the_bits_of_each_alone(name):
    options = {"cutoff_A": 4.0} if name == "lj" else {}
    spec = CalculatorSpec(name, options=options)
    structures = [bulk("Cu", cubic=True) * (3, 3, 3) for _ in range(5)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.1, seed=seed)
    with BatchServer(spec) as server:
        found = together(server, structures, lambda atoms: evaluate(atoms, ("stress", "forces")))
        assert server.one_by_one
    for atoms, one in zip(structures, found, strict=True):
        atoms.calc = spec.load()
        alone = evaluate(atoms, ("stress", "forces"))
        assert np.array_equal(one.forces_eV_A, alone.forces_eV_A)
        assert np.array_equal(one.stress_eV_A3, alone.stress_eV_A3)
        assert one.energy_eV == alone.energy_eV


@pytest.mark.chgnet
def test_deterministic_gives_the_bits_of_each_alone():
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    import batches
    import torch

    plain = load_calculator("chgnet", device="cpu")
    was = torch.are_deterministic_algorithms_enabled()
    try:
        structures = [batches.salt(seed) for seed in range(4)]
        for given in (
            CalculatorSpec("chgnet", device="cpu", deterministic=True),
            load_calculator("chgnet", device="cpu", deterministic=True),
        ):
            with BatchServer(given) as server:
                assert server.one_by_one
                assert not server.calculator().in_batches
                found = together(server, structures, lambda atoms: evaluate(atoms, ("stress",)))
            for atoms, one in zip(structures, found, strict=True):
                plain.reset()
                plain.calculate(atoms, ["forces"])
                assert np.array_equal(one.forces_eV_A, plain.results["forces"])
                assert one.energy_eV == plain.results["energy"]
    finally:
        torch.use_deterministic_algorithms(was)


class Own(Calculator):
    implemented_properties = ["energy", "forces"]  # noqa: RUF012


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Own, "calculator Own cannot compute many structures at once"),
        (lambda: "lj", None),
        (lambda: CalculatorSpec("test_calculators_batched:Own"), "'test_calculators_batched:Own'"),
        (lambda: CalculatorSpec("emt", python=sys.executable), "in this environment"),
        (lambda: "nonsense", "nonsense"),
        (lambda: 3, "expected"),
    ],
)
def test_what_cannot_be_batched_is_refused_by_name(given, says):
    if says is None:
        BatchServer(given()).close()
        return
    with pytest.raises(InputError, match=says) as caught:
        BatchServer(given())
    assert "\n" not in str(caught.value)


def test_programs_are_refused(tmp_path):
    from ase.calculators.espresso import Espresso, EspressoProfile

    program = Espresso(
        profile=EspressoProfile(command="pw.x", pseudo_dir=str(tmp_path)), pseudopotentials={}
    )
    with pytest.raises(InputError, match="calculator Espresso is a program") as caught:
        BatchServer(program)
    assert "one after another" in str(caught.value)
    assert "\n" not in str(caught.value)


ENDS_WHILE_IT_COMPUTES = """
import threading, time
from ase.build import bulk
from mlmd.calculators.batched import BatchServer

server = BatchServer("chgnet:0.3.0")
atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (3, 3, 2)
atoms.calc = server.calculator()
atoms.get_forces()
atoms.rattle(0.1)
threading.Thread(target=atoms.get_forces, daemon=True).start()
time.sleep(0.05)
"""


@pytest.mark.chgnet
def test_a_script_that_forgets_to_close_ends_well(repository):
    """Python kills its threads at the end, upon which one within torch aborts the process."""
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    done = subprocess.run(
        [sys.executable, "-c", ENDS_WHILE_IT_COMPUTES],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.chgnet
def test_the_thread_of_the_server_computes_on_as_many_threads_as_asked():
    pytest.importorskip("chgnet", reason="needs the chgnet extra")
    import batches
    import torch

    seen = []
    was = torch.get_num_threads()
    try:
        model = load_calculator("chgnet", device="cpu", threads=2)
        compute = model.compute
        model.compute = lambda *given: (seen.append(torch.get_num_threads()), compute(*given))[1]
        with BatchServer(model) as server:
            atoms = batches.salt(1)
            atoms.calc = server.calculator()
            atoms.get_forces()
    finally:
        torch.set_num_threads(was)
    assert seen == [2]
