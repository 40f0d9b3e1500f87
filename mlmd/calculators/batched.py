"""Many walkers, one model: a server that gathers what they ask and computes it in batches.

A GPU is idle on 100 atoms. Each walker runs the plain code of a single one, in a thread of its
own, with an ordinary ASE calculator that blocks while its forces are computed:

>>> with BatchServer("chgnet") as server:  # doctest: +SKIP
...     atoms.calc = server.calculator()

Nobody registers or signs off: a walker that asks is waited for, one that has missed two batches
is not until it asks again. So walkers join and leave at any time, and one that dies stalls nobody.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator, all_changes

from mlmd.calculators.evaluation import PROPERTIES, Evaluation, evaluate, evaluate_many
from mlmd.calculators.models.memory import BatchMemory
from mlmd.calculators.precision import computed_one_by_one, refuse_program
from mlmd.calculators.registry import device_and_dtype
from mlmd.calculators.spec import CalculatorSpec
from mlmd.errors import CalculatorError, InputError, out_of_memory

if TYPE_CHECKING:
    from ase import Atoms

EDGES_PER_ATOM = 60.0
"""Guess for a structure of which nothing is known: a salt within 6 A."""
PATIENCE, SHORTEST_PATIENCE_S, LONGEST_PATIENCE_S = 0.2, 0.0005, 0.1
"""Once nothing new has come for this part of the last batch's time, the rest is not waited for."""
MISSED_AT_MOST = 2
"""Batches that a walker may miss in a row and still be waited for."""
PROPERTIES_GIVEN = ("energy", "free_energy", "forces", "stress")
LOOK_EVERY_S = 5.0
"""How often who waits looks whether the server is still there."""


