"""Where the weights of models are, and what they are."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import cache
from pathlib import Path

from mlmd.errors import InputError

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


@cache
def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
