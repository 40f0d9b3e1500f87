"""Plain data from what code works with, as JSON has it: mappings, lists, numbers and texts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it.

    An object that has ``to_dict`` says itself what it is, a dataclass is its fields, tuples and
    arrays are lists, NumPy's numbers plain ones and paths texts. NaN and infinities stay: see
    :func:`without_nan`.
    """
    if hasattr(value, "to_dict"):
        return to_plain(value.to_dict())
    if is_dataclass(value):
        return plain_fields(value)
    if hasattr(value, "tolist"):  # arrays and numbers of NumPy, which need not be loaded
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    return str(value) if isinstance(value, PurePath) else value


def plain_fields(value: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass by their names, each by :func:`to_plain`.

    What a ``to_dict`` is made of that repeats the fields.
    """
    return {
        one.name: to_plain(getattr(value, one.name))
        for one in fields(value)
        if one.name not in leave_out
    }


def without_nan(value: Any) -> Any:
    """Replace NaN and infinities in plain data, which JSON does not have, by None."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def json_line(value: Any) -> str:
    """Return what a command prints for a program: one line of JSON, by :func:`to_plain`.

    RFC 8259 has neither NaN nor infinities, which Python would write: they are null.
    """
    return json.dumps(without_nan(to_plain(value)), allow_nan=False)


def csv_text(text: str) -> str:
    """Return a text as a cell of CSV that no spreadsheet takes for a formula.

    One that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets an apostrophe
    in front, and so does one that has apostrophes in front of these, so that
    :func:`text_of_csv` gives every text back. Numbers are not for this: -1.5 stays a number.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def text_of_csv(cell: str) -> str:
    """Return the text of a cell that :func:`csv_text` made; others are their own."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
