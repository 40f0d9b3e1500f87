"""How much memory one thing that is read or made may take."""

from __future__ import annotations

import math
import os
from pathlib import Path

from mlmd.errors import InputError

VARIABLE = "MLMD_MEMORY_LIMIT_GB"
"""Environment variable that sets the limit; half of the machine's memory where it is not set."""

GB = 10**9
_FALLBACK_BYTES = 4 * GB  # where the system does not say what it has
_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit_bytes() -> int:
    """Return what one trajectory, structure, table or model may take in memory.

    Raises
    ------
    InputError
        If :data:`VARIABLE` is set to what is no positive number.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return _machine_bytes() // 2
    try:
        limit_GB = float(given)
    except ValueError:
        limit_GB = math.nan
    if not 0 < limit_GB < math.inf:
        raise InputError(f"{VARIABLE} is {given!r}; expected a number of gigabytes above 0")
    return round(limit_GB * GB)


def check_memory(what: str, n_bytes: float, remedy: str = "") -> None:
    """Raise unless so many bytes may be used.

    Parameters
    ----------
    what
        What takes the memory: the beginning of the message.
    n_bytes
        How much of it.
    remedy
        What else than a higher limit would help.

    Raises
    ------
    InputError
        If it is more than :func:`memory_limit_bytes`.
    """
    limit = memory_limit_bytes()
    if n_bytes <= limit:
        return
    instead = f"{remedy}, or " if remedy else ""
    raise InputError(
        f"{what} would take {_gigabytes(n_bytes)} of memory; the limit is {_gigabytes(limit)}: "
        f"{instead}set {VARIABLE} higher"
    )


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / GB:.3g} GB"


def _machine_bytes() -> int:
    """Return the memory of the machine, or of the part of it that a container or job is given."""
    try:
        known = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (ValueError, OSError):
        known = [_FALLBACK_BYTES]
    for path in _CONTROL_GROUPS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():  # else "max": none
            known.append(int(text))
    return min(known)
