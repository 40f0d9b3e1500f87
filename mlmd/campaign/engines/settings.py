"""An engine as a campaign names it: a word, a mapping with options, or a file with one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlmd.checks import choice, known_keys, shown, texts, usable_text, whole_number
from mlmd.errors import InputError
from mlmd.yaml_text import read_yaml_file

LOCAL = "local"
SCHEDULERS: Mapping[str, str] = {
    "slurm": "sbatch",
    "pbs": "qsub",
    "lsf": "bsub",
    "grid_engine": "qsub",
}
"""Those whose jobs Parsl starts, and the command that it gives them by."""
_OF_JOBS = (
    "scheduler",
    "partition",
    "account",
    "nodes",
    "walltime",
    "gpus_per_node",
    "workers_per_node",
    "commands",
    "options",
    "address",
)
KEYS: Mapping[str, tuple[str, ...]] = {
    LOCAL: (),
    "parsl": _OF_JOBS,
    "dask": ("address",),
    "executorlib": (),
    "mpi": (),
}
"""What each engine may be told besides its name."""
LEAST_WALLTIME_S = 60
_WALLTIME = re.compile(r"(?:(\d+)-)?(\d{1,4}):([0-5]\d)(?::([0-5]\d))?")


@dataclass(frozen=True)
class EngineSettings:
    """Which engine, and what it is told.

    Attributes
    ----------
    name
        ``local``, ``parsl``, ``dask``, ``executorlib`` or ``mpi``.
    scheduler
        Whose jobs Parsl starts: one of :data:`SCHEDULERS`; processes of this machine where None.
    partition, account
        Of the jobs: the queue that they wait in, who pays.
    nodes
        Jobs at a time, of one node each.
    walltime_s
        Of a job. Tasks stop at a checkpoint before it is over.
    gpus_per_node
        GPUs that a job asks for.
    workers_per_node
        Processes in a job; those that its GPUs take, or one, where None.
    commands
        Lines of shell before the workers start: modules to load, environments to activate.
    options
        Lines more for the head of the script that the scheduler is given.
    address
        Of the scheduler of Dask; for Parsl of this machine as nodes see it, any where None.
    """

    name: str = LOCAL
    scheduler: str | None = None
    partition: str | None = None
    account: str | None = None
    nodes: int = 1
    walltime_s: int = 0
    gpus_per_node: int = 0
    workers_per_node: int | None = None
    commands: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    address: str | None = None

    @classmethod
    def of(cls, given: Any, beside: Path = Path()) -> EngineSettings:
        """Read the engine of a campaign.

        Parameters
        ----------
        given
            A word, a mapping with ``name`` and options, or the name of a YAML file with one.
        beside
            Where such a file is looked for.

        Raises
        ------
        InputError
            If it is none of these, has unknown keys, or a value that cannot be.
        """
        if isinstance(given, str) and Path(given).suffix.lower() in (".yaml", ".yml"):
            path = beside / given
            given = read_yaml_file(path)
            if not isinstance(given, Mapping):
                raise InputError(f"{path} holds {shown(given)}; expected a mapping with name")
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping) or "name" not in given:
            raise InputError(
                f"engine is {shown(given)}; expected one of {', '.join(KEYS)}, a YAML file, or a "
                "mapping with name"
            )
        name = choice("engine", given["name"], KEYS)
        known_keys(f"engine {name}", given, ("name", *KEYS[name]))
        found = _read(given)
        if name == "parsl":
            _check_jobs(found)
        return found


def _read(given: Mapping[str, Any]) -> EngineSettings:
    def text(key: str) -> str | None:
        return None if given.get(key) is None else usable_text(key, given[key])

    scheduler, workers = given.get("scheduler"), given.get("workers_per_node")
    return EngineSettings(
        name=given["name"],
        scheduler=None if scheduler is None else choice("scheduler", scheduler, SCHEDULERS),
        partition=text("partition"),
        account=text("account"),
        nodes=whole_number("nodes", given.get("nodes", 1), most=None),
        walltime_s=_walltime_s(given["walltime"]) if "walltime" in given else 0,
        gpus_per_node=whole_number("gpus_per_node", given.get("gpus_per_node", 0), least=0),
        workers_per_node=None if workers is None else whole_number("workers_per_node", workers),
        commands=_lines("commands", given.get("commands", [])),
        options=_lines("options", given.get("options", [])),
        address=text("address"),
    )


def _lines(key: str, given: Any) -> tuple[str, ...]:
    """Return lines: a list of them, or a text with several."""
    return texts(key, given.splitlines() if isinstance(given, str) else given)


def _walltime_s(given: Any) -> int:
    """Return seconds of ``HH:MM``, ``HH:MM:SS`` or ``D-HH:MM:SS``."""
    found = _WALLTIME.fullmatch(given.strip()) if isinstance(given, str) else None
    if found is None:
        raise InputError(f"walltime is {shown(given)}; expected HH:MM:SS or D-HH:MM:SS")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    # The schedulers are told whole minutes.
    total = 60 * math.floor(((24 * days + hours) * 3600 + minutes * 60 + seconds) / 60)
    if total < LEAST_WALLTIME_S:
        raise InputError(f"walltime is {given}; expected a minute at least")
    return total


def _check_jobs(settings: EngineSettings) -> None:
    """Raise where a job is told too little, or what has no meaning without one."""
    if settings.scheduler is not None and not settings.walltime_s:
        raise InputError("engine parsl has a scheduler and no walltime; give walltime: HH:MM:SS")
    if settings.scheduler is None:
        for key in ("partition", "account", "walltime_s", "gpus_per_node", "options"):
            if getattr(settings, key):
                name = key.removesuffix("_s")
                raise InputError(
                    f"engine parsl has {name} and no scheduler; give scheduler: "
                    f"{' or '.join(SCHEDULERS)}"
                )
