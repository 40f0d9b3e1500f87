"""Files of trained models: what they were trained with in JSON, and the model by skops.

Loading makes only objects of the kinds that models are made of and runs nothing from the file.
The hash finds damage and careless edits. It is no signature: whoever can write the file can make
one that predicts nonsense.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mlmd._version import __version__
from mlmd.errors import InputError, MissingExtraError
from mlmd.model.regressors import WITH_XGBOOST

SCHEMA = 2
_ABOUT, _MODEL = "about.json", "model.skops"
_MOST_BYTES = {_ABOUT: 10_000_000, _MODEL: 4_000_000_000}
_KINDS = frozenset(
    {
        "mlmd.model.best.ensemble.ArrheniusEnsemble",
        "mlmd.model.best.kernel.ArrheniusKernel",
        "mlmd.model.sisso.regressor.SissoModel",
        "mlmd.model.sisso.regressor.SissoRegressor",
        "mlmd.model.sisso.space.Expression",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
        "xgboost.core.Booster",
        "xgboost.sklearn.XGBRegressor",
    }
)
"""What models are made of besides the kinds that skops takes without asking."""


def write_model(path: Path, about: dict[str, Any], parts: dict[str, Any]) -> None:
    """Write a model to a new file, whole or not at all."""
    skops = _import_skops()
    if path.exists():
        raise InputError(f"{path} exists; nothing is overwritten: give another name")
    content = skops.dumps(parts)
    head = {
        "schema": SCHEMA,
        "versions": _versions(about["model"]),
        "sha256": _hash(about, content),
        "about": about,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_ABOUT, json.dumps(head, allow_nan=False))
        archive.writestr(_MODEL, content)
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        # A link, unlike a renaming, fails where another training has just written that file.
        os.link(temporary, path)
        temporary.unlink()
    except FileExistsError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise InputError(f"{path} exists; nothing is overwritten: give another name") from error
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written ({error}); give another file") from error


def read_model(path: Path, other_versions: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write_model` wrote, after everything that can be checked first was checked."""
    skops = _import_skops()
    head, content = _members(path)
    if head.get("schema") != SCHEMA:
        raise InputError(
            f"{path} has schema {head.get('schema')}, this version of mlmd reads {SCHEMA}; train "
            "it anew"
        )
    about = head.get("about")
    if not isinstance(about, dict) or not isinstance(about.get("model"), str):
        raise InputError(f"{path} is no complete model of mlmd; train it anew")
    if _hash(about, content) != head.get("sha256"):
        raise InputError(f"{path} was changed after it was saved; train it anew")
    if not other_versions:
        _check_versions(path, head.get("versions"), about["model"])
    try:
        foreign = sorted(set(skops.get_untrusted_types(data=content)) - _KINDS)
        if foreign:
            raise InputError(
                f"{path} holds {', '.join(foreign)}, which is no part of a model; do not use it"
            )
        parts = skops.loads(content, trusted=sorted(_KINDS))
    except InputError:
        raise
    except Exception as error:  # a file made by hand may fail anywhere in skops
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} holds no model that can be loaded ({reason})") from error
    if not isinstance(parts, dict):
        raise InputError(f"{path} is no complete model of mlmd; train it anew")
    return about, parts


def _hash(about: dict[str, Any], content: bytes) -> str:
    written = json.dumps(about, sort_keys=True).encode()
    return hashlib.sha256(written + b"\n" + content).hexdigest()


def _members(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            for name, most in _MOST_BYTES.items():
                if archive.getinfo(name).file_size > most:
                    raise InputError(f"{path}: {name} has more than {most} bytes; do not use it")
            head, content = json.loads(archive.read(_ABOUT)), archive.read(_MODEL)
    except FileNotFoundError as error:
        raise InputError(f"no model {path}; train one with mlmd train TABLE -o FILE") from error
    except (OSError, zipfile.BadZipFile, KeyError, EOFError, RuntimeError) as error:
        raise InputError(f"{path} is no model of mlmd, or is damaged; train it anew") from error
    except Exception as error:
        # zlib.error and what JSON raises; a damaged file may be wrong in any way.
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({type(error).__name__}); train it anew") from error
    if not isinstance(head, dict):
        raise InputError(f"{path} is no model of mlmd, or is damaged; train it anew")
    return head, content


def _check_versions(path: Path, saved: Any, model: str) -> None:
    if not isinstance(saved, dict):
        raise InputError(f"{path} does not say its versions; train it anew")
    for package, here in _versions(model).items():
        there = str(saved.get(package))
        if there.split(".")[:2] != here.split(".")[:2]:
            raise InputError(
                f"{path} was saved with {package} {there}, here is {here}; install that version or "
                "train it anew"
            )


def _versions(model: str) -> dict[str, str]:
    """Return versions of the packages that a model depends on."""
    versions = {"mlmd": __version__, "scikit-learn": version("scikit-learn")}
    if model in WITH_XGBOOST:
        for package in ("xgboost-cpu", "xgboost"):
            try:
                return {**versions, "xgboost": version(package)}
            except PackageNotFoundError:
                continue
        raise MissingExtraError("xgboost-cpu", "model")
    return versions


def _import_skops() -> Any:
    try:
        import skops.io
    except ImportError as error:
        raise MissingExtraError("skops", "model") from error
    return skops.io
