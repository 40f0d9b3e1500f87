"""Where the weights of models are, and what they are."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.calculators.plain_spec import PlainSpec

READY = "mlmd-environment"
"""File in an environment that is written when all of it is installed."""


def cache_folder() -> Path:
    """Return the user's folder for weights and environments: ``MLMD_CACHE`` or the usual one."""
    given = os.environ.get("MLMD_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlmd"


def weights_folder(name: str) -> Path:
    """Return the folder where a user puts the fetched weights of one calculator's models."""
    return cache_folder() / "weights" / name


def environment_python(name: str) -> Path:
    """Return the interpreter of the environment made for one calculator, there or not."""
    return cache_folder() / "environments" / name / "bin" / "python"


def package_folder(package: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise InputError(f"package '{package}' cannot be located")
    return Path(found.origin).parent


def given_file(spec: PlainSpec) -> Path | None:
    """Return the file that a spec's model is; None where it is a name."""
    if spec.model is None or not Path(spec.model).is_file():
        return None
    return Path(spec.model)


def weights_file(
    spec: PlainSpec,
    default: str,
    known: Mapping[str, Path | None],
    source: Callable[[str], tuple[str, Path]] | None = None,
) -> Path:
    """Return the file with the weights of a spec: the one given, or the one of that name.

    Parameters
    ----------
    spec
        Whose.
    default
        Name of the model where the spec has none.
    known
        File of each model by name, None where it has to be fetched.
    source
        Gives, for such a name, what to fetch and where to put it; None where there is none such.

    Raises
    ------
    InputError
        If there is no such model, or its file has to be fetched first.
    """
    given = given_file(spec)
    if given is not None:
        return given
    name = spec.model or default
    if name not in known:
        raise InputError(
            f"calculator '{spec.name}' has no model '{name}'; expected a file of weights or one of "
            f"{', '.join(known)}"
        )
    file = known[name]
    if file is None:
        assert source is not None  # only what has to be fetched has no file
        address, place = source(name)
        raise InputError(
            f"the weights of '{name}' are not here; fetch {address} and put it at {place}"
        )
    return file


@cache
def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
