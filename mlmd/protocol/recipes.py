"""Finding and reading recipes: those that ship with mlmd, or any file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from mlmd.errors import InputError


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
    import yaml

    text = str(name_or_path)
    if text in recipe_names():
        content = (files("mlmd") / "recipes" / f"{text}.yaml").read_text(encoding="utf-8")
    elif Path(text).is_file():
        content = Path(text).read_text(encoding="utf-8")
    else:
        raise InputError(
            f"no protocol '{text}'; expected a YAML file or one of {', '.join(recipe_names())}"
        )
    try:
        recipe = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise InputError(f"{text} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(recipe, dict):
        raise InputError(f"{text} holds {type(recipe).__name__}; expected a mapping of a protocol")
    return recipe
