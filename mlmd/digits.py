"""Numbers as people read them: as many digits as their error allows, powers of ten written out.

One rule for terminal, pages and plots: a value and its error have the same decimals and the same
power of ten, and the error has two significant digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

DASH = "–"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ERROR_DIGITS = 2
_MOST_DECIMALS = 15
_PLAIN = range(-3, 5)
"""Powers of ten that are written in decimals: beyond, zeros pile up."""


@dataclass(frozen=True)
class Style:
    """How a face writes numbers.

    Attributes
    ----------
    plus_minus, minus : str
        Signs.
    times : callable
        Writes the factor of a power of ten.
    frame : str
        What a whole number is put in, with ``{}`` for it.
    """

    plus_minus: str
    minus: str
    times: Callable[[int], str]
    frame: str = "{}"


PAGE = Style("±", "\N{MINUS SIGN}", lambda power: f" × 10{str(power).translate(_SUPERSCRIPTS)}")
TERMINAL = Style("+-", "-", lambda power: f"e{power:+03d}")
MATHTEXT = Style(r"\pm", "-", lambda power: rf"\times 10^{{{power}}}", "${}$")


def number(value: float | int | None, digits: int = 3, style: Style = PAGE) -> str:
    """Write a number with some significant digits; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    if isinstance(value, int) or value == 0:
        return style.frame.format(f"{value:d}" if isinstance(value, int) else "0")
    power = _power(value, digits)
    if power in _PLAIN:
        return style.frame.format(_plain(value, max(0, digits - 1 - power), style))
    text = _plain(value / 10.0**power, digits - 1, style)
    return style.frame.format(text + style.times(power))


def with_error(value: float | None, error: float | None, style: Style = PAGE) -> str:
    """Write a number with its standard error: ``0.251 ± 0.018``, ``(1.52 ± 0.31) × 10⁻⁴``.

    Without an error, or with one of 0, it is :func:`number`.
    """
    known = value is not None and error is not None and math.isfinite(value) and error > 0
    if not known or value is None or error is None or not math.isfinite(error):
        return number(value, style=style)
    # The power of the larger of the two, as it will be rounded.
    factor = _factor(max(abs(value), error))
    scaled_error = error / 10.0**factor
    decimals = min(max(0, _ERROR_DIGITS - 1 - _power(scaled_error, _ERROR_DIGITS)), _MOST_DECIMALS)
    body = (
        f"{_plain(value / 10.0**factor, decimals, style)} {style.plus_minus} "
        f"{_plain(scaled_error, decimals, style)}"
    )
    return style.frame.format(f"({body}){style.times(factor)}" if factor else body)


def with_interval(
    value: float | None,
    interval: Sequence[float | None] | None,
    digits: int = 3,
    style: Style = PAGE,
) -> str:
    """Write a number with its interval: ``2.21 [1.9, 2.5] × 10⁻⁴``, ``0.21 [0.14, 0.28]``.

    An end that is None is not known: ``2.21e-04 [1.9e-04, no end]``.
    """
    if value is None or interval is None:
        return number(value, digits, style)
    ends = [end for end in interval if end is not None]
    if len(ends) < len(interval):
        low, high = ("no end" if end is None else number(end, 2, style) for end in interval)
        return f"{number(value, digits, style)} [{low}, {high}]"
    largest = max(abs(value), *(abs(end) for end in ends))
    if largest == 0 or not math.isfinite(largest):
        return number(value, digits, style)
    power, factor = _power(largest, digits), _factor(largest)
    width = (ends[1] - ends[0]) / 2.0 / 10.0**factor
    # Two digits of the half width: more would say what is not known.
    decimals = digits - 1 if width <= 0 else max(0, _ERROR_DIGITS - 1 - _power(width, 2))
    decimals = min(decimals, max(0, digits + 1 - (power - factor)))
    low, high = (_plain(end / 10.0**factor, decimals, style) for end in ends)
    text = f"{_plain(value / 10.0**factor, decimals, style)} [{low}, {high}]"
    return style.frame.format(text + style.times(factor) if factor else text)


def r_squared_text(r2: float | None, style: Style = PAGE) -> str:
    """Write a coefficient of determination so that its distance from 1 shows, with two digits."""
    if r2 is None or not math.isfinite(r2):
        return DASH
    if r2 >= 1.0:
        return _plain(r2, 0 if r2 == 1.0 else 2, style)
    return _plain(r2, min(6, max(2, 1 - math.floor(math.log10(1.0 - r2)))), style)


def value_of(value: float | int | str | None) -> str:
    """Return all digits of a number, for machines and spreadsheets; empty where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return value if isinstance(value, str) else repr(value)


def _power(value: float, digits: int) -> int:
    """Return the power of ten of a number as it will be rounded."""
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _factor(largest: float) -> int:
    """Return the power of ten that is taken out of a number and what stands beside it."""
    power = _power(largest, 3)
    return 0 if power in _PLAIN else power


def _plain(value: float, decimals: int, style: Style) -> str:
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", style.minus)
