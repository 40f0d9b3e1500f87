"""Files that keep what was tried in tuning, whatever happens to the process that tunes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.bounds.memory import check_memory
from mlmd.checks import input_file
from mlmd.errors import InputError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

REASON = "reason"
"""Attribute of a trial that says why it gave no numbers."""

_START_OF_FILE = b'{"op_code":'
_BLOCK = 4096
_MEMORY_PER_BYTE = 30  # Optuna keeps every trial as objects


class Study:
    """Trials that are done, in a file or in memory.

    A trial is written when it is done, in one line: a killed one leaves nothing behind. The file
    is Optuna's journal, which Optuna reads without mlmd.
    """

    def __init__(self, path: Path | None, name: str) -> None:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self._path = path
        if path is None:
            self._study = optuna.create_study(study_name=name)
            return
        with self._problems_said():
            _refuse_other_files(path)
            lock: Any = _Lock(path)
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
            if name not in optuna.get_all_study_names(storage):
                # Another process may make it at this moment.
                optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
            self._study = optuna.load_study(study_name=name, storage=storage)

    def describe(self, about: str) -> None:
        """Say to a reader of the file what was tuned on what."""
        with self._problems_said():
            if self._study.user_attrs.get("about") != about:
                self._study.set_user_attr("about", about)

    def find(self, params: Mapping[str, Any]) -> FrozenTrial | None:
        """Return the trial of these settings, if it is done."""
        with self._problems_said():
            done = (
                t
                for t in self._study.get_trials(deepcopy=False)
                if t.params == params and (t.value is not None or REASON in t.user_attrs)
            )
            return next(done, None)

    def add(self, trial: FrozenTrial) -> None:
        """Keep a trial, unless another process has just done so."""
        if self.find(trial.params) is None:
            with self._problems_said():
                self._study.add_trial(trial)

    @contextmanager
    def _problems_said(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except OSError as error:
            raise InputError(
                f"study file {self._path} cannot be used ({error.strerror or error}); free the "
                "disk or give another file: trials that are done are kept"
            ) from error
        except Exception as error:  # Optuna repeats whatever the lines of the file say
            raise InputError(
                f"study file {self._path} is damaged, or was not written by Optuna; give another"
            ) from error


class _Lock:
    """Lets one process at a time write to a file.

    The system frees it when a process is killed; Optuna's own locks are files, which stay and
    are waited for. What a killed process or a full disk left of a line is cut away: Optuna would
    write on in that line, and could not read the file again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def acquire(self) -> bool:
        """Wait for the file and mend its end."""
        file = os.open(self._path, os.O_RDWR)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_part_of_line(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return True

    def release(self) -> None:
        """Let others write."""
        os.close(self._file)


def _cut_part_of_line(file: int) -> None:
    end = size = os.fstat(file).st_size
    while end and b"\n" not in (block := os.pread(file, min(end, _BLOCK), end - min(end, _BLOCK))):
        end -= len(block)
    if end:
        end += block.rindex(b"\n") + 1 - len(block)
    if end < size:
        os.ftruncate(file, end)


def _refuse_other_files(path: Path) -> None:
    """Before anything is written to it."""
    if not os.path.lexists(path):
        return
    input_file(path, "one that Optuna has written, or a new name", "study file")
    check_memory(f"study file {path}", path.stat().st_size * _MEMORY_PER_BYTE)
    with path.open("rb") as file:
        start = file.read(len(_START_OF_FILE))
    if not _START_OF_FILE.startswith(start):
        raise InputError(f"study file {path} was not written by Optuna; give another")
