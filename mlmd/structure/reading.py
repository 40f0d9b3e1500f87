"""Structures from files, checked as they are read."""

from __future__ import annotations

import difflib
import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.checks import input_file
from mlmd.errors import InputError
from mlmd.structure.checks import check_bulk

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)


def read_structure(path: str | Path, format: str | None = None) -> Atoms:
    """Read the last structure of a file in any format of ASE, and check it.

    Parameters
    ----------
    path : str or pathlib.Path
        A file, such as CIF, POSCAR, extxyz or ``.traj``. Where it holds several structures the
        log says that the last was taken.
    format : str, optional
        ASE's name of the format, where the file's name does not tell.

    Returns
    -------
    ase.Atoms
        One atom at least: whether there are enough for dynamics is seen when that is asked for.
        Occupancies, all of them 1 then, are not kept.

    Raises
    ------
    InputError
        If there is no such file or format, ASE cannot read it, or `check_bulk` refuses it.
    """
    path = input_file(path, "a file that ASE can read", "structure file")
    try:
        with warnings.catch_warnings(record=True) as said:
            atoms = _last_structure(path, format)
        check_bulk(atoms)
    except InputError as error:
        what = str(error).removeprefix(str(path)).lstrip(",: ")
        raise InputError(f"structure file {str(path)!r}: {what}") from error
    except Exception as error:  # each of ASE's readers has its own kinds
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"structure file {str(path)!r} cannot be read ({type(error).__name__}: {reason}); "
            "expected a format that ASE knows, such as CIF, POSCAR or extxyz; its name can be "
            "given as format (--format)"
        ) from error
    for text in dict.fromkeys(" ".join(str(one.message).split()) for one in said):
        logger.warning("%s: %s", path, text)
    if "'?'" in repr(occupancies := atoms.info.pop("occupancy", None)):
        logger.warning("%s: unknown occupancies taken as 1 (%s)", path, occupancies)
    return atoms


def _last_structure(path: Path, format: str | None) -> Atoms:
    """Read it; what is to be said of it is a warning."""
    from ase.io.formats import filetype, get_ioformat, ioformats

    from mlmd.trajectory.ase_bounds import read_images

    if format is None:
        format = filetype(os.path.abspath(path))
    else:
        known = [name for name, kind in ioformats.items() if kind.can_read]
        if format not in known:
            near = difflib.get_close_matches(str(format).lower(), known, cutoff=0.5)
            raise InputError(
                f"format is {format!r}; expected one that ASE reads, such as "
                f"{', '.join(near or ('cif', 'vasp', 'extxyz'))}"
            )
    warnings.simplefilter("ignore")  # of NumPy's and Python's
    warnings.simplefilter("always", UserWarning)
    # Lines of a CIF of which it makes something else.
    warnings.filterwarnings("error", message="Wrong number|Badly formed")
    # Two where there can be several: the last, and whether there are others.
    index = slice(-1 if get_ioformat(format).single else -2, None)
    found = list(read_images(path, index, format))
    if not found:
        raise InputError("there is no structure in it")
    if len(found) > 1:
        warnings.warn("it holds several structures; the last is taken", stacklevel=2)
    return found[-1]
