"""Starting the other interpreter, and ending it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlmd import errors
from mlmd.errors import CalculatorError, InputError, MlmdError
from mlmd.processes import safe_environment
from mlmd.temporary import SHORT_PARENT, TemporaryFolder

if TYPE_CHECKING:
    from mlmd.calculators.plain_spec import PlainSpec

PACKAGE = Path(errors.__file__).parent
BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
DESCRIBE_TIMEOUT_S = 120.0
ENDING_S = 0.5
LOG_LINES = 5
SOCKET_NAME = "s"
# Of the 108 bytes of a Unix socket's address, some for the folder's random name.
LONGEST_PARENT = 70


class WorkerProcess:
    """The other interpreter at work, with a private folder for its socket, answer and log."""

    def __init__(self, spec: PlainSpec, directory: Path | None, place: Path) -> None:
        self._private = private_folder()
        self.folder = self._private.path
        self.socket = self.folder / SOCKET_NAME
        self._spec = spec
        self._directory = directory
        self._place = place
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; it connects to the socket when the calculator is made."""
        with (self.folder / "log").open("w") as log:
            self._process = _popen(self._spec, "serve", log, self._place)
        _ask(self._process, self._spec, self.folder, self._directory)

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self._process is not None and self._process.poll() is None

    def answer(self) -> dict[str, Any]:
        """Return what it says of the calculator that it made.

        Raises
        ------
        MlmdError
            What making the calculator raised there.
        """
        return _answer(self._spec, self.folder)

    def last_lines(self) -> str:
        """Return the end of its output."""
        return _last_lines(self.folder)

    def exit_code(self) -> int | None:
        """Return its exit code, None while it runs; one about to end gets a moment for it."""
        if self._process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(ENDING_S)
        return None

    def end(self) -> None:
        """End it and all that it started, and remove the folder."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            if self._process.stdin is not None:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            self._process = None
        self._private.remove()


def describe(spec: PlainSpec, elements: Collection[str] | None) -> dict[str, Any]:
    """Return ``physics`` and ``packages`` of a spec as its own interpreter sees them.

    Parameters
    ----------
    spec
        Of what is described.
    elements
        See :meth:`mlmd.CalculatorSpec.physics`.

    Raises
    ------
    InputError
        If the interpreter cannot be started or the spec means nothing to it.
    """
    with private_folder() as folder:
        with (folder / "log").open("w") as log:
            process = _popen(spec, "describe", log)
        try:
            _ask(process, spec, folder, elements=elements)
            process.wait(DESCRIBE_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise CalculatorError(
                f"{spec.python} gave no answer within {DESCRIBE_TIMEOUT_S:g} s: "
                f"{_last_lines(folder)}"
            ) from error
        finally:
            process.kill()
            process.wait()
        return _answer(spec, folder)


def private_folder() -> TemporaryFolder:
    """Return a new folder that only this user can enter, with room for a socket's name."""
    parent = tempfile.gettempdir()
    return TemporaryFolder("", parent if len(parent) < LONGEST_PARENT else SHORT_PARENT)


def _popen(
    spec: PlainSpec, command: str, log: IO[str], place: Path | None = None
) -> subprocess.Popen[str]:
    assert spec.python is not None
    environment = {**safe_environment(), "OMP_NUM_THREADS": str(spec.threads)}
    environment.pop("PYTHONHOME", None)
    if "PYTHONSAFEPATH" not in os.environ:  # a script has its own folder first, not this one
        environment.pop("PYTHONSAFEPATH")  # and what a calculator starts shall be as it was
    try:
        return subprocess.Popen(
            [spec.python, str(BOOTSTRAP), str(PACKAGE), command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=place,
            text=True,
            # Ctrl-C is for the caller, who then ends it in order.
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(
            f"python '{spec.python}' of calculator '{spec.name}' cannot be started "
            f"({error.strerror}); expected an interpreter such as ENVIRONMENT/bin/python"
        ) from error


def _ask(
    process: subprocess.Popen[str],
    spec: PlainSpec,
    folder: Path,
    directory: Path | None = None,
    elements: Collection[str] | None = None,
) -> None:
    request = {
        "spec": {**spec.to_dict(), "python": None},
        "answer": str(folder / "answer.json"),
        "socket": str(folder / SOCKET_NAME),
        "directory": None if directory is None else str(directory.absolute()),
        "elements": None if elements is None else list(elements),
    }
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has died: its log says of what
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()


def _answer(spec: PlainSpec, folder: Path) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    except FileNotFoundError as error:
        raise InputError(
            f"calculator '{spec.name}' cannot run in {spec.python}: {_last_lines(folder)}"
        ) from error
    raise_told(spec, answer)
    return answer


def raise_told(spec: PlainSpec, answer: dict[str, Any]) -> None:
    """Raise the error that an answer tells of, if it does."""
    if "error" not in answer:
        return
    kind = getattr(errors, answer["kind"], None)
    if (
        isinstance(kind, type)
        and issubclass(kind, MlmdError)
        and kind is not errors.MissingExtraError
    ):
        raise kind(answer["error"])
    if answer["kind"] == "MissingExtraError":
        raise InputError(f"in {spec.python}: {answer['error']}")
    raise CalculatorError(f"calculator '{spec.name}' in {spec.python}: {answer['error']}")


def _last_lines(folder: Path) -> str:
    lines = (folder / "log").read_text(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return " | ".join(said[-LOG_LINES:]) or "it said nothing"
