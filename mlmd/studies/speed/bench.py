"""How fast dynamics with a calculator is on this machine: one walker, and many on one model.

A walker takes steps of Nosé-Hoover dynamics and records a frame every ten steps, as a stage does;
many share one :class:`mlmd.calculators.BatchServer`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator

from mlmd.calculators.batched import BatchServer
from mlmd.calculators.registry import device_and_dtype, hardware_of
from mlmd.calculators.spec import CalculatorSpec
from mlmd.checks import listed, one_structure, positive_number, whole_number
from mlmd.dynamics.relaxation import Relaxation
from mlmd.errors import InputError
from mlmd.plain import plain_fields
from mlmd.studies.speed.walkers import FEWEST_STEPS, PeakMemory, Timing, Walker, seconds_within
from mlmd.temporary import TemporaryFolder

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import ProgressReport

WALKERS = (1, 8, 64)
MOST_WALKERS = 4096
RELAXED_FOR_STEPS = 20
"""Before the dynamics: what was packed at random has atoms that fly apart."""
DAY_S, FS_PER_NS = 86_400.0, 1e6


@dataclass(frozen=True)
class WalkersBench:
    """Speed of a number of walkers at a time.

    Attributes
    ----------
    n_walkers, n_steps
        How many took how many steps that were timed.
    step_s, step_s_quartiles
        Wall time of a step, all walkers side by side, with its tenth of a frame: median and the
        quartiles.
    ns_per_day_per_walker, ns_per_day
        Of each and of all together.
    peak_memory_bytes
        Of the GPU, or of the whole process where the model is on a CPU; None where not known.
    share_model, share_graph, share_us
        Of the time: the model, the search of near atoms, and us (integration, recording,
        handing over). They add up to one; `share_graph` is None where `share_model` has it in it.
    """

    n_walkers: int
    n_steps: int
    step_s: float
    step_s_quartiles: tuple[float, float]
    ns_per_day_per_walker: float
    ns_per_day: float
    peak_memory_bytes: int | None
    share_model: float
    share_graph: float | None
    share_us: float


@dataclass(frozen=True)
class CalculatorBench:
    """What was timed, on what.

    Attributes
    ----------
    formula, n_atoms
        Of each walker.
    timestep_fs
        Of the dynamics.
    device, dtype, hardware
        That the forces are computed on; None where the calculator does not say.
    walkers
        By the number of walkers.
    note
        What the numbers do not show; empty where nothing.
    """

    formula: str
    n_atoms: int
    timestep_fs: float
    device: str | None
    dtype: str | None
    hardware: str
    walkers: tuple[WalkersBench, ...]
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return plain_fields(self)


def bench_calculator(
    calculator: str | CalculatorSpec,
    atoms: Atoms,
    *,
    walkers: Sequence[int] | None = None,
    n_steps: int | None = None,
    timestep_fs: float = 2.0,
    progress: ProgressReport | None = None,
) -> CalculatorBench:
    """Time dynamics of copies of a structure.

    Parameters
    ----------
    calculator
        Its name or spec.
    atoms
        Where every walker starts after a short relaxation, with momenta of its own at 1000 K.
    walkers
        Numbers of walkers at a time. Where None: 1, 8 and 64; 1 of a calculator that cannot be
        shared.
    n_steps
        Steps that are timed for each of them; where None, as many as take some five seconds.
    timestep_fs
        Of the dynamics.
    progress
        Told what is being timed.

    Raises
    ------
    InputError
        If several walkers are asked of a calculator that cannot be shared.
    """
    one_structure("atoms", atoms)
    positive_number("timestep_fs", timestep_fs, "fs")
    if n_steps is not None:
        whole_number("steps", n_steps, FEWEST_STEPS)
    counts = _counts(WALKERS if walkers is None else walkers)
    spec = CalculatorSpec.of(calculator)
    with TemporaryFolder("bench") as folder:
        model = spec.load(folder)
        try:
            refused = _refusal(spec, model) if max(counts) > 1 else ""
            if refused and walkers is not None:
                raise InputError(refused)
            bench = _Bench(model, atoms, folder, n_steps, timestep_fs, progress)
            measured = [bench.of(n) for n in counts if n == 1 or not refused]
            where = device_and_dtype(model)
            hardware = hardware_of(model)
        finally:
            close = getattr(model, "close", None)
            if callable(close):
                close()
    return CalculatorBench(
        formula=atoms.get_chemical_formula(),
        n_atoms=len(atoms),
        timestep_fs=timestep_fs,
        device=where["device"],
        dtype=where["dtype"],
        hardware=hardware,
        walkers=tuple(measured),
        note=f"one walker only: {refused}" if refused else "",
    )


def _counts(walkers: Sequence[int]) -> list[int]:
    numbers = {
        whole_number("walkers", n, most=MOST_WALKERS) for n in listed("walkers", walkers, "numbers")
    }
    if not numbers:
        raise InputError("walkers are none; expected numbers such as 1, 8 and 64")
    return sorted(numbers)


def _refusal(spec: CalculatorSpec, model: Calculator) -> str:
    """Return why many walkers cannot share a model, which goes by its name; empty: they can."""
    try:
        BatchServer(model).close()
    except InputError as error:
        return str(error).replace(type(model).__name__, f"'{spec.name}'", 1)
    return ""


class _Bench:
    """Times numbers of walkers of one model, one number after the other."""

    def __init__(
        self,
        model: Calculator,
        atoms: Atoms,
        folder: Path,
        n_steps: int | None,
        timestep_fs: float,
        progress: ProgressReport | None,
    ) -> None:
        self.model, self.folder, self.timestep_fs = model, folder, timestep_fs
        self.n_steps = n_steps
        self.report = progress or (lambda progress: None)
        self.start = atoms.copy()
        self.start.calc = model
        Relaxation(self.start, max_force_eV_A=1.0).run(RELAXED_FOR_STEPS)

    def of(self, n_walkers: int) -> WalkersBench:
        """Time so many walkers."""
        memory = PeakMemory(self.model)
        if n_walkers == 1:
            with seconds_within(self.model) as spent:
                timing = Timing(1, self.n_steps, spent, self.report)
                walkers = [self._walker(0, self.model)]
                walkers[0].walk(timing)
        else:
            with ThreadPoolExecutor(n_walkers) as pool, BatchServer(self.model) as server:
                timing = Timing(n_walkers, self.n_steps, server, self.report)
                walkers = [self._walker(k, server.calculator()) for k in range(n_walkers)]
                walking = [pool.submit(walker.walk, timing) for walker in walkers]
                # What failed first is told, not what others say of its having failed.
                for error in [one.exception() for one in as_completed(walking)]:
                    if error is not None:
                        raise error
        peak = memory.bytes()
        model = timing.share_of_model(max(walker.ended for walker in walkers))
        steps = [step for walker in walkers for step in walker.steps_s()]
        step_s = statistics.median(steps)
        low, _, high = statistics.quantiles(steps, n=4)
        graph_s = self._graph_s([walker.atoms for walker in walkers])
        graph = None if graph_s is None else min(graph_s / step_s, model)
        each = self.timestep_fs / FS_PER_NS * DAY_S / step_s
        return WalkersBench(
            n_walkers=n_walkers,
            n_steps=timing.n_steps,
            step_s=step_s,
            step_s_quartiles=(low, high),
            ns_per_day_per_walker=each,
            ns_per_day=n_walkers * each,
            peak_memory_bytes=peak,
            share_model=model - (graph or 0.0),
            share_graph=graph,
            share_us=1.0 - model,
        )

    def _walker(self, number: int, calculator: Calculator) -> Walker:
        return Walker(number, self.start, calculator, self.folder, self.timestep_fs)

    def _graph_s(self, structures: list[Atoms]) -> float | None:
        """Return the seconds of the search of near atoms; None where it is not known apart."""
        graphs = getattr(self.model, "graphs", None)
        if graphs is None:
            return None
        took = []
        for _ in range(3):
            began = time.perf_counter()
            graphs(structures)
            took.append(time.perf_counter() - began)
        return statistics.median(took)