class BatchServer(AbstractContextManager["BatchServer"]):
    """Owns one model; what many walkers ask of it at one time it computes as one batch.

    Forces equal those of the model alone within the rounding of its precision, but not to the
    last bit: how sums are rounded depends on who else is in the batch.

    Parameters
    ----------
    calculator
        A name, a :class:`mlmd.CalculatorSpec`, or a calculator that :func:`mlmd.load_calculator`
        made. With ``deterministic=True`` in it each structure is computed alone, and every walker
        repeats the bits of a run of its own; so do those of ``emt`` and ``lj``.
    max_atoms, max_edges
        Bounds of a batch: atoms, and pairs within the model's cutoff. Without a number the edges
        are bound by memory: measured on a GPU, guessed on a CPU. When it runs out all the same the
        batch is halved, and those after it are smaller.

    Raises
    ------
    InputError
        If the calculator cannot be batched: a program, one in another interpreter, your own.
    """

    def __init__(
        self,
        calculator: str | CalculatorSpec | Calculator,
        *,
        max_atoms: int | None = None,
        max_edges: int | None = None,
    ) -> None:
        self.spec: CalculatorSpec | None = None
        if isinstance(calculator, str | CalculatorSpec):
            self.spec = CalculatorSpec.of(calculator)
            refuse_program(self.spec, f"calculator '{self.spec.name}'")
            calculator = self.spec.load()
        self.model = calculator
        self.one_by_one = computed_one_by_one(calculator, self._name)
        device = str(getattr(calculator, "device", "cpu"))
        self._memory = BatchMemory(device, max_atoms, max_edges)
        self._changed = threading.Condition(threading.Lock())
        self._waiting: list[_Request] = []
        self._expected: set[BatchedCalculator] = set()
        self._n_missing = 0
        self._patience_s = SHORTEST_PATIENCE_S
        self._ended: str | None = None
        self.n_batches = self.n_computed = 0
        self.computing_s = 0.0
        self._thread = threading.Thread(target=self._serve, name="mlmd-batches", daemon=True)
        self._thread.start()
        # A thread that computes while Python ends brings the process down.
        atexit.register(self.close)

    def calculator(self) -> BatchedCalculator:
        """Return a calculator for one more walker."""
        return BatchedCalculator(self)

    @property
    def max_edges(self) -> int:
        """Pairs of a batch, as memory allows now."""
        return self._memory.max_edges

    def close(self) -> None:
        """End; whoever waits, or asks later, gets a CalculatorError."""
        with self._changed:
            self._ended = self._ended or "it was closed"
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        atexit.unregister(self.close)

    def __exit__(self, *error: object) -> None:
        """End."""
        self.close()

    def ask(
        self, walker: BatchedCalculator, atoms: Atoms, properties: Collection[str]
    ) -> Evaluation:
        """Wait until the atoms, which nobody changes meanwhile, are computed."""
        request = _Request(walker, atoms, properties)
        with self._changed:
            if self._ended is not None:
                raise CalculatorError(f"the server of {self._name} does not answer: {self._ended}")
            if walker in self._expected:
                self._n_missing -= not walker.n_waiting
            else:
                self._expected.add(walker)
            walker.n_waiting += 1
            self._waiting.append(request)
            # Few are worth a change of threads: the first, and the last that is waited for.
            if len(self._waiting) == 1 or self._n_missing == 0:
                self._changed.notify()
        try:
            while not request.answered.acquire(timeout=LOOK_EVERY_S):
                if not self._thread.is_alive():
                    raise CalculatorError(f"the server of {self._name} has died")
        except BaseException:  # who asked has stopped waiting: Ctrl-C
            self._take_back(request)
            raise
        if request.error is not None:
            raise request.error
        assert request.found is not None  # one of the two is there
        return request.found

    def forget(self, walker: BatchedCalculator) -> None:
        """Wait for a walker no longer, until it asks again."""
        with self._changed:
            if walker in self._expected:
                self._expected.remove(walker)
                self._n_missing -= not walker.n_waiting
                if self._n_missing == 0:
                    self._changed.notify()

    def _take_back(self, request: _Request) -> None:
        """Compute no more what nobody waits for, and wait for its walker no longer."""
        with self._changed:
            if request in self._waiting:
                self._waiting.remove(request)
                request.walker.n_waiting -= 1
        self.forget(request.walker)

    @property
    def _name(self) -> str:
        kind = type(self.model).__name__
        return f"calculator {kind}" if self.spec is None else f"calculator '{self.spec.name}'"

    def _serve(self) -> None:
        """Answer until it is closed."""
        batch: list[_Request] | None = None
        cause: BaseException | None = None
        try:
            while (batch := self._gathered()) is not None:
                began = time.perf_counter()
                self._answer(batch)
                patience_s = PATIENCE * (time.perf_counter() - began)
                self._patience_s = min(max(patience_s, SHORTEST_PATIENCE_S), LONGEST_PATIENCE_S)
        except BaseException as error:  # those who wait hear of it
            cause = error
        with self._changed:
            if cause is not None:
                self._ended = f"it failed ({type(cause).__name__}: {' '.join(str(cause).split())})"
            left, self._waiting = [*(batch or ()), *self._waiting], []
        for request in left:
            if request.found is None and request.error is None:
                ended = CalculatorError(f"the server of {self._name} ended: {self._ended}")
                ended.__cause__ = cause
                request.fail(ended)

    def _gathered(self) -> list[_Request] | None:
        """Return the next batch, None at the end."""
        with self._changed:
            while not self._waiting and self._ended is None:
                self._changed.wait()
            n_before = -1
            while self._n_missing > 0 and n_before != len(self._waiting) and self._ended is None:
                n_before = len(self._waiting)
                self._changed.wait(self._patience_s)
            if self._ended is not None:
                return None
            batch = self._taken()
            for request in batch:
                request.walker.n_waiting -= 1
                request.walker.n_missed = -1
            for walker in tuple(self._expected):
                walker.n_missed += not walker.n_waiting
                if walker.n_missed > MISSED_AT_MOST:
                    self._expected.remove(walker)
            self._n_missing = sum(not walker.n_waiting for walker in self._expected)
        # The order of arrival is chance.
        return sorted(batch, key=lambda request: request.walker.number)

    def _taken(self) -> list[_Request]:
        """Take from what waits, first come first served, as much as a batch may hold."""
        n_atoms = n_edges = taken = 0
        for request in self._waiting:
            n_atoms += len(request.atoms)
            n_edges += request.walker.n_edges_of(request.atoms)
            if taken and not self._memory.holds(n_atoms, n_edges):
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    def _answer(self, batch: list[_Request]) -> None:
        """Compute a batch; where it fails its halves, so that each failure is of one walker."""
        found: list[Evaluation] = []
        began = time.perf_counter()
        try:
            found = self._computed(batch)
        except Exception as error:  # whatever a model raises is its walker's
            short = out_of_memory(error)
            if len(batch) == 1:
                batch[0].fail(error)
                return
        finally:
            self.computing_s += time.perf_counter() - began
        if found:
            self.n_batches += 1
            self.n_computed += len(found)
            for request, one in zip(batch, found, strict=True):
                request.succeed(one)
            return
        # Here the error, which holds on to what the batch had in memory, is gone.
        if short:
            self._memory.halve(*_size(batch))
        middle = len(batch) // 2
        self._answer(batch[:middle])
        self._answer(batch[middle:])

    def _computed(self, batch: Sequence[_Request]) -> list[Evaluation]:
        for request in batch:
            request.atoms.calc = self.model
        if self.one_by_one or len(batch) == 1:
            found = []
            for request in batch:
                # It compares neither info nor arrays with those of the walker before.
                self.model.reset()
                found.append(evaluate(request.atoms, request.properties))
            return found
        asked = {name for request in batch for name in request.properties}
        with self._memory.watched(_size(batch)[1]):
            return evaluate_many([request.atoms for request in batch], asked)


