"""Finding and reading recipes: those that ship with mlmd, or any file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from mlmd.checks import usable_path
from mlmd.errors import InputError
from mlmd.yaml_text import read_yaml, read_yaml_file


def recipe_names() -> list[str]:
    """Return the names of the protocols that ship with mlmd."""
    return sorted(
        item.name.removesuffix(".yaml")
        for item in (files("mlmd") / "recipes").iterdir()
        if item.name.endswith(".yaml")
    )


def read_recipe(name_or_path: str | Path) -> dict[str, Any]:
    """Read a recipe as plain data.

    Raises
    ------
    InputError
        If there is no such name or file, or the file is not YAML with a mapping at the top.
    """
    text = str(name_or_path)
    if text in recipe_names():
        content = (files("mlmd") / "recipes" / f"{text}.yaml").read_text(encoding="utf-8")
        recipe = read_yaml(content, text)
    elif usable_path("protocol", text).exists():
        recipe = read_yaml_file(text)
    else:
        raise InputError(
            f"no protocol '{text}'; expected a YAML file or one of {', '.join(recipe_names())}"
        )
    if not isinstance(recipe, dict):
        raise InputError(f"{text} holds {type(recipe).__name__}; expected a mapping of a protocol")
    return recipe
