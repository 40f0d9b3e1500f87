"""What SIESTA's pseudopotential files say of themselves: ``.psf`` and ``.psml``."""

from __future__ import annotations

import re
from pathlib import Path

from ase.data import atomic_numbers, chemical_symbols

from mlmd.calculators.programs.functionals import (
    LDA,
    Pseudopotential,
    functional_of_libxc,
)
from mlmd.errors import InputError

# The first line that the program ATOM writes: symbol, functional, relativity, core correction.
PSF_LINE = re.compile(r"\s*([A-Za-z]{1,2})\s+([a-z]{2})\s+(?:nrl|rel|isp)\s+[a-z]{2,4}\b")
PSF_FUNCTIONAL = {
    **dict.fromkeys(("ca", "pw", "wi", "hl", "gl", "bh"), LDA),
    "pb": "PBE",
    "wp": "PW91",
    "rp": "RPBE",
    "rv": "REVPBE",
    "wc": "WC",
    "bl": "BLYP",
    "ps": "PBESOL",
    "am": "AM05",
    **dict.fromkeys(("vw", "vf", "vl", "vk", "vc", "vb", "vv"), "VDW"),
}
HEAD_CHARACTERS = 2**17
"""PSML has its header before the tables, but behind what it was made from."""


def read_header(path: Path) -> Pseudopotential:
    """Return element and functional of a file; None for what it does not say.

    Raises
    ------
    InputError
        If a ``.psml`` does not come to its end.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix.lower() != ".psml":
        return _psf(text)
    found = _psml(text[:HEAD_CHARACTERS])
    if found.element is not None and "</psml>" not in text[-HEAD_CHARACTERS:]:
        raise InputError(f"pseudopotential '{path}' is cut short: it has no </psml>; get it anew")
    return found


def _psf(head: str) -> Pseudopotential:
    found = PSF_LINE.match(head.partition("\n")[0])
    if found is None or found[1].capitalize() not in atomic_numbers:
        return Pseudopotential(None, None)
    return Pseudopotential(found[1].capitalize(), PSF_FUNCTIONAL.get(found[2]))


def _psml(head: str) -> Pseudopotential:
    number = re.search(r"\batomic-number\s*=\s*[\"']\s*(\d+)", head)
    label = re.search(r"\batomic-label\s*=\s*[\"']\s*([A-Z][a-z]?)\b", head)
    if number is not None and 0 < int(number[1]) < len(chemical_symbols):
        element: str | None = chemical_symbols[int(number[1])]
    else:
        element = None if label is None else label[1]
    numbers = re.findall(r"<functional\b[^>]*?\bid\s*=\s*[\"']\s*(\d+)", head)
    return Pseudopotential(element, functional_of_libxc([int(n) for n in numbers]))
