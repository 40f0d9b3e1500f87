"""What the plots share: a figure without global state, colours, numbers with their errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Distinguishable with any colour vision: M. Okabe, K. Ito, Color Universal Design (2008)."""


def new_axes() -> Axes:
    """Return axes in a figure of their own, which pyplot does not know and nobody must close."""
    from matplotlib.figure import Figure

    return Figure(figsize=(5.2, 3.9), dpi=150, layout="constrained").add_subplot()


def with_error(value: float, error: float | None) -> str:
    r"""Format a number in mathtext with two digits of its error: (1.52 \pm 0.31) x 10^-4."""
    reference = max(abs(value), error or 0.0)
    if reference == 0.0 or not math.isfinite(reference):
        return f"${value:g}$"
    power = math.floor(math.log10(reference))
    # Decimals are easier to read than powers of ten where no zeros pile up.
    power = 0 if -2 <= power <= 2 else power
    scaled, factor = value / 10.0**power, rf"\times 10^{{{power}}}" if power else ""
    if not error:
        return f"${_significant(scaled, 3)}{factor}$"
    scaled_error = error / 10.0**power
    decimals = max(0, 1 - math.floor(math.log10(scaled_error)))
    body = rf"{scaled:.{decimals}f} \pm {scaled_error:.{decimals}f}"
    return f"$({body}){factor}$" if factor else f"${body}$"


def _significant(value: float, digits: int) -> str:
    """Format with a number of significant digits, trailing zeros included."""
    if value == 0.0:
        return "0"
    return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
