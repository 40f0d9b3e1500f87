"""``run.json``: what the run is, how far it has come, what came out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mlmd.checks import is_number
from mlmd.errors import DamagedDataError, RunDirectoryError
from mlmd.files import disk_full_is_a_stop, write_atomically
from mlmd.run.checksums import checksum
from mlmd.run.identity import digest

SCHEMA = 3
MEASURED_OF_OLD = "Production"
"""The one class whose trajectories were analysed before the manifest itself said which are."""
NAME = "run.json"
PREVIOUS = "run.previous.json"
"""As it was before it was last written: the run goes on from it where the newest is damaged."""
STATUSES = ("pending", "running", "stopped", "failed", "done", "blocked", "stale")


@dataclass
class StageEntry:
    """One stage in the manifest.

    ``status`` is one of ``pending``, ``running``, ``stopped``, ``failed``, ``done``;
    ``blocked``: not run, because a stage that it descends from failed; and ``stale``: it was done,
    and a stage that it descends from has to be done again. ``result`` is the stage's
    result where done, or what a failed search has seen; ``error`` the one line that it failed
    with, or that names what blocks it. ``earlier_results`` keeps what an extension replaced.
    ``flags`` are doubts about every number of the stage, its own and those of the stages that it
    descends from: ``unconverged_volume``, ``virial_pressure_volume``. ``measured`` says whether its
    trajectory is what the protocol is for. ``start`` and ``end`` are checksums of the state that
    the stage began with and ended with, ``checksums`` those of its files, by their paths in its
    folder, once it is done.
    """

    name: str
    kind: str
    folder: str
    settings: dict[str, Any]
    status: str = "pending"
    result: dict[str, Any] | None = None
    error: str | None = None
    measured: bool = False
    earlier_results: list[dict[str, Any]] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    start: str | None = None
    end: str | None = None
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass
class Manifest:
    """The content of ``run.json``.

    ``identity`` holds the stages, the structure's checksum, the calculators' physics and the
    seed, and ``identity_sha256`` their digest; ``protocol`` is the resolved protocol with its
    prose; ``extensions`` the durations (ps) that stages were lengthened to; ``sessions`` where
    and with which device and threads each start of the run worked; ``reproducible`` whether its
    calculators promise the same bits again, null where that is not known, and
    ``reproducible_because`` why. ``identity_version`` is the rule that `identity` follows;
    ``calculator`` holds the ``probe``: energy (eV) and forces (eV/A) of step 0; ``checksums`` those
    of the files that do not change, by their name. The file has one more entry, ``checksum``: of
    all the others as JSON with sorted keys.

    Schema 1 lacks the last four and the flag ``measured`` of stages; schema 2 ``checksum`` and
    what stages have since: ``start``, ``end``, ``checksums``.
    """

    identity: dict[str, Any]
    identity_sha256: str
    protocol: dict[str, Any]
    input: dict[str, Any]
    calculators: dict[str, Any]
    versions: dict[str, str]
    stages: list[StageEntry]
    created: str
    identity_version: int = 1
    calculator: dict[str, Any] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    reproducible: bool | None = None
    reproducible_because: str | None = None
    extensions: dict[str, float] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)

    def stage(self, name: str) -> StageEntry:
        """Return the entry of a stage.

        Raises
        ------
        RunDirectoryError
            If the run has no such stage.
        """
        for entry in self.stages:
            if entry.name == name:
                return entry
        names = ", ".join(entry.name for entry in self.stages)
        raise RunDirectoryError(f"the run has no stage '{name}'; it has {names}")

    def duration_ps(self, name: str) -> float | None:
        """Return the duration of a stage as it stands, extensions included, in ps."""
        duration = self.extensions.get(name, self.stage(name).settings.get("duration_ps"))
        return None if duration is None else float(duration)

    def write(self, folder: Path) -> None:
        """Write ``run.json``, atomically; the one before stays beside it."""
        content = {
            "schema": SCHEMA,
            **{key: value for key, value in vars(self).items() if key != "stages"},
            "stages": [vars(entry) for entry in self.stages],
        }
        text = json.dumps({**content, "checksum": _checksum(content)}, indent=1, allow_nan=False)
        with disk_full_is_a_stop(str(folder / NAME)):
            write_atomically(
                folder / NAME,
                lambda file: file.write(f"{text}\n".encode()),
                previous=folder / PREVIOUS,
            )

    @classmethod
    def read(cls, folder: Path, name: str = NAME) -> Manifest:
        """Read ``run.json``.

        Raises
        ------
        RunDirectoryError
            If there is none, or its schema is newer than this mlmd.
        DamagedDataError
            If it cannot be understood, or is not what was written.
        """
        path = folder / name
        try:
            content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
        except (FileNotFoundError, NotADirectoryError):
            raise RunDirectoryError(
                f"{folder} is not a run directory (it has no {name}); give one made by mlmd run"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedDataError(f"{path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise DamagedDataError(f"{path} is not a manifest of mlmd: it is no object of JSON")
        recorded = content.pop("checksum", None)
        if recorded is not None and recorded != _checksum(content):
            raise DamagedDataError(
                f"{path} is not what was written (its checksum differs): it was damaged or edited; "
                f"the mlmd run command that made the run mends it from {PREVIOUS}"
            )
        schema = content.pop("schema", None)
        if not isinstance(schema, int) or schema > SCHEMA:
            raise RunDirectoryError(
                f"{path} has schema {schema!r}; this mlmd reads up to {SCHEMA}: install a newer one"
            )
        try:
            stages = content.pop("stages", None)
            if not _fits(stages, list[dict[str, Any]]):
                raise TypeError("stages is no list of objects")
            found = cls(stages=[StageEntry(**entry) for entry in stages], **content)
            if schema == 1:
                for entry in found.stages:
                    entry.measured = entry.kind == MEASURED_OF_OLD
            _check(found)
            for number, entry in enumerate(found.stages, start=1):
                _check(entry)
                _check_stage(entry, number, [other.name for other in found.stages])
            if recorded is None and schema > 2:
                raise TypeError("it has no checksum")
            if digest(found.identity) != found.identity_sha256:
                raise TypeError("its identity is not what it was made with")
        except TypeError as error:
            raise DamagedDataError(f"{path} is not a manifest of mlmd: {error}") from error
        return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _checksum(content: dict[str, Any]) -> str:
    """Return the checksum of what a manifest says, however it is laid out."""
    return checksum(json.dumps(content, sort_keys=True, allow_nan=False).encode())


def _check_stage(entry: StageEntry, number: int, names: list[str]) -> None:
    """Raise TypeError where a value cannot be; a folder is one in the run, of a known name."""
    if names.count(entry.name) > 1:
        raise TypeError(f"it has two stages {entry.name!r}")
    if entry.folder != f"{number:02d}-{entry.name}" or Path(entry.folder).name != entry.folder:
        raise TypeError(f"folder of stage {entry.name!r} is {entry.folder!r}")
    if entry.status not in STATUSES:
        raise TypeError(f"status of stage {entry.name!r} is {entry.status!r}")
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in entry.checksums):
        raise TypeError(f"checksums of stage {entry.name!r} name a file outside of the run")


@cache
def _hints(of_stage: bool) -> dict[str, Any]:
    return get_type_hints(StageEntry if of_stage else Manifest)


def _check(part: Manifest | StageEntry) -> None:
    """Raise TypeError where a value is not of the type that its class declares."""
    hints = _hints(isinstance(part, StageEntry))
    for one in fields(part):
        if not _fits(getattr(part, one.name), hints[one.name]):
            owner = f" of stage {part.name!r}" if isinstance(part, StageEntry) else ""
            raise TypeError(f"{one.name}{owner} is no {one.type}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether what JSON gave is of a type, with all that it holds."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin is UnionType:
        return any(_fits(value, part) for part in parts)
    if origin is list:
        return isinstance(value, list) and all(_fits(item, parts[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, parts[1]) for item in value.values())
    if hint is float:
        return is_number(value)
    return isinstance(value, hint)
