"""Pseudopotential files of Quantum ESPRESSO: which one an element has, and what it says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from mlmd.calculators.weights import sha256_of
from mlmd.errors import InputError


@dataclass(frozen=True)
class PseudoLibrary:
    """Where the pseudopotentials are: one folder, or one file per element.

    Attributes
    ----------
    folder
        Folder in which a file's name begins with the element's symbol.
    files
        Files by symbol; they come first.
    """

    folder: Path | None
    files: Mapping[str, Path]

    @classmethod
    def of(cls, given: Any) -> PseudoLibrary:
        """Read the option ``pseudopotentials``: a folder, a mapping, or None."""
        variable = os.environ.get("ESPRESSO_PSEUDO")
        usual = Path(variable).expanduser() if variable else None
        if isinstance(given, Mapping):
            return cls(None, {s: _file(s, name, usual) for s, name in given.items()})
        folder = usual if given is None else given
        if folder is None or not isinstance(folder, str | Path):
            raise InputError(
                f"pseudopotentials is {given!r}; expected a folder, or a mapping from symbol to "
                "file, or the environment variable ESPRESSO_PSEUDO"
            )
        if not Path(folder).expanduser().is_dir():
            raise InputError(f"there is no folder of pseudopotentials '{folder}'")
        return cls(Path(folder).expanduser().resolve(), {})

    def file(self, symbol: str) -> Path:
        """Return the file of an element; InputError unless there is exactly one."""
        if symbol in self.files:
            return self.files[symbol]
        found = [path for path in self._all() if _symbol_of(path) == symbol]
        if len(found) == 1:
            return found[0]
        where = f"in {self.folder}" if self.folder is not None else f"among {sorted(self.files)}"
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"expected one pseudopotential of {symbol} {where}, found {names}; name the file in "
            f"the option pseudopotentials, as {{{symbol}: FILE}}"
        )

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of every file, by symbol or file name."""
        named = dict(self.files) or {path.name: path for path in self._all()}
        return {name: sha256_of(path) for name, path in sorted(named.items())}

    def _all(self) -> list[Path]:
        if self.folder is None:
            return []
        return sorted(p for p in self.folder.iterdir() if p.suffix.lower() == ".upf")


def _file(symbol: str, name: Any, folder: Path | None) -> Path:
    if symbol not in chemical_symbols[1:]:
        raise InputError(f"pseudopotentials names '{symbol}'; expected a chemical symbol")
    if not isinstance(name, str):
        raise InputError(f"pseudopotential of {symbol} is {name!r}; expected a file")
    for path in (Path(name).expanduser(), *([] if folder is None else [folder / name])):
        if path.is_file():
            return path.resolve()
    raise InputError(
        f"the pseudopotential of {symbol}, '{name}', is not a file here"
        + ("" if folder is None else f" nor in {folder}")
    )


def _symbol_of(path: Path) -> str:
    """Return the letters that a file's name begins with: ``Li.pbe-s.UPF``, ``o_pbe_v1.upf``."""
    return re.split(r"[^A-Za-z]", path.name, maxsplit=1)[0].capitalize()


@dataclass(frozen=True)
class PseudoHeader:
    """What has to be known of a pseudopotential before pw.x runs.

    Attributes
    ----------
    valence
        Number of electrons it leaves.
    augmented
        Whether it is ultrasoft or PAW, whose density needs more than 4 times the cutoff.
    """

    valence: float
    augmented: bool


def read_header(path: Path) -> PseudoHeader:
    """Read the header of a UPF file, of version 1 or 2."""
    text = path.read_text(encoding="utf-8", errors="replace")
    header = re.search(r"<PP_HEADER(.*?)(</PP_HEADER>|/>)", text, re.S)
    said = header[1] if header else ""
    valence = re.search(r"z_valence\s*=\s*\"\s*([-+.\dEeDd]+)", said) or re.search(
        r"([-+.\dEeDd]+)\s+Z valence", said
    )
    if valence is None:
        raise InputError(f"pseudopotential '{path}' has no header that says its valence (UPF)")
    flag = r"is_(ultrasoft|paw)\s*=\s*\"\s*\.?[Tt]"
    augmented = re.search(flag, said) or re.search(r"^\s*(US|PAW)\s", said, re.M)
    return PseudoHeader(float(valence[1].upper().replace("D", "E")), augmented is not None)
