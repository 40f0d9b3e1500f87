"""Errors of mlmd: one line that says what was given, what was expected, what to do."""

from __future__ import annotations

from typing import Any

LONGEST_LINE = 1000


class MlmdError(Exception):
    """Base of every error that mlmd raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by message and attributes, whatever the constructor takes.

        A process pool breaks for good when the error of one task cannot be unpickled.
        """
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[MlmdError], arguments: tuple[Any, ...], more: dict[str, Any]) -> MlmdError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(more)
    return error


class InputError(MlmdError, ValueError):
    """What was given cannot be used; nothing was written."""

    def __str__(self) -> str:
        """Return the message as one line that can be written anywhere, whatever it quotes."""
        line = " ".join(part.strip() for part in super().__str__().splitlines()).strip()
        if len(line) > LONGEST_LINE:
            line = f"{line[: LONGEST_LINE // 2]} ... {line[-LONGEST_LINE // 2 :]}"
        return line.encode("utf-8", "backslashreplace").decode("utf-8")


class NotSharedError(InputError):
    """A calculator that many walkers cannot share; each can have one of its own."""


class TimeUnknownError(InputError):
    """A file does not say the time between its frames, and it was not given."""


class MissingExtraError(InputError):
    """An optional package is not installed; the message names the pip command."""

    def __init__(self, package: str, extra: str, other_way: str | None = None) -> None:
        super().__init__(
            f"package '{package}' is not installed; install it with: pip install 'mlmd[{extra}]'"
            + (f", or in an environment of its own with: {other_way}" if other_way else "")
        )


class PackingError(MlmdError):
    """PACKMOL did not find a packing; the message carries its output."""


class RunDirectoryError(InputError):
    """The directory belongs to another run, is no run, or has a newer schema."""


class RunLockedError(InputError):
    """Another process works on the directory."""


class DamagedDataError(MlmdError):
    """A file of a run cannot be read and there is nothing to fall back to."""


class SimulationError(MlmdError):
    """The dynamics gave numbers that cannot be used (not finite, say)."""


class StageFailedError(MlmdError):
    """A stage ended with an error; the message names it and the cause is chained."""


class StoppedError(MlmdError):
    """The run stopped before its end; what is checkpointed is kept and it can go on."""


class DiskFullError(StoppedError):
    """The disk is full; everything up to the last checkpoint is readable."""


class RunLostError(StoppedError):
    """The run directory is not this process's any more; it stopped without writing there."""


class CalculatorError(MlmdError):
    """A calculator gave no result: its program crashed, hung, did not converge, was cut short.

    Not a :class:`SimulationError`: a shorter time step is no remedy.
    """


class SimulationUnstable(SimulationError):
    """A guard tripped: the trajectory has left what is physical.

    Attributes
    ----------
    remedy : dict
        Limits of the guard, by name, that would have let it pass; empty where no limit would.
    """

    def __init__(self, message: str, remedy: dict[str, float] | None = None) -> None:
        super().__init__(message)
        self.remedy = remedy or {}


class VolumeNotFoundError(MlmdError):
    """A volume search ended without a volume to go on with.

    Attributes
    ----------
    result : mlmd.stages.volume.result.VolumeResult
        What it saw.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


def out_of_memory(error: BaseException | None) -> bool:
    """Tell whether memory ran out: the machine's or, said by torch, a GPU's."""
    while error is not None:
        # torch's own class need not be here: torch.OutOfMemoryError, torch.cuda.OutOfMemoryError.
        if type(error).__name__ in ("MemoryError", "OutOfMemoryError"):
            return True
        said = str(error) if isinstance(error, RuntimeError) else ""
        if "can't allocate memory" in said or "CUBLAS_STATUS_ALLOC_FAILED" in said:
            return True
        error = error.__cause__
    return False
