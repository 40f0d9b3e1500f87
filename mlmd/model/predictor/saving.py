"""Files of trained models: what they were trained with in JSON, and the model by skops.

Loading makes only objects of the kinds that models are made of and runs nothing from the file.
The hash finds damage and careless edits. It is no signature: whoever can write the file can make
one that predicts nonsense.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlmd._version import __version__
from mlmd.bounds.memory import check_memory
from mlmd.checks import input_file
from mlmd.errors import InputError
from mlmd.files import write_output
from mlmd.model.extra import import_extra
from mlmd.model.predictor.soundness import check_boosted, check_trees
from mlmd.model.regressors import WITH_XGBOOST
from mlmd.model.validation.spread import Calibration

SCHEMA = 2
_ABOUT, _MODEL = "about.json", "model.skops"
_MOST_ABOUT_BYTES = 10_000_000
_MOST_EXPANSION = 100  # of arrays that are compressed; of zeros it is 1000
_SMALL_BYTES = 2**20
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


@dataclass(frozen=True)
class Training:
    """What a model was trained with, as it is kept in its file.

    Attributes
    ----------
    model, target, unit : str
        What learnt what.
    columns : tuple of str
        Features in their order, the one of the temperature among them.
    units : dict
        Unit of each column.
    convention, mobile : str
        Which definitions the features follow, and the mobile element.
    n_rows : int
        Number of rows learnt from.
    sha256 : str
        Hash of those rows.
    D_from : str
        How their diffusivities were obtained; what is predicted follows the same definition.
    weighted : bool
        Whether rows counted by the errors of their labels.
    tuned : dict
        Settings that tuning has chosen; none where the model has its own.
    calibration : Calibration
        What the standard deviation is worth.
    also : tuple of str
        Columns of the user's own among them.
    """

    model: str
    target: str
    unit: str
    columns: tuple[str, ...]
    units: dict[str, str]
    convention: str
    mobile: str
    n_rows: int
    sha256: str
    D_from: str
    weighted: bool
    tuned: dict[str, Any]
    calibration: Calibration
    also: tuple[str, ...] = ()


def write_model(
    path: Path, about: dict[str, Any], parts: dict[str, Any], force: bool = False
) -> None:
    """Write a model to a file, whole or not at all."""
    content = import_extra("skops.io", "skops").dumps(parts)
    head = {
        "schema": SCHEMA,
        "versions": _versions(about["model"]),
        "sha256": _hash(about, content),
        "about": about,
    }
    with (
        write_output(path, "model", force) as place,
        zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        archive.writestr(_ABOUT, json.dumps(head, allow_nan=False))
        archive.writestr(_MODEL, content)


def read_model(path: Path, other_versions: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write_model` wrote, after everything that can be checked first was checked."""
    skops = import_extra("skops.io", "skops")
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
        check_boosted(content)
        parts = skops.loads(content, trusted=sorted(_KINDS))
        check_trees(parts)
    except InputError:
        raise
    except Exception as error:  # a file made by hand may fail anywhere in skops
        raise damaged(path, error) from error
    if not isinstance(parts, dict):
        raise InputError(f"{path} is no complete model of mlmd; train it anew")
    return about, parts


def damaged(path: Path, error: Exception) -> InputError:
    """Return what to say of a file whose content is no sound model."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{path}: the model is damaged ({reason}); train it anew")


def _hash(about: dict[str, Any], content: bytes) -> str:
    written = json.dumps(about, sort_keys=True).encode()
    return hashlib.sha256(written + b"\n" + content).hexdigest()


def _members(path: Path) -> tuple[dict[str, Any], bytes]:
    input_file(path, "one of mlmd train TABLE -o FILE", "model")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(_ABOUT).file_size > _MOST_ABOUT_BYTES:
                raise InputError(
                    f"{path}: {_ABOUT} has more than {_MOST_ABOUT_BYTES} bytes; do not use it"
                )
            _check_size(path, [archive.getinfo(_MODEL)])
            about, content = dict(json.loads(archive.read(_ABOUT))), archive.read(_MODEL)
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            _check_size(path, parts.infolist())
        return about, content
    except InputError:
        raise
    except Exception as error:  # a damaged file may be wrong in any way
        reason = type(error).__name__
        raise InputError(
            f"{path} is no model of mlmd, or is damaged ({reason}); train it anew"
        ) from error


def _check_size(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """See that what is unpacked is no more than a file of this size can be meant to hold."""
    n_bytes = sum(member.file_size for member in members)
    if n_bytes > _MOST_EXPANSION * path.stat().st_size + _SMALL_BYTES:
        raise InputError(
            f"{path} becomes more than {_MOST_EXPANSION} times as large as it is when it is "
            "unpacked; do not use it"
        )
    check_memory(f"model {path}", 2 * n_bytes)  # as bytes, then as arrays


def _check_versions(path: Path, saved: Any, model: str) -> None:
    if not isinstance(saved, dict):
        raise InputError(f"{path} does not say its versions; train it anew")
    for package, here in _versions(model).items():
        there = str(saved.get(package))
        if there.split(".")[:2] != here.split(".")[:2]:
            raise InputError(
                f"{path} was saved with {package} {there}, here is {here}; install that version, "
                "train it anew, or take it all the same (--other-versions)"
            )


def _versions(model: str) -> dict[str, str]:
    """Return versions of the packages that a model depends on."""
    versions = {"mlmd": __version__, "scikit-learn": version("scikit-learn")}
    if model in WITH_XGBOOST:
        versions["xgboost"] = import_extra("xgboost", "xgboost-cpu").__version__
    return versions