class BatchedCalculator(Calculator):
    """An ordinary ASE calculator whose forces come from a :class:`BatchServer`.

    Of one walker, as any calculator is. A copy is another walker of the same server.
    """

    _numbers = iter(range(2**62))

    def __init__(self, server: BatchServer) -> None:
        super().__init__()
        self._server = server
        self.number = next(self._numbers)
        given = server.model.implemented_properties
        self.implemented_properties = [name for name in PROPERTIES_GIVEN if name in given]
        self.parameters = dict(getattr(server.model, "parameters", {}))
        where = device_and_dtype(server.model)
        self.device, self.dtype = where["device"], where["dtype"]
        self._kept: Atoms | None = None
        self._in_use = threading.Lock()
        self.n_waiting = self.n_missed = 0
        # What is no graph model says nothing of edges, and is bound by atoms alone.
        is_graph = hasattr(server.model, "spec_name")
        self._edges_per_atom = EDGES_PER_ATOM if is_graph else 0.0

    @property
    def stands_for(self) -> CalculatorSpec | Calculator:
        """What a run is told that computes its forces: the batch is no other potential."""
        return self._server.spec or self._server.model

    @property
    def in_batches(self) -> bool:
        """Whether forces are computed together with those of others."""
        return not self._server.one_by_one

    def n_edges_of(self, atoms: Atoms) -> int:
        """Return about how many edges atoms have, by those that this walker had last."""
        return int(self._edges_per_atom * len(atoms))

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Wait for the next batch, and take what it says of these atoms.

        Raises
        ------
        CalculatorError
            If the model fails on these atoms, or the server has ended.
        InputError
            If the model does not know them, or another thread waits for this very calculator.
        """
        if atoms is None:
            raise InputError("the calculator of a batch was given no atoms")
        if not self._in_use.acquire(blocking=False):
            raise InputError(
                "the calculator of a batch is in use by another thread, and would give one the "
                "forces of the other; give each server.calculator() of its own"
            )
        try:
            self._wait(atoms, properties, system_changes)
        finally:
            self._in_use.release()

    def _wait(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        kept = self._kept
        if kept is not None and list(system_changes) == ["positions"]:
            # As a copy, which takes longer than everything else that is done here.
            kept.arrays = {name: array.copy() for name, array in atoms.arrays.items()}
            kept.info, kept.pbc = dict(atoms.info), atoms.pbc
            self.atoms = kept
        else:
            super().calculate(atoms, properties, system_changes)
            kept = self.atoms
        assert kept is not None  # the line above copies them
        self._kept = None  # while the server has it
        found = self._server.ask(self, kept, _asked(properties))
        kept.calc, self._kept = None, kept
        results = {
            "energy": found.energy_eV,
            "forces": found.forces_eV_A,
            "stress": found.stress_eV_A3,
            **found.extras,
        }
        self.results = {name: value for name, value in results.items() if value is not None}
        if "num_edges" in found.extras:
            self._edges_per_atom = found.extras["num_edges"] / len(atoms)

    def close(self) -> None:
        """Leave: the others do not wait for this walker, until it asks again."""
        self._server.forget(self)

    def __deepcopy__(self, memo: Any) -> BatchedCalculator:
        """Return another walker of the same server."""
        return self._server.calculator()

    def __reduce__(self) -> Any:
        """Refuse to leave the process of the server."""
        raise TypeError("the calculator of a batch belongs to the process of its server")


class _Request:
    """What one walker waits for."""

    def __init__(self, walker: BatchedCalculator, atoms: Atoms, properties: Any) -> None:
        self.walker, self.atoms, self.properties = walker, atoms, properties
        self.found: Evaluation | None = None
        self.error: Exception | None = None
        self.answered = threading.Lock()
        self.answered.acquire()

    def succeed(self, found: Evaluation) -> None:
        self.found = found
        self.answered.release()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.answered.release()


def _size(batch: Sequence[_Request]) -> tuple[int, int]:
    """Return the number of atoms and, as far as is known, of edges."""
    n_edges = sum(request.walker.n_edges_of(request.atoms) for request in batch)
    return sum(len(request.atoms) for request in batch), n_edges


def _asked(properties: Any) -> list[str]:
    """Return ASE's names of properties as :func:`evaluate` has them."""
    names = {"energy" if name == "free_energy" else name for name in properties}
    return [name for name in PROPERTIES if name in names]
