"""What a screening keeps on the disk, so that a killed one goes on.

Each structure has a folder whose name is a hash of all that decides its numbers: the structure, the
calculator's physics and the settings. The same question finds its answer again, whatever the files
are called, and another question another folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from mlmd.errors import InputError, RunLockedError
from mlmd.files import check_folder, write_json

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.screening.scan.scan import ScanSettings

logger = logging.getLogger(__name__)

SCHEMA = 1
MARK = "screening.json"
"""The file that says of a folder that it is of screenings."""
LOCK = "lock"
"""Held while a process works on the folder; let go by the system when it ends, however it does."""


def check_kept(folder: Path) -> None:
    """Refuse a folder that holds something else, or that nothing can be written into.

    Raises
    ------
    InputError
        If so.
    """
    check_folder(folder.absolute(), f"{folder} cannot be written", new=True)
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    mark = folder / MARK
    try:
        content = json.loads(mark.read_text("utf-8")) if mark.is_file() else None
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(
            f"{folder} is not empty and was not made by a screening of this version; give another "
            "folder (--keep)"
        )


def make_kept(folder: Path) -> TextIO:
    """Make the folder of screenings, or see that it is one; return its lock, to be closed.

    Raises
    ------
    RunLockedError
        If another process works on it: two would ask for the same energies, and write into the
        same files.
    """
    check_kept(folder)
    if not (folder / MARK).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / MARK, {"schema": SCHEMA})
    lock = (folder / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise RunLockedError(
            f"another process works on {folder}; wait for it, or give another folder (--keep)"
        ) from None
    except OSError as error:  # a file system without locks
        logger.warning(
            "%s cannot be locked (%s); let one process at a time work on it", folder, error.strerror
        )
    return lock


class Kept:
    """The folder of one structure.

    Parameters
    ----------
    folder
        Of the screening, from :func:`make_kept`.
    atoms
        As they were given.
    asked
        What else decides the numbers, as JSON has it.
    """

    def __init__(self, folder: Path, atoms: Atoms, asked: dict[str, Any]) -> None:
        arrays = (atoms.numbers, atoms.cell.array, atoms.positions)
        text = json.dumps({"schema": SCHEMA, **asked}, sort_keys=True)
        content = b"".join(np.ascontiguousarray(one).tobytes() for one in arrays) + text.encode()
        self.path = folder / hashlib.blake2b(content, digest_size=8).hexdigest()
        self.path.mkdir(exist_ok=True)

    def read(self, name: str) -> Any:
        """Return what is kept under a name; None where nothing is."""
        path = self.path / f"{name}.json"
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def write(self, name: str, content: Any) -> None:
        """Keep plain data under a name."""
        write_json(self.path / f"{name}.json", content)


def what_decides(
    physics: dict[str, Any], mobile: str, settings: ScanSettings, relax: bool
) -> dict[str, Any]:
    """Return what decides the numbers of a structure besides the structure."""
    scan = asdict(settings)
    del scan["batch"]
    return {"calculator": physics, "mobile": mobile, "scan": scan, "relax": relax}


def plain_atoms(atoms: Atoms) -> dict[str, Any]:
    """Return elements, places and cell as JSON has them, to the last bit."""
    return {
        "numbers": atoms.numbers.tolist(),
        "positions_A": atoms.positions.tolist(),
        "cell_A": atoms.cell.array.tolist(),
    }


def atoms_of(content: dict[str, Any]) -> Atoms:
    """Return atoms from :func:`plain_atoms`."""
    from ase import Atoms

    return Atoms(content["numbers"], content["positions_A"], cell=content["cell_A"], pbc=True)
