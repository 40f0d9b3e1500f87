"""What a user gave, checked: one rule for each kind of value.

Each returns the value as the plain type it is to be, or raises :class:`mlmd.errors.InputError`,
which says what was given and what was expected. Numbers of NumPy count, ``True`` is no number, and
neither is a text that spells one.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real  # NumPy's numbers are registered with these
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import ArrayLike

    from mlmd.arrays import FloatArray

MOST_WHOLE = 2**63 - 1
"""Largest whole number of HDF5 and of most programs."""
MOST_SHOWN = 120
"""Characters of a value that a message shows."""


def is_number(value: Any) -> bool:
    """Tell whether a value is a real number, infinite ones and NaN included."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Tell whether a value is of a whole-number type: 2.0 is not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole_number(name: str, value: Any, least: int = 1, most: int | None = MOST_WHOLE) -> int:
    """Return a whole number from `least` to `most`, which None leaves open."""
    if not is_whole(value) or value < least or (most is not None and value > most):
        up_to = f" and at most {most}" if is_whole(value) and value >= least else ""
        raise InputError(
            f"{name} is {shown(value)}; expected a whole number of at least {least}{up_to}"
        )
    return int(value)


def finite_number(name: str, value: Any, unit: str = "") -> float:
    """Return a number that is neither infinite nor NaN."""
    number = _real(value)
    if not math.isfinite(number):
        wanted = f"a number{f' in {unit}' if unit else ''}"
        raise InputError(f"{name} is {shown(value)}; expected {wanted}")
    return number


def number_of_at_least(name: str, value: Any, least: float, unit: str = "") -> float:
    """Return a finite number of at least `least`."""
    number = _real(value)
    if not least <= number < math.inf:
        wanted = f"a number of at least {least:g}{f' {unit}' if unit else ''}"
        raise InputError(f"{name} is {shown(value)}; expected {wanted}")
    return number


def positive_number(name: str, value: Any, unit: str = "") -> float:
    """Return a finite number above zero; `unit` as ``eV`` or ``K``, in words for the message."""
    number = _real(value)
    if not 0 < number < math.inf:
        wanted = f"a positive number{f' in {unit}' if unit else ''}"
        raise InputError(f"{name} is {shown(value)}; expected {wanted}")
    return number


def fraction(name: str, value: Any) -> float:
    """Return a number between 0 and 1, both excluded."""
    number = _real(value)
    if not 0 < number < 1:
        raise InputError(f"{name} is {shown(value)}; expected a number between 0 and 1")
    return number


def _real(value: Any) -> float:
    """Return a number as a float, NaN where it is none and infinity where it is too large."""
    if not is_number(value):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf


def shown(value: Any) -> str:
    """Return a value as a message shows it: in one line, and not a page of it."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a whole number of more than 4300 digits, or the user's own class
        return f"a {type(value).__name__} that cannot be written out"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def usable_text(name: str, value: Any) -> str:
    """Return a text that is not empty and can be written to any file."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name} is {shown(value)}; expected a text")
    if "\0" in value:
        raise InputError(f"{name} is {shown(value)}; expected a text without the character 0")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} is {value!a}; expected text in UTF-8") from None
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Return several texts, of a list or tuple: one text alone is not a list of its letters."""
    return tuple(usable_text(name, one) for one in listed(name, value, "texts"))


def listed(name: str, value: Any, of: str) -> Sequence[Any]:
    """Return a list or tuple; `of` what is in it, for the message."""
    if not isinstance(value, list | tuple):
        raise InputError(f"{name} is {shown(value)}; expected a list of {of}")
    return value


def usable_path(name: str, value: Any) -> Path:
    """Return a path that the file system can look at, whether or not there is something."""
    if isinstance(value, bytes) or not isinstance(value, str | os.PathLike):
        raise InputError(f"{name} is {shown(value)}; expected a path")
    path = Path(usable_text(name, os.fspath(value)))
    try:
        os.stat(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            raise InputError(
                f"{name} {shown(str(path))} cannot be used ({error.strerror}); give another path"
            ) from error
    return path


def finite_series(values: ArrayLike, least: int = 1) -> FloatArray:
    """Return values as an array of one dimension, of which there are enough, all finite."""
    import numpy as np

    try:
        series = np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"values are {shown(values)}; expected numbers") from error
    if series.ndim != 1 or series.size < least or not np.isfinite(series).all():
        raise InputError(
            f"values of shape {series.shape} were given; expected one dimension with at least "
            f"{least} value{'s' if least > 1 else ''}, all finite"
        )
    return series


def truth(name: str, value: Any) -> bool:
    """Return True or False, and nothing that merely counts as one."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {shown(value)}; expected true or false")
    return value


def choice(name: str, value: Any, known: Collection[str]) -> str:
    """Return a text that is one of those known."""
    if not isinstance(value, str) or value not in known:
        raise InputError(f"{name} is {shown(value)}; expected {' or '.join(known)}")
    return value


def by_name(what: str, value: Any) -> Mapping[Any, Any]:
    """Return a mapping."""
    if not isinstance(value, Mapping):
        raise InputError(f"{what} is {shown(value)}; expected values by name")
    return value


def known_keys(what: str, given: Mapping[Any, Any], known: Collection[str]) -> None:
    """Raise where a mapping has keys that mean nothing, instead of passing them over."""
    unknown = sorted(str(key) for key in by_name(what, given) if key not in known)
    if unknown:
        raise InputError(
            f"{what} has no {', '.join(unknown)}; it has {', '.join(sorted(known)) or 'none'}"
        )


def element(name: str, value: Any) -> str:
    """Return the symbol of a chemical element."""
    from ase.data import atomic_numbers

    if not isinstance(value, str) or not atomic_numbers.get(value):
        raise InputError(f"{name} {shown(value)} is unknown; expected one such as Li")
    return value


def kind_of_no_file(mode: int) -> str:
    """Say what something is that is no ordinary file, by its mode."""
    for is_it, name in (
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe, no ordinary file"),
        (stat.S_ISSOCK, "a socket, no ordinary file"),
    ):
        if is_it(mode):
            return name
    return "a device, no ordinary file"


def input_file(path: str | Path, expected: str, what: str = "file") -> Path:
    """Return the path of an ordinary file that is there: to open another kind may never end.

    Parameters
    ----------
    path
        The file; symbolic links are followed.
    expected
        What it should be, for the message: "a trajectory (.h5md, .traj, ...)".
    what
        What to call it there.
    """
    place = usable_path(what, path)
    try:
        mode = place.stat().st_mode
    except OSError as error:
        raise InputError(f"no {what} {path}; expected {expected}") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"{what} {path} is {kind_of_no_file(mode)}; expected {expected}")
    return place


def one_structure(name: str, value: Any) -> Atoms:
    """Return one structure of ASE's, and nothing that holds one or can be made into one."""
    from ase import Atoms

    if isinstance(value, Atoms):
        return value
    what, remedy = f"a {type(value).__name__}", "expected ase.Atoms"
    if hasattr(value, "to_ase_atoms"):
        remedy += ", e.g. structure.to_ase_atoms()"
    elif isinstance(value, str | Path):
        what = f"a path ({str(value)!r})"
        remedy += "; read it first with mlmd.structure.read_structure"
    elif isinstance(value, list | tuple):
        what = f"a {type(value).__name__} of {len(value)}"
        remedy += ": one structure, give them one after the other"
    raise InputError(f"{name} is {what}; {remedy}")
