"""What a campaign would take: steps, disk and time, from steps that were measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.campaign.engines.jobs import jobs_needed
from mlmd.campaign.engines.making import workers_on_node
from mlmd.campaign.journal import DONE, Told, read_journals
from mlmd.campaign.sources import starting_structure
from mlmd.campaign.state import left_of
from mlmd.errors import MlmdError
from mlmd.plain import plain_fields
from mlmd.protocol.plan import plan, time_force_calls
from mlmd.run.history import wall_times
from mlmd.run.run import Run

if TYPE_CHECKING:
    from mlmd.campaign.plan import Campaign, Planned
    from mlmd.protocol.protocol import Protocol

MOST_RUNS = 50
"""Finished runs of a calculator whose wall times are looked at."""
SHORTEST_RUN_S = 30.0
"""Wall times are written in whole seconds, and a start is no step."""
HOUR_S = 3600.0


@dataclass(frozen=True)
class StepTime:
    """How long a step takes.

    Attributes
    ----------
    calculator
        Which of the campaign's.
    n_atoms
        In the cell.
    seconds
        Wall time of a step in one process.
    n_runs
        Finished runs of the campaign that it was measured in, with whatever walked beside them; 0
        where force calls were timed here and now.
    """

    calculator: int
    n_atoms: int
    seconds: float
    n_runs: int


@dataclass(frozen=True)
class Forecast:
    """What is left of a campaign.

    Attributes
    ----------
    n_cases, n_left
        All, and those that have not ended.
    n_steps, disk_bytes
        Of those left.
    step_times
        By calculator and number of atoms; sizes between are interpolated.
    n_workers, workers_per_node
        Processes at a time in all, and on a node.
    worker_hours, node_hours, wall_hours
        Of those left: of one worker, of nodes, and with all workers at work.
    most_node_hours
        Where productions may be lengthened (`until`): if all go to their limit.
    n_jobs
        Jobs of the scheduler at most; None where there is none.
    """

    n_cases: int
    n_left: int
    n_steps: int
    disk_bytes: int
    step_times: tuple[StepTime, ...]
    n_workers: int
    workers_per_node: int
    worker_hours: float
    node_hours: float
    wall_hours: float
    most_node_hours: float | None = None
    n_jobs: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return plain_fields(self)


def forecast(campaign: Campaign) -> Forecast:
    """Say what the cases of a campaign that have not ended would take.

    Steps are those of finished runs; where there are none of a calculator, its force calls are
    timed here, on its smallest and its largest case. Relaxations may end earlier, volume
    equilibrations add runs.

    Parameters
    ----------
    campaign
        Of which nothing is changed or begun; its engine says how many work at a time.

    Raises
    ------
    InputError, CalculatorError
        If a case that is to be timed cannot be packed or computed.
    """
    told = read_journals(campaign.folder)
    left = left_of(campaign, told)
    sizes: dict[int, set[int]] = defaultdict(set)
    for case in left:
        sizes[case.calculator].add(case.n_atoms)
    times: list[StepTime] = []
    for calculator in sizes:
        times += _of_runs(campaign, told, calculator) or _timed(campaign, left, calculator)
    measured = {
        number: sorted((one.n_atoms, one.seconds) for one in times if one.calculator == number)
        for number in sizes
    }
    counts: dict[tuple[int, int], tuple[int, int]] = {}
    n_steps, disk_bytes, seconds, most_s = 0, 0, 0.0, 0.0
    longest = [_longest(campaign, protocol) for protocol in campaign.protocols]
    for case in left:
        kind = case.protocol, case.n_atoms
        if kind not in counts:
            stages = plan(campaign.protocols[case.protocol], case.n_atoms)
            counts[kind] = (
                sum(stage.n_steps for stage in stages),
                sum(stage.disk_bytes for stage in stages),
            )
        steps, size = counts[kind]
        step_s = _at(case.n_atoms, measured[case.calculator])
        n_steps, disk_bytes = n_steps + steps, disk_bytes + size
        seconds += steps * step_s
        most_s += max(longest[case.protocol], steps) * step_s
    engine, per_node = campaign.engine, workers_on_node(campaign)
    n_workers = per_node * engine.nodes
    n_jobs = None
    if engine.scheduler is not None and left:
        hours = seconds / HOUR_S / len(left)
        n_jobs = jobs_needed(engine, len(left), hours, campaign.workers_per_gpu)
    return Forecast(
        n_cases=len(campaign.cases),
        n_left=len(left),
        n_steps=n_steps,
        disk_bytes=disk_bytes,
        step_times=tuple(times),
        n_workers=n_workers,
        workers_per_node=per_node,
        worker_hours=seconds / HOUR_S,
        node_hours=seconds / HOUR_S / per_node,
        # The last ones leave workers without work.
        wall_hours=seconds / HOUR_S / max(1, min(n_workers, len(left))),
        n_jobs=n_jobs,
        most_node_hours=None if campaign.until is None else most_s / HOUR_S / per_node,
    )


def _longest(campaign: Campaign, protocol: Protocol) -> int:
    """Return the steps of a case all of whose productions are lengthened to the limit."""
    if campaign.until is None:
        return 0
    longer = {
        f"{stage.name}.duration_ps": campaign.until.max_ps
        for stage in protocol.stages
        if stage.measured
    }
    return sum(stage.n_steps for stage in protocol.with_settings(longer).stages)


def _at(n_atoms: int, points: Sequence[tuple[int, float]]) -> float:
    """Interpolate between measured sizes; beyond them a step takes in proportion to the atoms."""
    sizes, seconds = np.array(points).T
    nearest = float(np.clip(n_atoms, sizes[0], sizes[-1]))
    return float(np.interp(nearest, sizes, seconds)) * max(1.0, n_atoms / nearest)


def _of_runs(campaign: Campaign, told: Mapping[str, Told], calculator: int) -> list[StepTime]:
    """Return the times of steps in finished runs, by the number of atoms."""
    done = (
        case
        for case in campaign.cases
        if case.calculator == calculator and case.name in told and told[case.name].event == DONE
    )
    found: dict[int, list[float]] = defaultdict(list)
    for case, step_s in _steps_of(campaign, islice(done, MOST_RUNS)):
        found[case.n_atoms].append(step_s)
    return [
        StepTime(calculator, n_atoms, float(np.median(each)), len(each))
        for n_atoms, each in sorted(found.items())
    ]


def _steps_of(campaign: Campaign, cases: Iterator[Planned]) -> Iterator[tuple[Planned, float]]:
    for case in cases:
        try:
            run = Run.open(campaign.folder / case.name)
        except MlmdError:  # moved away, or damaged: others tell
            continue
        walls = wall_times(run.path, at_work=False)
        seconds = math.fsum(one.seconds for one in walls.values())
        durations = {f"{name}.duration_ps": ps for name, ps in run.manifest.extensions.items()}
        protocol = campaign.protocols[case.protocol].with_settings(durations)
        n_steps = sum(stage.n_steps for stage in plan(protocol, case.n_atoms))
        if n_steps and seconds >= SHORTEST_RUN_S and all(w.is_complete for w in walls.values()):
            yield case, seconds / n_steps


def _timed(campaign: Campaign, left: Sequence[Planned], calculator: int) -> list[StepTime]:
    """Time force calls on the smallest and on the largest case of a calculator."""
    mine = sorted(
        (case for case in left if case.calculator == calculator), key=lambda case: case.n_atoms
    )
    sized: Mapping[int, Planned] = {case.n_atoms: case for case in (mine[0], mine[-1])}
    forces = campaign.calculators[calculator].load()
    return [
        StepTime(
            calculator,
            n_atoms,
            time_force_calls(forces, starting_structure(case.source, case.seed)).seconds,
            0,
        )
        for n_atoms, case in sized.items()
    ]
