"""Where the weights of models are, and what they are."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    return _sha256(path, _stamp(path))


@cache
def _sha256(path: Path, stamp: tuple[int, ...]) -> str:
    """Read a file once, until it is written again: a model may be trained on in this process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def by_content(value: Any, recorded: Any = None) -> Any:
    """Replace the names of files in plain data by what is in them.

    A text is a file's name where there is such a file, or a folder if it looks like a path: an
    option may be called like a folder that happens to be here.

    Parameters
    ----------
    value
        The data.
    recorded
        What was made of the same data before. A name that stands there as it is was no file
        then: what is there now the calculator itself has written, a log.
    """
    if isinstance(value, Mapping):
        before = recorded if isinstance(recorded, Mapping) else {}
        return {key: by_content(item, before.get(key)) for key, item in value.items()}
    if isinstance(value, list):
        items = recorded if isinstance(recorded, list) else []
        return [by_content(*pair) for pair in zip_longest(value, items[: len(value)])]
    if isinstance(value, str) and value and value != recorded:
        with contextlib.suppress(OSError, ValueError):  # it cannot be a path, or not be read
            return _content_of(value)
    return value


def _content_of(text: str) -> Any:
    path = Path(text).expanduser()
    if path.is_file():
        return {"file": path.name, "sha256": sha256_of(path)}
    if os.sep in text and path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.is_file())
        content = "".join(f"{sha256_of(item)}  {item.relative_to(path)}\n" for item in files)
        return {"folder": path.name, "sha256": hashlib.sha256(content.encode()).hexdigest()}
    return text


def named_files(spec: PlainSpec) -> tuple[tuple[int, ...], ...]:
    """Return what tells whether a file that a spec names has been written again."""
    files = []
    for value in (spec.model, *spec.options.values()):
        with contextlib.suppress(OSError, ValueError, TypeError):
            files.append(_stamp(Path(value)))
    return tuple(files)
