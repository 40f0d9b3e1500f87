"""Pseudopotential files: one folder or a file for each element, which one it is, and checksums."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ase.data import chemical_symbols

from mlmd.calculators.weights import sha256_of
from mlmd.errors import InputError


@dataclass(frozen=True)
class PseudoLibrary:
    """Where the pseudopotentials are.

    Attributes
    ----------
    folder
        Folder in which a file's name begins with the element's symbol; None where files are
        given by element.
    files
        Files by symbol; they come first.
    suffixes
        Of the kinds that the program reads, in small letters, the one to take first in front.
    """

    folder: Path | None
    files: Mapping[str, Path]
    suffixes: tuple[str, ...]

    @classmethod
    def of(cls, given: Any, suffixes: tuple[str, ...], variables: Sequence[str]) -> Self | None:
        """Read the option ``pseudopotentials``.

        Parameters
        ----------
        given
            A folder, or a mapping from symbol to file, which is found as given or in the folder
            that a variable names; that folder where None.
        suffixes
            See the class.
        variables
            Environment variables that name a folder, the first that is set.

        Returns
        -------
        PseudoLibrary or None
            None where no pseudopotentials are named.

        Raises
        ------
        InputError
            If the folder or a file is not there.
        """
        usual = next((os.environ[name] for name in variables if os.environ.get(name)), None)
        if isinstance(given, Mapping):
            files = {symbol: _file(symbol, name, usual) for symbol, name in given.items()}
            return cls(None, files, suffixes)
        named = usual if given is None else given
        if named is None:
            return None
        if not isinstance(named, str):
            raise InputError(
                f"pseudopotentials is {named!r}; expected the path of a folder, or a mapping from "
                "symbol to file"
            )
        folder = Path(named).expanduser()
        if not folder.is_dir():
            raise InputError(f"there is no folder of pseudopotentials '{named}'")
        return cls(folder.resolve(), {}, suffixes)

    def file(self, symbol: str) -> Path:
        """Return the file of an element: ``Li.psf``, or the only one like ``Li.pbe.psf``.

        Raises
        ------
        InputError
            If there is none or more than one.
        """
        if symbol in self.files:
            return self.files[symbol]
        found: list[Path] = []
        for suffix in self.suffixes:
            own = [path for path in self._all(suffix) if _symbol_of(path) == symbol]
            plain = [path for path in own if path.stem == symbol]
            found = plain if len(plain) == 1 else own
            if found:
                break
        if len(found) == 1:
            return found[0]
        where = f"in {self.folder}" if self.folder is not None else f"among {sorted(self.files)}"
        raise InputError(
            f"expected one pseudopotential of {symbol} ({' or '.join(self.suffixes)}) {where}, "
            f"found {', '.join(path.name for path in found) or 'none'}; name the file in the "
            f"option pseudopotentials, as {{{symbol}: FILE}}"
        )

    def checksums(self, elements: Collection[str] | None = None) -> dict[str, str]:
        """Return the SHA-256 of the files of elements by symbol; of all, also by file name.

        By name are those of a folder where no elements are given: for runs of before.
        """
        if elements is not None:
            return {symbol: sha256_of(self.file(symbol)) for symbol in sorted(set(elements))}
        there = {path.name: path for suffix in self.suffixes for path in self._all(suffix)}
        return {name: sha256_of(path) for name, path in sorted((self.files or there).items())}

    def _all(self, suffix: str) -> list[Path]:
        if self.folder is None:
            return []
        return sorted(path for path in self.folder.iterdir() if path.suffix.lower() == suffix)


def needed(library: PseudoLibrary | None, calculator: str, variable: str) -> PseudoLibrary:
    """Return a library; InputError says how to name the pseudopotentials where it is None."""
    if library is None:
        raise InputError(
            f"calculator '{calculator}' has no pseudopotentials: give the option pseudopotentials "
            f"(a folder) or set {variable}"
        )
    return library


def _file(symbol: str, name: Any, folder: str | None) -> Path:
    if symbol not in chemical_symbols[1:]:
        raise InputError(f"pseudopotentials names '{symbol}'; expected a chemical symbol")
    if not isinstance(name, str):
        raise InputError(f"pseudopotential of {symbol} is {name!r}; expected a file")
    for path in (Path(name), *([] if folder is None else [Path(folder) / name])):
        if path.expanduser().is_file():
            return path.expanduser().resolve()
    raise InputError(
        f"the pseudopotential of {symbol}, '{name}', is not a file here"
        + ("" if folder is None else f" nor in {folder}")
    )


def _symbol_of(path: Path) -> str:
    """Return the letters that a file's name begins with: ``Li.pbe-s.UPF``, ``o_pbe_v1.upf``."""
    return re.split(r"[^A-Za-z]", path.name, maxsplit=1)[0].capitalize()
