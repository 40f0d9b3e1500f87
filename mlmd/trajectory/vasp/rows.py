"""Rows of Fortran's fixed columns: a sign may follow the number before it, stars may fill one."""

from __future__ import annotations

import re

import numpy as np

# Nothing but a blank or a sign ends a number, so that digits that run on into the next number
# are refused and not cut at a guess.
NUMBER = r"\s*([-+]?(?:\d{1,15}\.?\d{0,20}|\.\d{1,20})(?:[EeDd][-+]?\d{1,3})?)(?=[\s+-]|$)"
POSITION = re.compile(NUMBER * 3)
# VASP's flags of selective dynamics, or the labels that other programs write.
WORDS = re.compile(r"(?:\s+[A-Za-z.][\w./+-]{0,30}){0,4}\s*", re.ASCII)
FLAGS = frozenset({"T", "F", ".TRUE.", ".FALSE."})
# Three numbers, or stars in the place of some, which may touch, or what a broken run leaves there.
OVERFLOWED = re.compile(
    r"[\s\d.*+-]*\*[\s\d.*+-]*"
    r"|(?:\s+(?:[-+]?\d+\.\d*(?:E[-+]?\d+)?|[-+]?(?:NaN|Inf(?:inity)?))){3}\s*"
)


def position_and_words(line: str) -> tuple[list[float], list[str]] | None:
    """Return three numbers and the words behind them, or None where the line is not that."""
    found = POSITION.match(line)
    if found is None or not WORDS.fullmatch(line, found.end()):
        return None
    words = line[found.end() :].split()
    flags = words[:3] if FLAGS.issuperset(words[:3]) and len(words) >= 3 else []
    return _floats(found), words[len(flags) :]


def position_and_force(line: str) -> list[float]:
    """Return the six numbers of a row of an OUTCAR's table, or nothing where it is none.

    The force is NaN where one of its numbers was too large for its column.
    """
    found = POSITION.match(line)
    if found is None:
        return []
    force = POSITION.fullmatch(line.rstrip(), found.end())
    if force is not None:
        return _floats(found) + _floats(force)
    return _floats(found) + [np.nan] * 3 if OVERFLOWED.fullmatch(line, found.end()) else []


def _floats(found: re.Match[str]) -> list[float]:
    return [float(number.replace("D", "E").replace("d", "e")) for number in found.groups()]
