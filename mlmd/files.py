"""Writing files: whole or not at all, and nothing of a user's is ever lost.

`write_output` is the one way to a file that a user asked for. The files of a run are written by
`write_atomically`: the process that holds the run's lock may replace them, nobody else.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from mlmd.errors import DiskFullError, InputError, StoppedError
from mlmd.marks import is_earlier, seal

logger = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)
CANNOT = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system says that has no such call: CIFS, FUSE, shared folders of virtual machines."""
RUN_FILE, STUDY_FILE = "run.json", "study.json"
"""The file that makes a folder a run directory, and that of a study."""
PLOT_SUFFIXES = (".png", ".svg", ".pdf")
_NEVER_OF_A_RUN = (*PLOT_SUFFIXES, ".html", ".htm")
# What a run and a study write themselves: where that will be, no output goes.
_OWN = {
    RUN_FILE: r"\.?(run(\.previous)?\.json|structure\.extxyz|log\.jsonl|lock|heartbeat"
    r"|analysis\.json)(\..*)?"
    r"|\d\d+-.+/.+",
    STUDY_FILE: r"\.?(study|comparison)\.json(\..*)?|runs/.+",
}
_inputs: ContextVar[tuple[Path, ...]] = ContextVar("inputs", default=())


@contextmanager
def keeping_inputs(paths: Iterable[Path]) -> Iterator[None]:
    """Let no output replace these files, nor what is in these folders, while this lasts."""
    token = _inputs.set((*_inputs.get(), *paths))
    try:
        yield
    finally:
        _inputs.reset(token)


def check_output(
    path: str | Path,
    kind: str,
    force: bool = False,
    *,
    inputs: Iterable[str | Path] = (),
    new_folder: bool = False,
) -> Path:
    """See that an output can be written, before anything is computed for it.

    Parameters
    ----------
    path
        Where it is to be. A symbolic link is refused, `force` or not: neither the link nor what
        it points to was made to be replaced. A folder on the way may be one.
    kind
        One of :data:`mlmd.marks.KINDS`.
    force
        Replace an ordinary file, whatever is in it; but never an input or a file of a run or of
        a study. Their pages and plots can be replaced.
    inputs
        Files, or folders, that the output is made from; those of :func:`keeping_inputs` count
        too.
    new_folder
        Whether :func:`write_output` makes the folder that it is to be in.

    Raises
    ------
    InputError
        If nothing can be written there, or something is there that is no earlier output of that
        kind.
    """
    path = Path(path)
    there = _what_is_at(path)
    if kind == "plot" and path.suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(f"{path} cannot be drawn; expected a name with {', '.join(PLOT_SUFFIXES)}")
    check_folder(path.parent, f"{path} cannot be written", new_folder)
    known = there is not None and is_earlier(path, kind)
    if not known and path.suffix.lower() not in _NEVER_OF_A_RUN:
        refuse_files_of_runs(path)
    if there is None:
        return path
    _refuse_inputs(path, known, there, (*map(Path, inputs), *_inputs.get()))
    if not known:
        if kind == "journal":
            raise InputError(f"{path} was not written by Optuna; give another file")
        if not force:
            raise InputError(
                f"{path} exists; nothing is overwritten: give another name, or --force (in Python "
                "force=True) to replace it"
            )
    return path


