"""Damage in what is finished: found by checksums, set aside, done again by the same command."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.errors import DamagedDataError, RunDirectoryError
from mlmd.files import disk_full_is_a_stop, write_atomically
from mlmd.run.checksums import damaged_files
from mlmd.run.directory import set_aside
from mlmd.run.manifest import NAME, PREVIOUS, Manifest, StageEntry
from mlmd.run.run import STRUCTURE, Run

if TYPE_CHECKING:
    from mlmd.protocol.tree import ProtocolTree
    from mlmd.run.history import EventLog

logger = logging.getLogger(__name__)


def readable_manifest(folder: Path) -> Manifest | None:
    """Return the newest manifest of a run that is what was written; None where there is none.

    Raises
    ------
    DamagedDataError
        If the newest is damaged and there is no whole one from before.
    RunDirectoryError
        If it is of a newer mlmd.
    """
    if not (folder / NAME).exists() and not (folder / PREVIOUS).exists():
        return None
    try:
        return Manifest.read(folder)
    except (DamagedDataError, RunDirectoryError) as error:
        if (folder / NAME).exists() and isinstance(error, RunDirectoryError):
            raise
        try:
            return Manifest.read(folder, PREVIOUS)
        except (DamagedDataError, RunDirectoryError):
            raise error from None


def mend_manifest(folder: Path) -> None:
    """Put the manifest from before in the place of a damaged one, which is set aside.

    The stage that was finished in between is gone on with from its last checkpoint, its end.
    """
    try:
        Manifest.read(folder)
        return
    except (DamagedDataError, RunDirectoryError) as error:
        if readable_manifest(folder) is None:
            return  # no run is here yet
        kept = "it is lost"
        if (folder / NAME).exists():
            kept = f"kept as {set_aside(folder / NAME)}"
        logger.warning("%s; %s, the run goes on from %s", error, kept, PREVIOUS)
    with disk_full_is_a_stop(str(folder)):
        content = (folder / PREVIOUS).read_bytes()
        write_atomically(folder / NAME, lambda file: file.write(content))


def is_whole(folder: Path) -> bool:
    """Tell whether a run can be read and everything that is finished is what was written."""
    try:
        return not Run.open(folder).verify()
    except (DamagedDataError, RunDirectoryError):
        return False


def set_damaged_aside(
    manifest: Manifest, protocol: ProtocolTree, folder: Path, structure: str, events: EventLog
) -> None:
    """Set aside what is finished and damaged, and note in the manifest what is to be done again.

    Stages that descend from such a one are stale until it ends again: see :func:`settle_stale`.
    """
    try:
        Run(folder, manifest).structure_text()
    except DamagedDataError as error:
        aside = set_aside(folder / STRUCTURE) if (folder / STRUCTURE).exists() else None
        logger.warning("%s; %s", error, f"kept as {aside}" if aside else "it is written again")
        events.write("structure written again", why=str(error))
        with disk_full_is_a_stop(str(folder)):
            write_atomically(folder / STRUCTURE, lambda file: file.write(structure.encode()))
    for entry in manifest.stages:
        if entry.status not in ("done", "stale"):
            continue
        problems = damaged_files(folder / entry.folder, entry.checksums)
        if not problems:
            continue
        more = f" (and {len(problems) - 1} more files)" if len(problems) > 1 else ""
        _start_again(entry, folder, events, f"{problems[0]}{more}")
        for stage in protocol.descendants(entry.name):
            other = manifest.stage(stage.name)
            if other.status == "done":
                other.status = "stale"
                other.error = f"'{entry.name}', which it descends from, is damaged"


def settle_stale(entry: StageEntry, source: StageEntry, folder: Path, events: EventLog) -> None:
    """Find a stale stage done again, or have it run again, once its source has ended.

    It is done where the source ends with the very state that the stage began with, as it does
    where forces repeat bit by bit. Of a run that is older than these checksums that is taken to be
    so.
    """
    if source.status != "done":
        return
    if entry.start is None or entry.start == source.end:
        entry.status, entry.error = "done", None
        events.write("stage confirmed", stage=entry.name)
    else:
        why = f"'{source.name}', which it starts from, was repeated and ends elsewhere"
        _start_again(entry, folder, events, why)


def _start_again(entry: StageEntry, folder: Path, events: EventLog, why: str) -> None:
    """Set the folder of a finished stage aside, so that the stage begins from its beginning."""
    place = folder / entry.folder
    aside = set_aside(place) if place.exists() else None
    kept = "nothing is left of it" if aside is None else f"it is kept as {aside.name}"
    logger.warning("stage '%s' is done again: %s; %s", entry.name, why, kept)
    events.write("stage repeated", stage=entry.name, why=why, kept=aside and aside.name)
    entry.status, entry.result, entry.error, entry.checksums = "pending", None, None, {}
