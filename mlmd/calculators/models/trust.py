"""Files of weights that would run code when they are loaded, told before they are.

A file that torch saves is a pickle: loading it imports and calls whatever it names. torch's own
restricted reader takes numbers and containers alone and calls nothing else, so what it can read
is harmless, whoever wrote it. Everything else needs a user who knows where it comes from.
"""

from __future__ import annotations

import contextlib
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.calculators.spec import CalculatorSpec

USUAL = ("torch", "numpy", "collections", "e3nn", "mace", "sevenn", "chgnet", "matgl", "ase")
"""Packages that weights name in good faith: what is not of these is told first."""
HARMLESS = re.compile(r"torch\._utils\._rebuild\w+|torch\.\w*Storage|collections\.OrderedDict")
NAMES_SHOWN = 3
PICKLES_OF_OLD = 5
"""Pickles at the head of a file that torch saved before version 1.6."""


def read_numbers(spec: CalculatorSpec, file: Path) -> Any:
    """Read a file of weights that holds numbers alone, and nothing that is called.

    Parameters
    ----------
    spec
        Whose it is, for the message.
    file
        The file.

    Raises
    ------
    InputError
        If loading it would run code; the message names what.
    ValueError
        If it is none that torch saved.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_arrays()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is refused anyhow
            return torch.load(
                file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
            )
    except Exception as error:  # torch raises anything
        names = _called_by(file)
        if names:
            raise InputError(code_message(spec, file, names)) from error
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{file} is no file of weights that torch saved") from error
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{file} does not hold numbers alone: {reason}") from error


def refuse_code(spec: CalculatorSpec, file: Path) -> None:
    """Raise unless a user's file of weights holds numbers alone, or the user trusts it.

    Parameters
    ----------
    spec
        What was asked for.
    file
        The file that the user gave.

    Raises
    ------
    InputError, ValueError
        See :func:`read_numbers`.
    """
    if not spec.trust:
        read_numbers(spec, file)


def refuse_classes(spec: CalculatorSpec, file: Path, packages: re.Pattern[str]) -> None:
    """Raise where a file of numbers names classes that its package makes, and they are others.

    Parameters
    ----------
    spec
        What was asked for.
    file
        The file that the user gave; its dictionaries name a class under ``@module`` and ``@class``.
    packages
        Modules whose classes are what a model is made of.

    Raises
    ------
    InputError, ValueError
        See :func:`read_numbers`.
    """
    if spec.trust:
        return
    left, names = [read_numbers(spec, file)], []
    while left:
        item = left.pop()
        if isinstance(item, dict):
            module = item.get("@module", item.get("@class") and "?")
            if module is not None and not packages.match(str(module)):
                names.append(f"{module}.{item.get('@class')}")
            left.extend(item.values())
        elif isinstance(item, list | tuple):
            left.extend(item)
    if names:
        raise InputError(code_message(spec, file, names))


def code_message(spec: CalculatorSpec, file: Path, names: list[str]) -> str:
    """Return the line that says what a file would run, and how to go on."""
    strange = sorted(names, key=lambda name: (name.partition(".")[0] in USUAL, name))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return (
        f"the weights {file} of calculator '{spec.name}' are code: loading them runs "
        f"{', '.join(strange[:NAMES_SHOWN])}{more}; if you know where the file comes from, give "
        "--trust (trust=True in Python, trust: true in YAML)"
    )


def _arrays() -> list[Any]:
    """Return what arrays of NumPy are rebuilt by, under the names of NumPy 1 and 2.

    None of it calls what the file names; matgl allows the same.
    """
    import numpy as np

    rebuild, scalar = (value.__reduce__()[0] for value in (np.zeros(1), np.float64()))
    return [
        np.ndarray,
        np.dtype,
        *(type(np.dtype(code)) for code in np.typecodes["AllInteger"] + "?efd"),
        *((rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
        *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    ]


def _called_by(file: Path) -> list[str]:
    """Return the names that a file imports beyond what torch's restricted reader allows."""
    import torch

    if zipfile.is_zipfile(file):
        with contextlib.suppress(Exception), zipfile.ZipFile(file) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return ["a TorchScript program"]
        with contextlib.suppress(Exception), torch.serialization.safe_globals(_arrays()):
            return list(torch.serialization.get_unsafe_globals_in_checkpoint(str(file)))
        return []
    names = dict.fromkeys(_named_in_pickles(file))
    return [name for name in names if not HARMLESS.fullmatch(name)]


def _named_in_pickles(file: Path) -> Iterator[str]:
    """Yield the names in a file of pickles, by reading their instructions; nothing is called."""
    with contextlib.suppress(Exception), file.open("rb") as stream:
        for _ in range(PICKLES_OF_OLD):
            texts = ["something"]
            for code, argument, _ in pickletools.genops(stream):
                if code.name in ("GLOBAL", "INST"):
                    yield str(argument).replace(" ", ".")
                elif code.name == "STACK_GLOBAL":
                    yield ".".join(texts[-2:])
                elif isinstance(argument, str):
                    texts.append(argument)