def check_folder(folder: Path, what: str, new: bool = False) -> None:
    """See that files can be written into a folder, one that is still to be made where `new`.

    Raises
    ------
    InputError
        If not; it begins with `what`.
    """
    place = folder
    while new and not os.path.lexists(place):
        place = place.parent
    if not os.path.lexists(place):
        raise InputError(f"{what}: folder {folder} does not exist; make it first")
    if not place.is_dir():
        raise InputError(f"{what}: {place} is no folder; give another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(f"{what}: nothing may be written into {place}; give another place")


def refuse_one_place(places: Iterable[Path]) -> None:
    """Raise where two outputs would go to one place.

    Names that differ in case or in the form of their accents alone count as one: on some file
    systems they are.
    """
    seen = set()
    for path in places:
        key = unicodedata.normalize("NFC", os.path.realpath(path)).casefold()
        if key in seen:
            raise InputError(f"{path} is given for two outputs; give each a name of its own")
        seen.add(key)


def _what_is_at(path: Path) -> os.stat_result | None:
    """Return what is known of an ordinary file; None where there is nothing."""
    try:
        there = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # the latter of names that hold a NUL
        raise _cannot(path, error) from error
    if stat.S_ISDIR(there.st_mode):
        raise InputError(f"{path} is a folder; expected the name of a file to write")
    if stat.S_ISLNK(there.st_mode):
        raise InputError(
            f"{path} exists as a symbolic link to {os.readlink(path)}; give the name of a file"
        )
    if not stat.S_ISREG(there.st_mode):
        raise InputError(f"{path} exists and is no ordinary file; give another name")
    return there


def refuse_files_of_runs(path: Path) -> None:
    """Raise for a file in a run or a study, and for a place where one of their own will be.

    A folder is refused for the latter alone. Where a file of a run has another name elsewhere (a
    hard link), that name may be replaced: by renaming, which leaves the run its file.

    Raises
    ------
    InputError
        If so, or if the place cannot be looked at.
    """
    try:
        there = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        a_file = False
    except (OSError, ValueError) as error:
        raise _cannot(path, error) from error
    else:
        if stat.S_ISDIR(there.st_mode):
            return
        a_file = True
    place = Path(os.path.realpath(path))
    for folder in place.parents:
        for name, own in _OWN.items():
            theirs = a_file or re.fullmatch(own, place.relative_to(folder).as_posix())
            if theirs and os.path.lexists(folder / name):
                what = name.removesuffix(".json")
                raise InputError(f"{path} is a file of the {what} in {folder}; give another name")


def _cannot(path: Path, error: Exception) -> InputError:
    """Return the error of a place that the system refuses."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return InputError(f"{path} cannot be written ({reason}); give another place")


def _refuse_inputs(path: Path, known: bool, there: os.stat_result, inputs: Iterable[Path]) -> None:
    """Raise for an input by whatever name, and for what a folder that is one holds."""
    refused = InputError(f"{path} is an input, which no output replaces; give another name")
    folders = []
    for given in inputs:
        try:
            about = os.stat(given)
        except (OSError, ValueError):  # whoever reads it says so
            continue
        if os.path.samestat(about, there):
            raise refused
        if stat.S_ISDIR(about.st_mode):
            folders.append(given)
    if known:
        return
    for folder in folders:
        if os.path.lexists(folder / RUN_FILE) and path.suffix.lower() in _NEVER_OF_A_RUN:
            continue
        if any(parent.samefile(folder) for parent in Path(os.path.realpath(path)).parents):
            raise refused
        if there.st_nlink > 1 and any(
            os.path.samestat(one.lstat(), there) for one in folder.rglob("*")
        ):
            raise refused


@contextmanager
def write_output(
    path: str | Path,
    kind: str,
    force: bool = False,
    *,
    inputs: Iterable[str | Path] = (),
    new_folder: bool = False,
) -> Iterator[Path]:
    """Write a file for a user: give a place beside it, and move that there when all is written.

    ::

        with write_output("li.csv", "table") as place:
            frame.to_csv(place)

    Parameters
    ----------
    path, kind, force, inputs, new_folder
        As for :func:`check_output`, which is called first.

    Yields
    ------
    Path
        To be written to; with the name of `path`, in a folder of its own beside it.

    Raises
    ------
    InputError
        As :func:`check_output`, and if it cannot be written; nothing is left behind then.
    """
    inputs = tuple(inputs)
    path = check_output(path, kind, force, inputs=inputs, new_folder=new_folder)
    made = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".mlmd-", dir=path.parent) as beside:
            place = Path(beside, path.name)
            yield place
            seal(place, kind)
            with place.open("rb") as file:
                os.fsync(file.fileno())
            # Somebody else may have written there meanwhile.
            check_output(path, kind, force, inputs=inputs)
            if os.path.lexists(path):
                place.replace(path)
            else:
                _put_where_nothing_is(place, path)
        sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_full(error):
            raise
        raise _cannot(path, error) from error
    finally:
        for folder in made:
            with suppress(OSError):  # it is not empty: all went well
                folder.rmdir()


def _put_where_nothing_is(place: Path, path: Path) -> None:
    """Rename, unless somebody else has written a file of that name meanwhile."""
    try:
        path.hardlink_to(place)  # unlike a renaming, it fails where there is one
    except FileExistsError as error:
        raise InputError(f"{path} exists; nothing is overwritten: give another name") from error
    except OSError:  # no hard links here
        check_output(path, "structure")
        place.rename(path)


@contextmanager
def disk_full_is_a_stop(what: str) -> Iterator[None]:
    """Turn the system's "no space left" into :class:`DiskFullError`; a read-only disk stops too."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EROFS:
            raise StoppedError(
                f"the disk has become read-only while {what} was to be written; everything up to "
                "the last checkpoint is kept: make it writable"
            ) from error
        if not _is_full(error):
            raise
        raise DiskFullError(
            f"no space left on the disk while writing {what}; everything up to the last checkpoint "
            "is kept: free space, then give the same command to go on"
        ) from error


def _is_full(error: OSError | RuntimeError) -> bool:
    """Tell whether there was no space; some errors of HDF5 say so in their text only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    return any(f"errno = {number}," in str(error) for number in FULL)


def write_atomically(
    path: Path, write: Callable[[BinaryIO], Any], *, previous: Path | None = None
) -> None:
    """Write beside `path`, wait for the disk, rename.

    For the one process that owns the folder: what a killed one left half done is replaced.

    Parameters
    ----------
    path
        The file.
    write
        Writes the content.
    previous
        Name that the file there is now shall have afterwards.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left behind then.
    """
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with partial.open("xb") as file:  # made anew: it is no link to somewhere else
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.exists():
            _keep_as(path, previous)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _keep_as(path: Path, previous: Path) -> None:
    """Give a file a second name, or rename it where the file system has no hard links."""
    second_name = previous.with_name(f".{previous.name}.partial")
    second_name.unlink(missing_ok=True)
    try:
        second_name.hardlink_to(path)
    except OSError as error:
        if error.errno in FULL:
            raise
        path.replace(previous)
        return
    second_name.replace(previous)
    second_name.unlink(missing_ok=True)  # still there where both were one file already


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, atomically; what is not a number of JSON's is refused."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where its file system can do that."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        _warn_of_folders(os.strerror(error.errno))
    finally:
        os.close(handle)


@cache
def _warn_of_folders(reason: str) -> None:
    """Say it once: after a crash of the machine the newest files may have their old names."""
    logger.warning(
        "the file system cannot write out a folder (%s): going on; after a power failure the last "
        "checkpoint may be missing and the one before be taken",
        reason,
    )
