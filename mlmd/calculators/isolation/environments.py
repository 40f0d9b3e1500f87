"""Making the environment of a model that cannot share the one of mlmd."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlmd.calculators.weights import READY, environment_python
from mlmd.errors import CalculatorError, InputError
from mlmd.files import check_folder
from mlmd.processes import safe_environment

PINNED = Path(__file__).parents[1] / "environments"
"""One file of pinned versions, as pip reads it, for each environment that can be made."""
LOG_LINES = 3


def installable() -> list[str]:
    """Return the names of the calculators whose environment can be made."""
    return sorted(file.stem for file in PINNED.glob("*.txt"))


def install(name: str, say: Callable[[str], None]) -> Path:
    """Make the environment of a calculator in the user's cache folder, unless it is there.

    Parameters
    ----------
    name
        One of :func:`installable`.
    say
        Told what is being done, one line at a time.

    Returns
    -------
    pathlib.Path
        The environment's interpreter, which ``python=`` takes; without it, the calculator is
        looked for there wherever its package is not in the environment of mlmd.

    Raises
    ------
    InputError
        If no environment of that name can be made, or something else is at its place.
    CalculatorError
        If making it failed; nothing of it is left then.
    """
    if name not in installable():
        raise InputError(
            f"no environment can be made for '{name}'; expected one of {', '.join(installable())}"
        )
    pinned = PINNED / f"{name}.txt"
    python = environment_python(name)
    folder = python.parents[1]
    ready = folder / READY
    version = hashlib.sha256(pinned.read_bytes()).hexdigest()
    check_folder(folder.parent, f"{folder} cannot be made", new=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); set MLMD_CACHE") from error
    with _alone(folder.with_suffix(".lock"), say):
        if ready.is_file() and ready.read_text().strip() == version:
            say(f"{folder} is there already")
            return python
        _refuse_what_is_no_environment(folder)
        # Not finished, or of other versions: from nothing, so that it is what the file says.
        shutil.rmtree(folder, ignore_errors=True)
        log = folder.with_suffix(".log")
        log.write_text("")
        try:
            say(f"making {folder}")
            _command([sys.executable, "-m", "venv", str(folder)], log)
            # torch by itself and first: a range would let pip take another build of it.
            (torch,) = [line for line in pinned.read_text().split() if line.startswith("torch==")]
            for what, wanted in (
                (torch, [torch]),
                (f"the packages of {name}", ["-r", str(pinned)]),
            ):
                say(f"installing {what}; pip's output is in {log}")
                _command([str(python), "-m", "pip", "install", *wanted], log)
            ready.write_text(f"{version}\n")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return python


def _refuse_what_is_no_environment(folder: Path) -> None:
    """Raise where somebody else's files would be removed."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise InputError(f"{folder} is no folder; remove it, or set MLMD_CACHE to another place")
    ours = any((folder / name).is_file() for name in ("pyvenv.cfg", READY))
    if any(folder.iterdir()) and not ours:
        raise InputError(
            f"{folder} holds files and is no environment; remove it, or set MLMD_CACHE to another "
            "place"
        )


@contextlib.contextmanager
def _alone(lock: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other process makes the same environment."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process makes this environment; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:  # no locks on this file system
            say(f"{lock} cannot be locked ({error.strerror}); make one environment at a time")
        yield


def _command(command: list[str], log: Path) -> None:
    """Run a command with its output at the end of the log."""
    with log.open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {' '.join(command)}\n")
        file.flush()
        done = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, check=False, env=safe_environment()
        )
    if done.returncode != 0:
        said = [line.strip() for line in log.read_text().split("\n") if line.strip()]
        raise CalculatorError(
            f"'{' '.join(command)}' failed ({done.returncode}): {' | '.join(said[-LOG_LINES:])}; "
            f"all of it is in {log}"
        )
