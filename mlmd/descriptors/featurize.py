"""Features of structures and trajectories, one after another or in several processes."""

from __future__ import annotations

import math
import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from ase.formula import Formula

from mlmd.checks import one_structure, positive_number, whole_number
from mlmd.descriptors.conventions import Convention, convention_of
from mlmd.descriptors.elements import ElementTable, package_elements
from mlmd.descriptors.features import FEATURES, measure, measure_composition
from mlmd.descriptors.snapshot import Snapshot
from mlmd.descriptors.table import FeatureTable
from mlmd.descriptors.table_file import ABOUT, FRAMES, import_pandas
from mlmd.errors import InputError, MlmdError
from mlmd.processes import end_with_parent, started_safely
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray

    Item = Atoms | Trajectory
    Items = Item | Mapping[str, Item] | Iterable[Item]
    Report = Callable[[int, int | None], None]
    Failed = Callable[[int, InputError], None]

_CHUNK, _WAITING_PER_JOB = 32, 3
_NO_MORE = object()


@dataclass(frozen=True)
class _Task:
    """What every worker needs to know."""

    mobile: str
    convention: Convention
    elements: ElementTable


@dataclass(frozen=True)
class _Row:
    name: str
    about: tuple[str, float, int]
    mean: FloatArray
    spread: FloatArray


def featurize(
    structures: Items,
    mobile: str = "Li",
    convention: str = "mlmd",
    temperature_K: float | Sequence[float | None] | None = None,
    n_jobs: int = 1,
    progress: Report | None = None,
    elements: ElementTable | None = None,
    failed: Failed | None = None,
) -> FeatureTable:
    """Compute all `FEATURES` of structures and trajectories.

    A structure is one snapshot, as in Zheng et al. 2024; of a trajectory the mean over its
    frames is taken and the standard deviation kept. Any mixture of both may be given, from a
    generator too: no more of them are held than are being worked on.

    Parameters
    ----------
    structures : ase.Atoms, Trajectory, mapping of str to them, or iterable of them
        Periodic in three directions. A mapping's keys name the rows; else
        ``atoms.info["name"]``, a trajectory's source, or the number of the row; the second of a
        name is called ``name#2``.
    mobile : str
        The mobile element; column names say Li whatever it is.
    convention : {"mlmd", "zheng2024"}
        Choices of definition, see `mlmd.descriptors.conventions`.
    temperature_K : float or sequence, optional
        Temperature of all, or of each structure. Without it ``inverse_kbT`` is NaN.
    n_jobs : int
        Number of processes.
    progress : callable, optional
        Called with the number of rows done and their total, None where it is not known.
    elements : ElementTable, optional
        Elemental properties; the package's if not given.
    failed : callable, optional
        Called with the number of a structure that has no features (from 0) and the error that says
        why; its row is left out. Without it the first such error is raised.

    Raises
    ------
    InputError
        If a structure is not periodic or has no mobile atom, an option is unknown, or
        temperatures and structures differ in number. The message names the structure.
    MissingExtraError
        If pandas is not installed.
    """
    pandas = import_pandas()
    n_jobs = whole_number("n_jobs", n_jobs)
    task = _Task(mobile, convention_of(convention), elements or package_elements())
    named, total = _named(structures)
    work = _with_temperatures(_each_its_own(named), temperature_K)
    rows: list[_Row] = []
    error: InputError | None = None
    for number, row in enumerate(_rows(task, work, n_jobs)):
        if isinstance(row, _Row):
            rows.append(row)
        else:
            error = row
            if failed is None:
                raise row
            failed(number, row)
        if progress is not None:
            progress(number + 1, total)
    if not rows and error is not None:
        raise error
    if not rows:
        raise InputError("no structures given; expected ase.Atoms or Trajectory, at least one")
    index = pandas.Index([row.name for row in rows], name="name", dtype=object)
    columns = [feature.name for feature in FEATURES]
    return FeatureTable(
        pandas.DataFrame([row.mean for row in rows], index=index, columns=columns, dtype=float),
        pandas.DataFrame([row.spread for row in rows], index=index, columns=columns, dtype=float),
        pandas.DataFrame([(*row.about, "") for row in rows], index, [*ABOUT, FRAMES]),
        convention,
        mobile,
        task.elements.sha256,
    )


def _named(structures: Items) -> tuple[Iterator[tuple[str, Item]], int | None]:
    """Give each structure its name; and how many there are, where that is known."""
    from ase import Atoms

    if isinstance(structures, Atoms | Trajectory):
        structures = [structures]
    if isinstance(structures, Mapping):
        return iter(structures.items()), len(structures)
    if isinstance(structures, str) or not isinstance(structures, Iterable):
        raise InputError(
            f"structures is {type(structures).__name__}; expected ase.Atoms, Trajectory, or a "
            "list or mapping of them"
        )
    if hasattr(structures, "to_ase_atoms"):  # a structure of pymatgen's can be walked through
        one_structure("structures", structures)
    total = len(structures) if isinstance(structures, Sequence) else None
    return ((_name(item, i), item) for i, item in enumerate(structures)), total


