"""Pseudopotential files of SIESTA: where they are, which one an element has, what they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from mlmd.calculators.spec import CalculatorSpec
from mlmd.calculators.weights import sha256_of
from mlmd.errors import InputError

# SIESTA 5 reads both kinds; 4.1 knows no .psml.
SUFFIXES = MappingProxyType({4: (".psf",), 5: (".psml", ".psf")})
# The variables of ASE's users and of SIESTA 5 itself.
VARIABLES = ("SIESTA_PP_PATH", "SIESTA_PS_PATH")


def pseudopotential_folder(spec: CalculatorSpec) -> Path | None:
    """Return the folder: option ``pseudopotentials``, else the environment's; None without."""
    given = spec.options.get("pseudopotentials")
    if given is not None and not isinstance(given, str):
        raise InputError(f"pseudopotentials is {given!r}; expected the path of a folder")
    named = given or next((os.environ[name] for name in VARIABLES if os.environ.get(name)), None)
    if named is None:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise InputError(f"folder of pseudopotentials '{named}' is not there")
    return folder.resolve()


def require_folder(spec: CalculatorSpec) -> Path:
    """Return the folder of pseudopotentials, or say how to name one."""
    folder = pseudopotential_folder(spec)
    if folder is None:
        raise InputError(
            "calculator 'siesta' has no pseudopotentials: give the option pseudopotentials (a "
            f"folder) or set {VARIABLES[0]}"
        )
    return folder


def checksums(folder: Path, version: int) -> dict[str, str]:
    """Return the SHA-256 of every pseudopotential in a folder, by file name."""
    files = sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES[version])
    return {file.name: sha256_of(file) for file in files}


def pseudopotential_of(symbol: str, folder: Path, version: int) -> Path:
    """Return the file of an element: ``Li.psf``, or the only one like ``Li.pbe.psf``.

    Raises
    ------
    InputError
        If there is none or more than one.
    """
    for suffix in SUFFIXES[version]:
        plain = folder / f"{symbol}{suffix}"
        if plain.is_file():
            return plain
        found = sorted(folder.glob(f"{symbol}[._-]*{suffix}"))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            raise InputError(
                f"{symbol} has more than one pseudopotential in '{folder}' ({names}); name the one "
                f"to use {plain.name}"
            )
    raise InputError(
        f"no pseudopotential of {symbol} in '{folder}'; SIESTA {version} reads "
        f"{' or '.join(symbol + suffix for suffix in SUFFIXES[version])}"
    )


def place(symbols: Iterable[str], source: Path, version: int, target: Path) -> dict[str, str]:
    """Copy the files of elements to where SIESTA runs; return their names there, by element."""
    placed = {}
    for symbol in symbols:
        file = pseudopotential_of(symbol, source, version)
        placed[symbol] = f"{symbol}{file.suffix}"
        for suffix in SUFFIXES[5]:
            # Another kind from a run before would be found first.
            (target / f"{symbol}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(file, target / placed[symbol])
    return placed
