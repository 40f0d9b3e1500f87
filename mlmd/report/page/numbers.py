"""Numbers as people read them: as many digits as their error allows, powers of ten written out."""

from __future__ import annotations

import math
from collections.abc import Sequence

DASH = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | int | None, digits: int = 3) -> str:
    """Write a number with some significant digits; a dash where there is none.

    Plain between a thousandth and a hundred thousand, else as a power of ten.
    """
    if value is None or not math.isfinite(value):
        return DASH
    if isinstance(value, int) or value == 0:
        return f"{value:d}" if isinstance(value, int) else "0"
    power = _power(value, digits)
    if -3 <= power <= 4:
        return _plain(value, max(0, digits - 1 - power))
    return f"{_plain(value / 10.0**power, digits - 1)} × 10{_superscript(power)}"


def with_interval(value: float | None, interval: Sequence[float] | None, digits: int = 3) -> str:
    """Write a number with its interval: ``2.21 [1.9, 2.5] × 10⁻⁴``, ``0.21 [0.14, 0.28]``."""
    if value is None or interval is None:
        return number(value, digits)
    largest = max(abs(value), *(abs(end) for end in interval))
    if largest == 0 or not math.isfinite(largest):
        return number(value, digits)
    power = _power(largest, digits)
    factor = 0 if -2 <= power <= 4 else power
    width = (interval[1] - interval[0]) / 2.0 / 10.0**factor
    # Two digits of the half width: more would say what is not known.
    decimals = digits - 1 if width <= 0 else max(0, 1 - math.floor(math.log10(width)))
    decimals = min(decimals, max(0, digits + 1 - (power - factor)))
    low, high = (_plain(end / 10.0**factor, decimals) for end in interval)
    text = f"{_plain(value / 10.0**factor, decimals)} [{low}, {high}]"
    return f"{text} × 10{_superscript(factor)}" if factor else text


def value_of(value: float | int | str | None) -> str:
    """Return all digits of a number, for machines and spreadsheets; empty where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else repr(value)


def _power(value: float, digits: int) -> int:
    """Return the power of ten of a number as it will be rounded."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _plain(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _superscript(power: int) -> str:
    return str(power).translate(_SUPERSCRIPTS)
