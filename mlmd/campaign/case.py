"""One run among many, and what it is where it failed: a value, not an exception."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlmd.errors import (
    CalculatorError,
    InputError,
    PackingError,
    RunLockedError,
    SimulationUnstable,
    StoppedError,
    VolumeNotFoundError,
    out_of_memory,
)

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.campaign.lengthening import Until
    from mlmd.protocol.protocol import Protocol
    from mlmd.protocol.settings import RunSettings
    from mlmd.run.run import Run
    from mlmd.run.stopping import StopToken
    from mlmd.stages.context import ProgressReport

FailureKind = Literal[
    "input", "unstable", "no_volume", "memory", "calculator", "busy", "worker", "hung", "other"
]
"""Why a case failed, as far as a remedy depends on it."""

_KINDS: dict[FailureKind, tuple[type[BaseException], ...]] = {
    "busy": (RunLockedError,),
    "no_volume": (VolumeNotFoundError,),
    "unstable": (SimulationUnstable,),
    "calculator": (CalculatorError,),
    "input": (InputError, PackingError),
}


@dataclass(frozen=True)
class Case:
    """A protocol on a structure, in a directory of its own.

    Attributes
    ----------
    protocol
        What is done.
    structure
        What it is done to.
    directory
        Where; the run directory is the truth about how far it is.
    seed
        Of everything random.
    settings
        Fields of stages that differ from the protocol's: ``{"NAME.field": value}``, as for
        :meth:`mlmd.Protocol.with_settings`.
    until
        When its productions are long enough; as long as the protocol says where None.
    """

    protocol: Protocol
    structure: Atoms
    directory: Path
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    until: Until | None = None

    def resolved(self) -> Protocol:
        """Return the protocol with the settings of the case."""
        return self.protocol.with_settings(self.settings)


@dataclass(frozen=True)
class CaseFailure:
    """A case that has no result, and why; plain data, so that it crosses processes.

    Attributes
    ----------
    directory
        Of the case.
    kind
        ``input``: something given cannot be used. ``unstable``: a guard tripped too often.
        ``no_volume``: there is no volume of zero pressure. ``memory``: it ran out. ``calculator``:
        the model or program failed. ``busy``: another process has the directory. ``worker``: the
        process that ran it died, again and again. ``hung``: it took no step for too long, again and
        again. ``other``: anything else.
    message
        One line.
    traceback
        Where it came from.
    """

    directory: Path
    kind: FailureKind
    message: str
    traceback: str

    @classmethod
    def of(cls, directory: Path, error: BaseException) -> CaseFailure:
        """Make a value of what was raised."""
        return cls(
            directory,
            _kind(error),
            " ".join(str(error).split()) or type(error).__name__,
            "".join(traceback.format_exception(error)),
        )


def run_case(
    case: Case,
    calculator: Any,
    *,
    progress: ProgressReport | None = None,
    stop: StopToken | None = None,
    keep: RunSettings | None = None,
) -> Run | CaseFailure:
    """Run a case, or go on with it, and return what came of it.

    Parameters
    ----------
    case
        What to run.
    calculator, progress, stop
        As for :meth:`mlmd.Protocol.run`.
    keep
        How the run is kept (its `settings`).

    Raises
    ------
    StoppedError
        If it was stopped, or the disk is full: that is no failure, the same call goes on.
    """
    longer: Mapping[str, float] = {}
    try:
        while True:
            run = case.resolved().run(
                case.structure,
                calculator,
                case.directory,
                seed=case.seed,
                progress=progress,
                stop=stop,
                extend=longer,
                settings=keep,
            )
            longer = {} if case.until is None else case.until.longer(run)
            if not longer:
                return run
    except StoppedError:
        raise
    except Exception as error:  # whatever a model or a program raises is this case's alone
        return CaseFailure.of(case.directory, error)


def _kind(error: BaseException) -> FailureKind:
    causes = list(_causes(error))
    # First: when a calculator is tried it is the cause of an error of the input.
    if out_of_memory(error):
        return "memory"
    for kind, classes in _KINDS.items():
        if any(isinstance(cause, classes) for cause in causes):
            return kind
    return "other"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
