"""Keys of SIESTA's fdf files that a user gives: spelling, values, and which are not theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlmd.calculators.programs.options import refused
from mlmd.errors import InputError

KEY = re.compile(r"[A-Za-z][\w.\-]*")
STRUCTURE = "the structure comes from the run"
# Normalised beginnings of keys and why they cannot be given.
REFUSED = {
    "md": "mlmd moves the atoms",
    "master": "mlmd talks to SIESTA; see the options mode and socket",
    "systemlabel": "mlmd reads the files by that name",
    "numberof": STRUCTURE,
    "chemicalspecieslabel": STRUCTURE,
    "lattice": STRUCTURE,
    "supercell": STRUCTURE,
    "atomiccoor": STRUCTURE,
    "atomcoor": STRUCTURE,
    "zmatrix": STRUCTURE,
    "usestructfile": STRUCTURE,
    "geometryconstraints": "constraints are those of the atoms",
    "scfmustconverge": "it is the option scf_unconverged",
    "spinpolarized": "it is the option spin",
    "noncol": "it is the option spin",
    "computeforces": "the forces are what is asked for",
    "usesavedata": "mlmd decides what of the last run is used",
    "dmusesavedm": "mlmd decides what of the last run is used",
}


def normalised(key: str) -> str:
    """Return a key as fdf compares it: no case, and none of ``-``, ``_`` and ``.``."""
    return re.sub(r"[._\-]", "", key).lower()


def checked_fdf(option: str, given: Any) -> Mapping[str, Any]:
    """Return the option ``fdf``: keys to text, a number, true or false, or a block's lines.

    Raises
    ------
    InputError
        If a key breaks what mlmd relies on, is given twice in two spellings, or a value cannot
        be written.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"{option} is {given!r}; expected a mapping from SIESTA's keys to values")
    seen: dict[str, str] = {}
    for key, value in given.items():
        if not isinstance(key, str) or KEY.fullmatch(key) is None:
            raise InputError(f"fdf has the key {key!r}; expected one of SIESTA's, as 'Mesh.Cutoff'")
        name = normalised(key)
        for beginning, reason in REFUSED.items():
            if name.startswith(beginning):
                raise refused(option, key, reason)
        if name in seen:
            raise InputError(f"fdf keys '{seen[name]}' and '{key}' are the same to SIESTA")
        seen[name] = key
        for text in entry(key, value):
            if "\n" in text or "\r" in text:
                raise InputError(f"fdf value of '{key}' has a line break; give a block as a list")
    return dict(given)


def entry(key: str, value: Any) -> list[str]:
    """Return the lines of one key: a list is a block, one item per line."""
    if isinstance(value, list | tuple):
        rows = [
            " ".join(_text(key, item) for item in row)
            if isinstance(row, list | tuple)
            else _text(key, row)
            for row in value
        ]
        return [f"%block {key}", *(f"  {row}" for row in rows), f"%endblock {key}"]
    return [f"{key} {_text(key, value)}"]


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, int | float | str):
        return str(value)
    raise InputError(
        f"fdf value of '{key}' is {value!r}; expected text, a number, true or false, or a list"
    )
