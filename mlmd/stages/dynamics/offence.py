"""The frame that made a stage fail, kept to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.files import disk_full_is_a_stop, write_atomically
from mlmd.run.identity import structure_text

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.run.directory import StageFolder

NAME = "unstable.extxyz"


def save_offending_frame(atoms: Atoms, folder: StageFolder) -> Path:
    """Write positions and momenta of the frame at which a guard tripped; return the file."""
    folder.lock.check()
    path = folder.path / NAME
    text = structure_text(atoms).encode()
    with disk_full_is_a_stop(str(path)):
        write_atomically(path, lambda file: file.write(text))
    return path
