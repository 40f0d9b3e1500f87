"""A first look at an HDF5 file of unknown origin, by a helper that cannot hang or take all memory.

HDF5 believes what a file says of itself: a damaged heap keeps it in a loop in C, a few bytes stand
for terabytes of fill values, and links lead to other files.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlmd.bounds.helper import run_helper
from mlmd.bounds.memory import memory_limit_bytes
from mlmd.errors import DamagedDataError, InputError, MlmdError

MOST_EXPANSION = 100
"""Data may be so many times larger than the file: zlib's best is 1000, of zeros."""
SMALL_BYTES = 2**20
"""Whatever the file's size, its data may be as large as this."""

_SECONDS, _BYTES_PER_S = 5.0, 50e6
_HELPER_BYTES = 3 * 2**28  # the libraries reserve half of it
_KEPT = 1000

_LOOK = """
import errno, json, sys
import h5py
path, most_bytes = arguments[0], int(arguments[1])

def end(**said):
    print(json.dumps(said))
    sys.exit(0)

def members(group, *names):
    for name in names:
        link = group.get(name, getlink=True) if name in group.keys() else None
        if link is None:
            continue
        if type(link) is h5py.ExternalLink:
            end(elsewhere=f"'{group.name}/{name}' is a link to another file")
        yield name, group[name]

def look(name, column):
    if not isinstance(column, h5py.Dataset):
        end(refused=f"{name} is no array")
    if column.is_virtual or column.external:
        end(elsewhere=f"'{name}' is stored outside the file")
    if column.dtype.kind not in "iuf":
        end(refused=f"{name} is of type {column.dtype}, not of numbers")
    if column.size is None or column.size * column.dtype.itemsize > most_bytes:
        end(refused=f"{name} of shape {column.shape} is far larger than the file")
    for key in ("unit",):
        column.attrs.get(key)
    if column.ndim == 0:
        column[()]
        return
    row = max(1, column.size // max(1, len(column)) * column.dtype.itemsize)
    step = max(1, 2**22 // row)
    for start in range(0, len(column), step):
        column[start:start + step]

try:
    with h5py.File(path, "r", locking=False) as file:
        groups = dict(members(file, "mlmd", "particles", "observables"))
        if "mlmd" in groups:
            dict(groups["mlmd"].attrs)
        for _, trajectory in members(groups.get("particles", {}), "trajectory"):
            for name, column in members(trajectory, "species", "mass"):
                look(name, column)
            inner = dict(members(trajectory, "position", "velocity", "box"))
            for _, edges in members(inner.get("box", {}), "edges"):
                inner["box/edges"] = edges
            if "box" in inner:
                dict(inner.pop("box").attrs)
            for name, group in inner.items():
                for part, column in members(group, "value", "step", "time"):
                    look(f"{name}/{part}", column)
        observables = groups.get("observables", {})
        if len(observables) > 1000:
            end(refused=f"it has {len(observables)} observables")
        for name, group in members(observables, *observables.keys()):
            for part, column in members(group, "value", "step", "time"):
                look(f"{name}/{part}", column)
except MemoryError:
    raise
except Exception as error:
    if getattr(error, "errno", None) not in (None, errno.EINVAL):
        end(errno=error.errno)
    end(damaged=" ".join(f"{error}".split()))
end()
"""


def look_first(path: Path, kind: type[MlmdError] = InputError) -> None:
    """See that an H5MD file can be read to its end here, in time and memory that its size allows.

    The same file is looked at once, until it changes.

    Parameters
    ----------
    path
        The file.
    kind
        Of the error where it is no file that mlmd has written.

    Raises
    ------
    DamagedDataError
        If HDF5 cannot read it, does not come to an end, or crashes.
    InputError
        Or another `kind`, if it leads to other files, or its arrays are far larger than the file.
    OSError
        If the system does not let us read it, which says nothing of what is in it.
    """
    stat = os.stat(path)
    said = _look(str(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if "errno" in said:
        _look.cache_clear()
        raise OSError(said["errno"], os.strerror(said["errno"]), path)
    if "elsewhere" in said:
        raise kind(f"{path} does not hold its own data: {said['elsewhere']}")
    if "refused" in said:
        raise kind(f"{path}: {said['refused']}; expected a file that mlmd has written")
    if "damaged" in said:
        raise DamagedDataError(f"{path} cannot be read as H5MD: {said['damaged']}")


@lru_cache(maxsize=_KEPT)
def _look(path: str, device: int, number: int, n_bytes: int, changed_ns: int) -> dict[str, Any]:
    """Look at a file; what it is called and when it changed say whether it is the same."""
    most = MOST_EXPANSION * n_bytes + SMALL_BYTES
    outcome = run_helper(
        _LOOK,
        [os.path.abspath(path), str(most)],
        "h5py",
        _SECONDS + n_bytes / _BYTES_PER_S,
        _HELPER_BYTES + min(most, memory_limit_bytes()),
    )
    if outcome.ended_by:
        return {"damaged": f"HDF5 was ended by {outcome.ended_by} on {n_bytes} bytes"}
    said: dict[str, Any] = json.loads(outcome.output or "{}")
    return said
