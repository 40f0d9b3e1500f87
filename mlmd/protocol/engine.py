"""Running a protocol in a directory: start, go on, stop, extend."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.checks import whole_number
from mlmd.errors import (
    CalculatorError,
    DamagedDataError,
    MlmdError,
    RunDirectoryError,
    StageFailedError,
    StoppedError,
    VolumeNotFoundError,
)
from mlmd.files import check_folder, disk_full_is_a_stop
from mlmd.processes import this_process
from mlmd.protocol.calculators import StageCalculators
from mlmd.protocol.extension import extended, register
from mlmd.protocol.mending import (
    is_whole,
    mend_manifest,
    set_damaged_aside,
    settle_stale,
)
from mlmd.protocol.plan import check_sources
from mlmd.protocol.reproducibility import note_way_of_running
from mlmd.protocol.settings import RunSettings
from mlmd.protocol.start import (
    Asked,
    create_run,
    find_run,
    note_changes,
    refuse_other_versions,
    renew_analysis,
    versions,
)
from mlmd.protocol.trials import (
    flags_of,
    make_calculators,
    refuse_other_potential,
    try_calculators,
)
from mlmd.run.checkpoint import CheckpointStore, placed
from mlmd.run.checksums import folder_checksums, state_checksum
from mlmd.run.directory import StageFolder
from mlmd.run.history import EventLog
from mlmd.run.identity import structure_from_text
from mlmd.run.lock import RunLock
from mlmd.run.manifest import Manifest, StageEntry
from mlmd.run.run import Run
from mlmd.run.stopping import StopToken
from mlmd.stages.context import Progress, ProgressReport, StageContext
from mlmd.stages.dynamics.results import OWN_FLAGS
from mlmd.structure.checks import check_structure
from mlmd.temporary import clear_leftovers

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.random import Generator

    from mlmd.protocol.tree import ProtocolTree
    from mlmd.stages.stage import Stage

GO_ON = "give the same command to go on"


def run_protocol(
    protocol: ProtocolTree,
    atoms: Atoms,
    calculator: Any,
    folder: Path,
    *,
    seed: int,
    progress: ProgressReport | None,
    stop: StopToken | None,
    extend: Mapping[str, float],
    settings: RunSettings | None,
) -> Run:
    """Run a protocol; see :meth:`mlmd.Protocol.run`."""
    settings = settings or RunSettings()
    seed = whole_number("seed", seed, least=0, most=None)
    check_structure(atoms)
    check_sources(protocol)
    for stage in protocol.stages:
        stage.check_atoms(atoms)
    clear_leftovers()
    # Calculators and workflow engines change the working directory.
    folder = folder.absolute()
    calculators = StageCalculators(calculator, protocol, folder)
    try:
        return _run(
            Asked(protocol, atoms, calculators, seed),
            folder,
            progress=progress or _ignore,
            stop=stop or StopToken(),
            extend=extend,
            settings=settings,
        )
    finally:
        calculators.close()


def _run(
    asked: Asked,
    folder: Path,
    *,
    progress: ProgressReport,
    stop: StopToken,
    extend: Mapping[str, float],
    settings: RunSettings,
) -> Run:
    protocol, calculators = asked.protocol, asked.calculators
    found = find_run(folder, asked)
    extended(protocol, extend, found.extensions if found else {})
    tried: dict[str, Any] = {}
    other: str | None = None
    if found is None:
        check_folder(folder, f"no run can be made in {folder}", new=True)
        start = structure_from_text(asked.structure())
        try:
            tried = try_calculators(calculators, protocol.stages, start)
        except CalculatorError:
            raise  # its message points to the files of a program
        except BaseException:
            calculators.discard_files()
            raise
    else:
        start = structure_from_text(asked.structure(found.identity_version))
        other = refuse_other_potential(calculators, protocol.stages, start, found.calculator)
        if other is not None and not settings.allow_version_change:
            raise RunDirectoryError(
                f"{folder} holds another run: {other}; give another directory, or the calculator "
                "of that run (with --allow-version-change it goes on)"
            )
        if _is_done(found) and not register(found, extend) and is_whole(folder):
            renew_analysis(found, protocol, folder, take_over=settings.take_over)
            return Run.open(folder)
        left = [stage for stage in protocol.stages if found.stage(stage.name).status != "done"]
        make_calculators(calculators, left)
    with disk_full_is_a_stop(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    with RunLock(folder, take_over=settings.take_over) as lock:
        mend_manifest(folder)
        manifest = find_run(folder, asked) or create_run(folder, asked, tried)
        now = versions(calculators)
        if not settings.allow_version_change:
            refuse_other_versions(manifest, now, folder)
        events = EventLog(folder)
        if tried:
            events.write("calculators tried", checks=tried["checks"])
        note_changes(manifest, protocol, now, other, events)
        structure = asked.structure(manifest.identity_version)
        set_damaged_aside(manifest, protocol, folder, structure, events)
        for name in register(manifest, extend):
            events.write("stage extended", stage=name, duration_ps=manifest.extensions[name])
        manifest.sessions.append({**this_process(), "calculators": calculators.to_dict()})
        manifest.write(folder)
        work = _Work(
            protocol=extended(protocol, manifest.extensions),
            structure=structure,
            manifest=manifest,
            folder=folder,
            lock=lock,
            calculators=calculators,
            seed=asked.seed,
            report=progress,
            stop=stop,
            events=events,
            settings=settings,
        )
        work.run()
    return Run.open(folder)


@dataclass
class _Work:
    """One session on a run directory that is ours."""

    protocol: ProtocolTree
    structure: str
    manifest: Manifest
    folder: Path
    lock: RunLock
    calculators: StageCalculators
    seed: int
    report: ProgressReport
    stop: StopToken
    events: EventLog
    settings: RunSettings

    def run(self) -> None:
        """Do every stage that is not done; where one fails, those that do not need it.

        Raises
        ------
        StageFailedError
            At the end, if any stage failed.
        """
        for entry in self.manifest.stages:
            if entry.status == "blocked":
                entry.status, entry.error = "pending", None
        failures: list[StageFailedError] = []
        for stage in self.protocol.stages:
            entry, parent = self.manifest.stage(stage.name), self.protocol.parent(stage.name)
            if entry.status == "stale" and parent is not None:
                settle_stale(entry, self.manifest.stage(parent.name), self.folder, self.events)
                self.manifest.write(self.folder)
            if entry.status in ("done", "blocked", "stale"):
                continue
            try:
                self._run_stage(stage)
            except StageFailedError as error:
                failures.append(error)
                self.lock.check()
        if failures:
            raise StageFailedError(self._verdict()) from failures[0].__cause__
        self.events.write("run done")

    def _verdict(self) -> str:
        """Name every stage that failed and what was not run because of it."""
        entries = self.manifest.stages
        errors = {e.name: e.error or "" for e in entries if e.status == "failed"}
        if len(errors) > 1:  # mlmd status shows all of each
            errors = {name: _shortened(error) for name, error in errors.items()}
        failed = [f"stage '{name}' failed: {error}" for name, error in errors.items()]
        blocked = [e.name for e in entries if e.status == "blocked"]
        not_run = [f"not run because of that: {', '.join(blocked)}"] if blocked else []
        where = f"tracebacks are in {self.folder / 'log.jsonl'}"
        return "; ".join([*failed, *not_run, where])

    def _run_stage(self, stage: Stage) -> None:
        entry = self.manifest.stage(stage.name)
        try:
            start = self._start_of(stage)
        except DamagedDataError as error:
            self._leave(entry, "failed", error)
            raise StageFailedError(_one_line(error)) from error
        entry.status, entry.error = "running", None
        entry.settings = stage.to_dict()
        entry.start, entry.end, entry.checksums = state_checksum(start), None, {}
        parent = self.protocol.parent(stage.name)
        inherited = self.manifest.stage(parent.name).flags if parent else self._flags_of_start()
        doubts = flags_of(self.manifest.calculator, self.calculators.key_of(stage))
        kept = [flag for flag in inherited if flag not in OWN_FLAGS]
        entry.flags = list(dict.fromkeys([*kept, *doubts]))
        self.manifest.write(self.folder)
        self.events.write("stage started", stage=stage.name)
        clock = time.monotonic()
        try:
            calculator = self.calculators.serve(stage)
            note_way_of_running(self.manifest, self.calculators, self.events)
            context = StageContext(
                calculator=calculator,
                rng=stage_generator(self.seed, stage.name),
                spawn=lambda inner: stage_generator(self.seed, f"{stage.name}/{inner}"),
                folder=self._folder_of(stage),
                source=None if parent is None else self._folder_of(parent),
                stop=self.stop,
                report=self.report,
                checkpoint_every_s=self.settings.checkpoint_every_s,
                steps_before=sum(item.n_steps for item in self._before(stage)),
                run_n_steps=sum(item.n_steps for item in self.protocol.stages),
            )
            with disk_full_is_a_stop(str(context.folder.path)):
                _, result = stage.run(start, context)
        except (StoppedError, KeyboardInterrupt) as error:
            self._leave(entry, "stopped", error, clock)
            if type(error) is StoppedError:
                raise StoppedError(f"{error}; {GO_ON}") from error
            raise
        except Exception as error:
            if isinstance(error, VolumeNotFoundError):
                entry.result = asdict(error.result)
            self._leave(entry, "failed", error, clock)
            raise StageFailedError(_one_line(error)) from error
        end = self._end_of(stage)
        entry.end = None if end is None else state_checksum(placed(start, end))
        entry.checksums = folder_checksums(context.folder.path)
        entry.status, entry.result = "done", asdict(result)
        entry.flags = list(dict.fromkeys([*entry.flags, *getattr(result, "flags", ())]))
        self.manifest.write(self.folder)
        self.events.write(
            "stage done",
            stage=stage.name,
            wall_s=round(time.monotonic() - clock, 3),
            result=entry.result,
        )

    def _flags_of_start(self) -> list[str]:
        """Return the doubts about the stage of another run that this one started from."""
        started_from = self.manifest.input.get("started_from", {})
        return list(started_from.get("flags", ()))

    def _leave(
        self, entry: StageEntry, status: str, error: BaseException, clock: float | None = None
    ) -> None:
        """Note how a stage ended early, as far as the disk and the lock still allow it."""
        entry.status, entry.error = status, _one_line(error)
        details: dict[str, Any] = {"stage": entry.name, "error": entry.error}
        if clock is not None:
            details["wall_s"] = round(time.monotonic() - clock, 3)
        if status == "failed":
            details["traceback"] = "".join(traceback.format_exception(error))
            details["blocks"] = self._block_descendants(entry.name)
        try:
            self.lock.check()
            self.manifest.write(self.folder)
        except (StoppedError, OSError):
            return
        self.events.write(f"stage {status}", **details)

    def _block_descendants(self, name: str) -> list[str]:
        """Mark the stages that cannot start because the named one failed; return their names."""
        blocked = []
        for stage in self.protocol.descendants(name):
            entry = self.manifest.stage(stage.name)
            if entry.status not in ("done", "stale"):
                entry.status, entry.error = "blocked", f"waits for '{name}', which failed"
                blocked.append(entry.name)
        return blocked

    def _folder_of(self, stage: Stage) -> StageFolder:
        return StageFolder(self.folder / self.manifest.stage(stage.name).folder, self.lock)

    def _before(self, stage: Stage) -> list[Stage]:
        """Return the stages before one."""
        stages = list(self.protocol.stages)
        return stages[: [item.name for item in stages].index(stage.name)]

    def _start_of(self, stage: Stage) -> Atoms:
        """Return the structure that a stage starts from."""
        atoms = structure_from_text(self.structure)
        source = self.protocol.parent(stage.name)
        if source is None:
            return atoms
        state = self._end_of(source)
        if state is None:
            # Its checkpoint is lost, or only the one before is left: the same numbers again.
            self.events.write("stage repeated", stage=source.name, why="its end is lost")
            self._run_stage(source)
            state = self._end_of(source)
        if state is None:
            raise DamagedDataError(
                f"stage '{source.name}' has no checkpoint of its end in "
                f"{self.folder / self.manifest.stage(source.name).folder}; '{stage.name}' cannot "
                "start from it"
            )
        return placed(atoms, state)

    def _end_of(self, stage: Stage) -> dict[str, Any] | None:
        """Return the checkpoint of a finished stage's end, None where that is lost."""
        entry = self.manifest.stage(stage.name)
        state = CheckpointStore(self.folder / entry.folder).load()
        n_steps = (entry.result or {}).get("n_steps", stage.n_steps)
        return state if state is not None and state["nsteps"] == n_steps else None


def stage_generator(seed: int, name: str) -> Generator:
    """Return a stage's own generator: it depends on the seed and the stage's name alone."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:16], dtype="<u4")
    return np.random.default_rng([seed, *(int(word) for word in words)])


def _is_done(manifest: Manifest) -> bool:
    return all(entry.status == "done" for entry in manifest.stages)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, MlmdError) else f"{type(error).__name__}: {text}"


def _shortened(text: str, length: int = 120) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _ignore(progress: Progress) -> None:
    """Report to nobody."""
