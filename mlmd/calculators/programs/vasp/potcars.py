"""VASP's pseudopotentials: which file each element takes, joined to a POTCAR, and on record."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from mlmd.calculators.programs.functionals import LDA, Pseudopotential
from mlmd.errors import InputError

RECORD = "potcars.json"
# By VASP's words: the tag LEXCH of a POTCAR, and what its TITEL begins with.
LEXCH = {"PE": "PBE", "CA": LDA, "91": "PW91", "PB": "PW91", "RP": "RPBE"}
KINDS = {"PAW_PBE": "PBE", "PAW_GGA": "PW91", "PAW": LDA, "US": LDA, "NC": LDA}
DEFAULT_SETUPS = "recommended"


@dataclass(frozen=True)
class Potcar:
    """One element's pseudopotential: file, name (``Li_sv``), TITEL line, checksum and content."""

    path: Path
    name: str
    titel: str
    sha256: str
    content: bytes

    def header(self) -> Pseudopotential:
        """Return its functional, from LEXCH or the first word of TITEL, and its element."""
        said = re.search(rb"^\s*LEXCH\s*=\s*(\w+)", self.content, re.MULTILINE)
        known = LEXCH if said is not None else KINDS
        functional = known.get(said[1].decode() if said is not None else self.titel.split()[0])
        element = re.search(rb"^\s*VRHFIN\s*=\s*([A-Z][a-z]?)\s*:", self.content, re.MULTILINE)
        return Pseudopotential(None if element is None else element[1].decode(), functional)


@dataclass(frozen=True)
class PotcarLibrary:
    """Where POTCARs are looked for, by ASE's conventions.

    Attributes
    ----------
    family
        Folder under ``VASP_PP_PATH``: ``potpaw_PBE`` or ``potpaw`` (LDA), or with
        ``VASP_PP_VERSION`` ``potpaw_PBE.54``, ``potpaw_LDA.54``, ...
    setups
        POTCAR's name by element, for the elements whose name is not the element's own.
    """

    family: str
    setups: Mapping[str, str]

    @classmethod
    def of(cls, functional: str, setups: Mapping[str, str]) -> PotcarLibrary:
        """Make the library of a functional's family, ``PBE`` or ``LDA``, and some setups."""
        version = os.environ.get("VASP_PP_VERSION")
        plain = "potpaw" if functional == "LDA" else f"potpaw_{functional}"
        family = f"potpaw_{functional}.{version}" if version else plain
        return cls(family, setups)

    def identity(self, elements: Collection[str] | None = None) -> dict[str, Any]:
        """Return what decides the forces: the files of elements, or what is known without them."""
        if elements is None:
            return {"pseudopotentials": self.family, "setups": dict(sorted(self.setups.items()))}
        potcars = {symbol: self.find(symbol) for symbol in sorted(set(elements))}
        return {"pseudopotentials": {symbol: p.sha256 for symbol, p in potcars.items()}}

    def folder(self) -> Path:
        """Return the family's folder; InputError where it is not there."""
        path = os.environ.get("VASP_PP_PATH")
        if not path:
            raise InputError(
                "VASP's POTCARs are not found: set VASP_PP_PATH to the folder that holds "
                f"{self.family}"
            )
        folder = Path(path).expanduser() / self.family
        if not folder.is_dir():
            raise InputError(
                f"VASP's POTCARs are not found: there is no folder {folder}; set VASP_PP_PATH "
                "and, for a folder such as potpaw_PBE.54, VASP_PP_VERSION=54"
            )
        return folder

    def find(self, symbol: str) -> Potcar:
        """Return the POTCAR of an element.

        Raises
        ------
        InputError
            If it is not there, or is of another element; the message names the folder.
        """
        name = self.setups.get(symbol, symbol)
        folder = self.folder() / name
        path = folder / "POTCAR"
        if path.is_file():
            content = path.read_bytes()
        elif (folder / "POTCAR.gz").is_file():
            content = gzip.decompress((folder / "POTCAR.gz").read_bytes())
        else:
            raise InputError(
                f"no POTCAR for {symbol}: looked for {path}; choose another by the "
                f"option setups, as in {{'{symbol}': '{symbol}'}}"
            )
        titels = re.findall(rb"^\s*TITEL\s*=\s*(\S.*?)\s*$", content, re.MULTILINE)
        if len(titels) > 1:
            raise InputError(
                f"{path} holds {len(titels)} pseudopotentials; expected one, of {symbol}"
            )
        words = titels[0].decode("ascii", "replace").split() if titels else []
        if len(words) < 2 or words[1].split("_")[0].split(".")[0] != symbol:
            raise InputError(
                f"{path} says it is '{' '.join(words)}'; expected a POTCAR of {symbol}"
            )
        return Potcar(path, name, " ".join(words), hashlib.sha256(content).hexdigest(), content)


def write_potcars(potcars: Mapping[str, Potcar], directory: Path) -> None:
    """Write the POTCAR of some species in their order, and what they are on record.

    Raises
    ------
    InputError
        If one is another than the folder's earlier calls had.
    """
    record = _read_record(directory / RECORD)
    for symbol, potcar in potcars.items():
        before = record.get(symbol, {"sha256": potcar.sha256})
        if before["sha256"] != potcar.sha256:
            raise InputError(
                f"POTCAR of {symbol} is '{potcar.titel}', but this run began with "
                f"'{before['titel']}' (another file, by its checksum); give that one back "
                "or start a new run"
            )
        record[symbol] = {
            "name": potcar.name,
            "titel": potcar.titel,
            "sha256": potcar.sha256,
        }
    (directory / "POTCAR").write_bytes(b"".join(p.content for p in potcars.values()))
    temporary = directory / f"{RECORD}.new"
    temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    temporary.replace(directory / RECORD)


def _read_record(path: Path) -> dict[str, dict[str, str]]:
    try:
        record: dict[str, dict[str, str]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record


def setup_names(option: str, setups: Any) -> dict[str, str]:
    """Return POTCAR names by element from a table's name or a mapping, which may be partial.

    A name may be in full, ``Li_sv``, or as ASE has it only what follows the element, ``_sv``.
    """
    from ase.calculators.vasp.setups import get_default_setups

    tables = get_default_setups()
    given = {"base": setups} if isinstance(setups, str) else setups
    if not isinstance(given, Mapping) or not all(isinstance(v, str) for v in given.values()):
        raise InputError(f"{option} is {setups!r}; expected a mapping from element to POTCAR name")
    base = given.get("base", DEFAULT_SETUPS)
    unknown = sorted(set(given) - {"base"} - set(chemical_symbols[1:]))
    if base not in tables or unknown:
        raise InputError(
            f"{option} has {base!r} as base and {', '.join(unknown) or 'only elements'}; expected "
            f"one of {', '.join(sorted(tables))} and chemical symbols"
        )
    suffixes = {**tables[base], **{symbol: v for symbol, v in given.items() if symbol != "base"}}
    return {
        symbol: name if name.startswith(symbol) else symbol + name
        for symbol, name in suffixes.items()
        if isinstance(symbol, str) and symbol in chemical_symbols
    }