def _name(item: Item, number: int) -> str:
    if isinstance(item, Trajectory):
        return item.source if item.source != "arrays" else str(number)
    info = getattr(item, "info", {})
    return str(info.get("name", number))


def _each_its_own(named: Iterator[tuple[str, Item]]) -> Iterator[tuple[str, Item]]:
    """Number the names that come again."""
    times: Counter[str] = Counter()
    for name, item in named:
        own = name
        while times[own]:
            times[name] += 1
            own = f"{name}#{times[name]}"
        times[own] += 1
        yield own, item


_Work = tuple[str, "Item", float | None]


def _with_temperatures(
    named: Iterator[tuple[str, Item]], temperature_K: float | Sequence[float | None] | None
) -> Iterator[_Work]:
    if temperature_K is None or not isinstance(temperature_K, Iterable):
        value = _checked_temperature(temperature_K, "all structures")
        yield from ((name, item, value) for name, item in named)
        return
    temperatures = iter(temperature_K)
    for name, item in named:
        try:
            yield name, item, _checked_temperature(next(temperatures), name)
        except StopIteration:
            raise InputError(
                f"there are more structures than temperatures ({len(temperature_K)}); give one each"
            ) from None
    if next(temperatures, _NO_MORE) is not _NO_MORE:
        raise InputError("there are more temperatures than structures; give one each")


def _checked_temperature(value: float | None, name: str) -> float | None:
    return None if value is None else positive_number(f"temperature of {name}", value, "K")


def _rows(task: _Task, work: Iterator[_Work], n_jobs: int) -> Iterator[_Row | InputError]:
    if n_jobs == 1:
        yield from (_row(task, *one) for one in work)
        return
    # Fresh processes: a fork would copy the locks of threads that the caller may run.
    context = multiprocessing.get_context("spawn")
    with (
        started_safely(),
        ProcessPoolExecutor(n_jobs, mp_context=context, initializer=end_with_parent) as pool,
    ):
        waiting: deque[Future[list[_Row | InputError]]] = deque()
        try:
            while chunk := list(islice(work, _CHUNK)):
                waiting.append(pool.submit(_chunk_rows, task, chunk))
                if len(waiting) >= _WAITING_PER_JOB * n_jobs:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool as error:
            raise MlmdError(
                "a process that computes features was killed; use fewer jobs if memory ran out, "
                "and call featurize under: if __name__ == '__main__'"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def _chunk_rows(task: _Task, chunk: list[_Work]) -> list[_Row | InputError]:
    return [_row(task, *one) for one in chunk]


def _row(task: _Task, name: str, item: Item, temperature_K: float | None) -> _Row | InputError:
    """Return the row of a structure, or why it has none."""
    try:
        if isinstance(item, Trajectory):
            mean, spread, n_frames = _of_frames(task, item, temperature_K)
            symbols = list(item.symbols)
        else:
            item = one_structure("it", item)
            mean, n_frames = _of_atoms(task, item, temperature_K), 1
            spread, symbols = np.full(len(FEATURES), np.nan), list(item.symbols)
    except InputError as error:
        return InputError(f"structure {name}: {error}")
    formula = Formula.from_list(symbols).format("hill")
    about = (formula, math.nan if temperature_K is None else temperature_K, n_frames)
    return _Row(name, about, mean, spread)


def _of_atoms(task: _Task, atoms: Atoms, temperature_K: float | None) -> FloatArray:
    snapshot = Snapshot.of_atoms(atoms, task.mobile, task.convention, task.elements, temperature_K)
    return np.array(list(measure(snapshot).values()))


def _of_frames(
    task: _Task, trajectory: Trajectory, temperature_K: float | None
) -> tuple[FloatArray, FloatArray, int]:
    """Return mean and standard deviation over the frames; one frame is held at a time."""
    if len(trajectory) == 0:
        raise InputError("the trajectory has no frames")
    if not all(trajectory.pbc):
        raise InputError(
            f"the structure is periodic as {list(trajectory.pbc)}; expected all three directions"
        )
    mean = np.zeros(len(FEATURES))
    squares = np.zeros(len(FEATURES))
    constant: dict[str, float] = {}
    for n, (positions_A, cell_A) in enumerate(
        zip(trajectory.positions_A, trajectory.cells_A(), strict=True), start=1
    ):
        snapshot = Snapshot(
            np.asarray(positions_A, dtype=float),
            np.asarray(cell_A, dtype=float),
            trajectory.numbers,
            task.mobile,
            task.convention,
            task.elements,
            trajectory.masses_u,
            temperature_K,
        )
        constant = constant or measure_composition(snapshot.averages)
        found = np.array(list(measure(snapshot, constant).values()))
        away = found - mean
        mean += away / n
        squares += away * (found - mean)
    n_frames = len(trajectory)
    spread = np.sqrt(squares / (n_frames - 1)) if n_frames > 1 else np.full(len(FEATURES), np.nan)
    return mean, spread, n_frames
