"""Files of features with the diffusivities that go with them, as columns."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.descriptors.features import FEATURES, UNITS
from mlmd.descriptors.table import FeatureTable
from mlmd.descriptors.table_file import (
    FRAMES,
    TableFile,
    import_pandas,
    number_in,
    table_file,
)
from mlmd.errors import InputError
from mlmd.plain import text_of_csv

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray, IntArray

logger = logging.getLogger(__name__)

D_SCALE = 1e3
INVERSE_KBT, TEMPERATURE = "inverse_kbT", "temperature_K"
D_COLUMN, D_ERROR_COLUMN, D_FROM_COLUMN = "D_cm2_s", "D_error_cm2_s", "D_from"
BOUND_COLUMN, BOUND = "D_is", "upper bound"
AS_GIVEN, AS_PUBLISHED = "as given", "as published by Zheng et al. 2024"
EINSTEIN = "mlmd: slope / 6 of the mean squared displacement"
"""Where D is from. The published values may be three times those of the Einstein relation."""
_LABELS = (D_COLUMN, D_ERROR_COLUMN, D_FROM_COLUMN, BOUND_COLUMN)
_MOST_MISSING = 0.5
_UNREADABLE = (OSError, ValueError, KeyError, OverflowError, RecursionError)
"""What pandas raises for a text that is none of its own."""


@dataclass(frozen=True, eq=False)
class LabelledFile:
    """Columns of a file; each as the attribute of `mlmd.model.TrainingTable` of that name.

    ``is_bound`` says which rows give an upper bound of D.
    """

    features: pd.DataFrame
    formulas: tuple[str, ...]
    temperature_K: FloatArray
    D_cm2_s: FloatArray
    convention: str
    mobile: str
    D_error_cm2_s: FloatArray | None
    names: tuple[str, ...] | None
    n_frames: IntArray | None
    frames: tuple[str, ...] | None
    D_from: str
    also: tuple[str, ...]
    is_bound: NDArray[np.bool_]


def read_labelled(
    path: str | Path, also: Sequence[str], convention: str | None, mobile: str | None
) -> LabelledFile:
    """Read a table of features with a column ``D_cm2_s``; see `mlmd.model.TrainingTable.read`."""
    path = table_file(path, "a table of features with diffusivities")
    found = TableFile.read(path, convention, mobile)
    if not found.has_head:
        logger.warning(
            "%s has lost its first line; its columns fit convention %s and mobile element %s",
            path,
            found.convention,
            found.mobile,
        )
    if D_COLUMN not in found.others:
        raise InputError(
            f"{path} has no column {D_COLUMN}; add it, with the diffusivity of each row in cm2/s"
        )
    table = FeatureTable(found.values, found.spread, found.about, found.convention, found.mobile)
    n_after = int(table.after_start.sum())
    if n_after:
        logger.warning(
            "%s: %d row(s) of features are means over frames, or of a last frame; if D is of the "
            "same trajectory, the scores are optimistic for a new structure",
            path,
            n_after,
        )

    def numbers(name: str) -> FloatArray:
        cells = zip(found.lines, found.others[name], strict=True)
        return np.array([number_in(path, line, name, text) for line, text in cells])

    features = known_features(found.values)
    own = _own_columns(path, found, also)
    for name in own:
        features = features.assign(**{name: numbers(name)})
    origins = [AS_GIVEN]
    if D_FROM_COLUMN in found.others:
        given = found.others[D_FROM_COLUMN].map(text_of_csv)
        origins = list(dict.fromkeys(text or AS_GIVEN for text in given))
    if len(origins) > 1:
        raise InputError(
            f"{path} has D '{origins[0]}' and D '{origins[1]}', which may differ by a factor; "
            "train on rows of one origin"
        )
    what_D_is = found.others.get(BOUND_COLUMN)
    return LabelledFile(
        features.reset_index(drop=True),
        tuple(found.about["formula"]),
        found.about["temperature_K"].to_numpy(dtype=float),
        numbers(D_COLUMN),
        found.convention,
        found.mobile,
        numbers(D_ERROR_COLUMN) if D_ERROR_COLUMN in found.others else None,
        tuple(map(str, found.values.index)),
        found.about["n_frames"].to_numpy(),
        tuple(found.about[FRAMES]),
        origins[0],
        own,
        np.zeros(len(features), bool) if what_D_is is None else (what_D_is == BOUND).to_numpy(),
    )


def _own_columns(path: Path, found: TableFile, also: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are asked for; say which of the user's own are not learnt from."""
    theirs = [name for name in map(str, found.others.columns) if name not in _LABELS]
    # Of a feature that was taken out, its spread may be left.
    theirs = [name for name in theirs if name.removesuffix("_std") not in UNITS]
    for name in dict.fromkeys(also):
        if name not in theirs:
            known = f"its own are {', '.join(theirs)}" if theirs else "it has none of its own"
            raise InputError(f"{path} has no column {name!r} to learn from as well; {known}")
    left = [name for name in theirs if name not in also]
    if left:
        logger.warning(
            "%s: not learnt from, since no feature of mlmd: %s; to learn from it give %s (also=)",
            path,
            ", ".join(left),
            " ".join(f"--also {shlex.quote(name)}" for name in left),
        )
    return tuple(dict.fromkeys(also))


def read_zheng2024(path: str | Path) -> LabelledFile:
    """Read the data file of Zheng et al. 2024; see `mlmd.model.TrainingTable.read`."""
    path = table_file(path, "their file of features with diffusivities")
    try:
        frame = import_pandas().read_csv(path, sep=r"\s+")
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be read as a table ({reason})") from error
    wanted = [f.name for f in FEATURES if f.name not in ("density", INVERSE_KBT)]
    needed = ["formula", "diff_coeff_mul_thousand", "temperature", *wanted]
    missing = [name for name in needed if name not in frame]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; is it of another --format?")
    try:
        return LabelledFile(
            frame[[str(c) for c in frame.columns if c in wanted]].astype(float),
            tuple(map(str, frame["formula"])),
            frame["temperature"].to_numpy(dtype=float),
            frame["diff_coeff_mul_thousand"].to_numpy(dtype=float) / D_SCALE,
            "zheng2024",
            "Li",
            None,
            None,
            None,
            None,
            AS_PUBLISHED,
            (),
            np.zeros(len(frame), dtype=bool),
        )
    except (ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} has something that is no number ({reason})") from error


def known_features(values: pd.DataFrame) -> pd.DataFrame:
    """Return the features, without the temperature, that most rows have."""
    features = values.drop(columns=INVERSE_KBT, errors="ignore")
    return features.loc[:, features.isna().mean() < _MOST_MISSING]
