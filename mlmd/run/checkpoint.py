"""Checkpoints: arrays and plain data in an ``.npz``, the one before kept."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.bounds.memory import check_memory
from mlmd.errors import DamagedDataError
from mlmd.files import write_atomically
from mlmd.run.ordinary_files import open_ordinary

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

SCHEMA = 1
PLAIN = "plain"
"""Name of the entry that holds everything that is not an array, as JSON."""
ARRAYS = "arrays"
"""Key of its list of the arrays: a damaged archive can lose one and still look whole."""


class CheckpointStore:
    """The two newest checkpoints of one folder.

    A new one is written under a third name and synced; then the old one gets its second name
    ``checkpoint.previous.npz`` and the new one becomes ``checkpoint.npz``, which is always
    whole. Only where the file system has no hard links can a kill leave the previous one alone.
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
        text = json.dumps({"schema": SCHEMA, ARRAYS: sorted(arrays), **plain}, allow_nan=False)
        write_atomically(
            self.path,
            lambda file: np.savez(file, allow_pickle=False, **{PLAIN: np.array(text)}, **arrays),
            previous=self.previous,
        )

    def load(self) -> dict[str, Any] | None:
        """Return the newest readable state, or None where there is none.

        Raises
        ------
        DamagedDataError
            If there are checkpoints and none is whole.
        OSError
            If the system does not let us read one.
        """
        problems = []
        for path in (self.path, self.previous):
            if not path.exists():
                continue
            try:
                state = _read(path)
            except Exception as error:  # of zip, of NumPy, of JSON: each has its own kinds
                if getattr(error, "errno", None) not in (None, errno.EINVAL):
                    raise  # the system's: it says nothing of what is in the file
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


def placed(atoms: Atoms, state: Mapping[str, Any]) -> Atoms:
    """Return atoms as a checkpoint has them: cell, positions, momenta where there are any."""
    atoms = atoms.copy()
    atoms.set_cell(state["cell"])
    atoms.positions[:] = state["positions"]
    if "momenta" in state:
        atoms.set_momenta(state["momenta"])
    return atoms


def _read(path: Path) -> dict[str, Any]:
    with (
        os.fdopen(open_ordinary(path, os.O_RDONLY), "rb") as archive,
        np.load(archive, allow_pickle=False) as file,
    ):
        check_memory(str(path), sum(entry.file_size for entry in file.zip.infolist()))
        # Reading every entry checks every checksum of the archive.
        state: dict[str, Any] = {name: file[name] for name in file.files}
    plain = json.loads(str(state.pop(PLAIN)))
    if plain.pop("schema") > SCHEMA:
        raise ValueError("it was written by a newer mlmd")
    if sorted(state) != plain.pop(ARRAYS, sorted(state)):
        raise ValueError("arrays are missing from it")
    return {**state, **plain}
