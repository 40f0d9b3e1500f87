"""Checkpoints: arrays and plain data in an ``.npz``, the one before kept."""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlmd.errors import DamagedDataError
from mlmd.run.atomic import write_atomically

logger = logging.getLogger(__name__)

SCHEMA = 1
PLAIN = "plain"
"""Name of the entry that holds everything that is not an array, as JSON."""


class CheckpointStore:
    """The two newest checkpoints of one folder.

    ``checkpoint.npz`` is always whole: a new one is written beside it, synced and renamed,
    after the old one got its second name ``checkpoint.previous.npz``.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "checkpoint.npz"
        self.previous = folder / "checkpoint.previous.npz"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state of arrays and JSON-like values.

        Raises
        ------
        OSError
            If the disk is full; the checkpoints that exist stay.
        """
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        plain = {name: value for name, value in state.items() if name not in arrays}
        # JSON of Python floats and integers is exact, also for a generator's 128-bit state.
        text = json.dumps({"schema": SCHEMA, **plain}, allow_nan=False)
        if self.path.exists():
            second_name = self.previous.with_name(f".{self.previous.name}.partial")
            second_name.unlink(missing_ok=True)
            second_name.hardlink_to(self.path)
            second_name.replace(self.previous)
        write_atomically(
            self.path,
            lambda file: np.savez(file, allow_pickle=False, **{PLAIN: np.array(text)}, **arrays),
        )

    def load(self) -> dict[str, Any] | None:
        """Return the newest readable state, or None where there is none.

        Raises
        ------
        DamagedDataError
            If there are checkpoints and none can be read.
        """
        problems = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                state = _read(path)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
                problems.append(f"{path}: {error}")
                continue
            if problems:
                logger.warning(
                    "checkpoint %s cannot be read; going on from the one before", problems[0]
                )
            return state
        if problems:
            raise DamagedDataError(
                f"no checkpoint can be read ({'; '.join(problems)}); move the folder "
                f"{self.path.parent} away to do this stage again"
            )
        return None


def _read(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        # Reading every entry checks every checksum of the archive.
        state: dict[str, Any] = {name: file[name] for name in file.files}
    plain = json.loads(str(state.pop(PLAIN)))
    if plain.pop("schema") > SCHEMA:
        raise ValueError("it was written by a newer mlmd")
    return {**state, **plain}
