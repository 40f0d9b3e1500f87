"""Numbers that a user gave, checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlmd.errors import InputError


def whole_number(name: str, value: Any, smallest: int) -> int:
    """Return `value` as an int, or raise InputError if it is no whole number from `smallest` on."""
    is_whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_whole or value < smallest:
        raise InputError(f"{name} is {value!r}; expected a whole number of at least {smallest}")
    return int(value)


def positive_number(name: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or raise InputError if it is not finite and above 0."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{name} is {value!r}; expected a positive number of {unit}")
    return number
