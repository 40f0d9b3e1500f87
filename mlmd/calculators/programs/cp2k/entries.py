"""Entries of CP2K's data files: which basis set or potential of an element a name stands for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from ase.data import chemical_symbols

from mlmd.calculators.programs.functionals import Pseudopotential, functional
from mlmd.calculators.weights import sha256_of

FAMILIES = {"GGA": "PBE", "MGGA": "SCAN"}
"""Words of newer names; those of hybrids are used with potentials of any kind."""


@dataclass(frozen=True)
class Entry:
    """One entry: an element, its names, and the text that decides what it is.

    Attributes
    ----------
    symbol
        The element.
    names
        The name and its aliases, in capitals.
    sha256
        Of its lines, blanks apart; of the whole file where it has another form than usual.
    """

    symbol: str
    names: tuple[str, ...]
    sha256: str

    def header(self) -> Pseudopotential:
        """Return element and functional, as far as the names say it."""
        found = [name for name in map(_functional, self.names) if name is not None]
        return Pseudopotential(self.symbol, found[0] if found else None)


def read_entry(path: Path, symbol: str, name: str) -> Entry | None:
    """Return the entry of an element by one of its names; None where the file has none such."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines):
        if not _is_heading(line):
            continue
        words = re.split(r"[#!]", line)[0].split()
        names = tuple(word.upper() for word in words[1:])
        if words[0].capitalize() == symbol and name.upper() in names:
            body = []
            for following in lines[number + 1 :]:
                if _is_heading(following) or following.lstrip()[:1] in ("#", "!"):
                    break
                body.append(" ".join(following.split()))
            text = "\n".join([" ".join(words), *body])
            digest = hashlib.sha256(text.encode()).hexdigest() if body else sha256_of(path)
            return Entry(symbol, names, digest)
    return None


def _is_heading(line: str) -> bool:
    return (line.split() or [""])[0].capitalize() in chemical_symbols[1:]


def _functional(name: str) -> str | None:
    """Return the functional that a name such as ``GTH-NLCC-PBE-q7`` is of."""
    words = [word for word in name.split("-") if word not in ("GTH", "NLCC")]
    return functional(FAMILIES.get(words[0], words[0])) if words and words[0] else None
