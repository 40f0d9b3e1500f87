"""Structures from files, checked as they are read; frames of a motion told from collections."""

from __future__ import annotations

import difflib
import logging
import os
import warnings
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import input_file
from mlmd.errors import InputError
from mlmd.structure.checks import check_bulk

if TYPE_CHECKING:
    from ase import Atoms

logger = logging.getLogger(__name__)

_EXPECTED = "a file that ASE can read"
_COLLECTIONS = ("cif", "db", "json", "mysql", "postgresql")
"""Formats in which structures stand beside each other, and are no frames of a motion."""
_MOST_GROWTH = 1.1
"""Of the volume from a frame to the next: it fluctuates by a few per cent in cells of 50 atoms."""


def are_frames(path: str | Path, n_compared: int | None = 8) -> bool:
    """Whether the structures of a file are frames of one trajectory, and not a collection.

    They are where there are several, of the same atoms in the same order, in cells whose volumes
    change by less than a tenth from one to the next, in a format that trajectories are written in:
    CIF and ASE's databases are collections whatever they hold. What ASE cannot read is left to the
    readers of trajectories.

    Parameters
    ----------
    path
        The file.
    n_compared
        How many structures are looked at; all if None.
    """
    from ase.io.formats import filetype

    path = Path(path)
    if path.suffix == ".h5md":
        return True
    try:
        if filetype(os.path.abspath(path)) in _COLLECTIONS:
            return False
        follow = [
            _may_follow(one, other)
            for one, other in pairwise(islice(_images(path, None), n_compared))
        ]
        return bool(follow) and all(follow)
    except Exception:  # the reader that is then tried says what is wrong
        return True


def _may_follow(one: Atoms, other: Atoms) -> bool:
    """Whether a structure may be the next frame after another."""
    volumes_A3 = [abs(float(np.linalg.det(atoms.cell.array))) for atoms in (one, other)]
    return np.array_equal(one.numbers, other.numbers) and (
        max(volumes_A3) <= _MOST_GROWTH * min(volumes_A3)
    )


def read_structures(
    path: str | Path, format: str | None = None
) -> Iterator[tuple[str, Atoms | InputError]]:
    """Read all structures of a file one after another, each as `read_structure` does.

    Parameters
    ----------
    path, format
        See `read_structure`.

    Yields
    ------
    str
        ``FILE``, or ``FILE:INDEX`` (from 0) where the file holds several.
    ase.Atoms or InputError
        The structure; or why there is none, so that one bad structure costs no other.
    """
    try:
        images = _images(input_file(path, _EXPECTED, "structure file"), format)
        first, n = _structure(path, images), 0
        while first is not None:
            following = _structure(path, images)
            yield f"{path}:{n}" if n or following is not None else str(path), first
            first, n = following, n + 1
        if n == 0:
            yield str(path), _nothing_in(path)
    except InputError as error:
        yield str(path), error


def _structure(path: str | Path, images: Iterator[Atoms]) -> Atoms | InputError | None:
    """Return the next structure, checked, or what is wrong with it; None at the end."""
    try:
        atoms = _next(path, images)
        return None if atoms is None else _checked(path, atoms)
    except InputError as error:
        return error


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
    path = input_file(path, _EXPECTED, "structure file")
    images, found, several = _images(path, format, last=True), None, False
    hint = "; its name can be given as format (--format)"
    while (atoms := _next(path, images, hint)) is not None:
        found, several = atoms, found is not None
    if found is None:
        raise _nothing_in(path)
    if several:
        logger.warning("%s: it holds several structures; the last is taken", path)
    return _checked(path, found)


def _nothing_in(path: str | Path) -> InputError:
    return InputError(f"structure file {str(path)!r}: there is no structure in it")


def _checked(path: str | Path, atoms: Atoms) -> Atoms:
    """Return a structure that `check_bulk` takes, without its occupancies."""
    try:
        check_bulk(atoms)
    except InputError as error:
        raise _about(path, error) from error
    if "'?'" in repr(occupancies := atoms.info.pop("occupancy", None)):
        logger.warning("%s: unknown occupancies taken as 1 (%s)", path, occupancies)
    return atoms


def _about(path: str | Path, error: InputError) -> InputError:
    what = str(error).removeprefix(str(path)).lstrip(",: ")
    return InputError(f"structure file {str(path)!r}: {what}")


def _next(path: str | Path, images: Iterator[Atoms], hint: str = "") -> Atoms | None:
    """Return the next structure, None at the end; what ASE's readers say is logged or raised."""
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("ignore")  # of NumPy's and Python's
            warnings.simplefilter("always", UserWarning)
            # Lines of a CIF of which it makes something else.
            warnings.filterwarnings("error", message="Wrong number|Badly formed")
            atoms = next(images, None)
    except InputError as error:
        raise _about(path, error) from error
    except Exception as error:  # each of ASE's readers has its own kinds
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"structure file {str(path)!r} cannot be read ({type(error).__name__}: {reason}); "
            f"expected a format that ASE knows, such as CIF, POSCAR or extxyz{hint}"
        ) from error
    for text in dict.fromkeys(" ".join(str(one.message).split()) for one in said):
        logger.warning("%s: %s", path, text)
    return atoms


def _images(path: Path, format: str | None, last: bool = False) -> Iterator[Atoms]:
    """Give the structures of a file; of `last` the last, and one more if there are others."""
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
    start = None if not last else -1 if get_ioformat(format).single else -2
    yield from read_images(path, slice(start, None), format)
