"""Packages of the extra for models, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mlmd.errors import MissingExtraError


def import_extra(module: str, package: str | None = None) -> Any:
    """Import a module of a package, whose name is that of the module if not given.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(package or module, "model") from error
