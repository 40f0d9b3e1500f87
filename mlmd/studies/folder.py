"""The directory of a study: whose it is, and what lies where."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from mlmd.errors import RunDirectoryError
from mlmd.files import check_folder, disk_full_is_a_stop, write_json
from mlmd.plain import to_plain, without_nan

STUDY, COMPARISON, REPORT, RUNS = "study.json", "comparison.json", "report.html", "runs"
SCHEMA = 1
_KEYS = {
    STUDY: {"schema", "created", "references", "calculators"},
    COMPARISON: {"schema", "ranking", "surrogates"},
}


def check_study(folder: Path) -> None:
    """Refuse a directory that holds something else, or that nothing can be written into.

    Raises
    ------
    RunDirectoryError
        If it is a file, or has files and is no study.
    """
    place = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not place.is_dir():
        raise RunDirectoryError(f"{place} is no directory; give another one for the study")
    check_folder(folder.absolute(), f"{folder} cannot be written", new=True)
    if not folder.is_dir():
        return
    if os.path.lexists(folder / STUDY):
        for name, keys in _KEYS.items():
            _check_own(folder / name, keys)
        return
    foreign = sorted(item.name for item in folder.iterdir() if not item.name.startswith("."))
    if foreign:
        raise RunDirectoryError(
            f"{folder} is not empty and no study ({', '.join(foreign[:3])}); give a new directory"
        )


def _check_own(path: Path, keys: set[str]) -> None:
    """Refuse a file of somebody else's that has the name of one of the study's."""
    if not os.path.lexists(path):
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError):
        content = None
    if path.is_symlink() or not isinstance(content, dict) or not keys <= content.keys():
        raise RunDirectoryError(
            f"{path} was not written by a study of mlmd, or was changed; give another directory"
        )


def write_study(folder: Path, content: dict[str, Any]) -> None:
    """Write what the study is; the first file of its directory."""
    with disk_full_is_a_stop(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / STUDY, {"schema": SCHEMA, **content})


def write_comparison(folder: Path, content: dict[str, Any]) -> Path:
    """Write the numbers of all surrogates."""
    path = folder / COMPARISON
    with disk_full_is_a_stop(str(path)):
        write_json(path, without_nan(to_plain({"schema": SCHEMA, **content})))
    return path


def created(folder: Path) -> str:
    """Return when the study was begun; now, where it was not yet."""
    try:
        return str(json.loads((folder / STUDY).read_text(encoding="utf-8"))["created"])
    except (OSError, ValueError, KeyError):
        return time.strftime("%Y-%m-%dT%H:%M:%S%z")
