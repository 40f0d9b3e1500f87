"""Features of many structures, with what is needed to use them without a mistake."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.features import UNITS
from mlmd.descriptors.table_file import ABOUT, FRAMES, HEAD, NAME, SCHEMA, SPREAD_SUFFIX, TableFile
from mlmd.errors import InputError
from mlmd.files import write_output
from mlmd.plain import csv_text, without_nan

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """One row per structure or trajectory.

    Attributes
    ----------
    values : pandas.DataFrame
        The features, a column each, in the order of `FEATURES`; the index is the row's name.
    spread : pandas.DataFrame
        Sample standard deviation over the frames of a trajectory, NaN for a single structure.
        Frames are correlated: it is how much a feature fluctuates, not the error of its mean.
    about : pandas.DataFrame
        ``formula`` (of the cell), ``temperature_K`` and ``n_frames`` of each row, and ``frames``:
        which they are, as ``mlmd features`` says it (``mean over production``, ``start of
        production``, ``last frame of production``, the same of a ``file``, or ``structure``);
        empty where that is not known.
    convention : str
        Name of the `Convention` that the features follow.
    mobile : str
        Chemical symbol of the mobile element.
    elements_sha256 : str
        Hash of the elemental values (`ElementTable.sha256`); empty where it is not known.
    """

    values: pd.DataFrame
    spread: pd.DataFrame
    about: pd.DataFrame
    convention: str
    mobile: str
    elements_sha256: str = ""

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        convention_of(self.convention)
        unknown = [c for c in self.values.columns if c not in UNITS]
        if unknown:
            raise InputError(f"no feature {', '.join(map(str, unknown))}; see mlmd features --list")
        same = self.values.index.equals(self.about.index)
        if not (same and self.spread.shape == self.values.shape):
            raise InputError("values, spread and about of a feature table have different rows")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each column of `values` and `spread`."""
        return {str(column): UNITS[str(column)] for column in self.values.columns}

    @property
    def after_start(self) -> pd.Series:
        """Which rows are of more than the first frame of a trajectory, True or False of each.

        They know what the diffusivity of that trajectory is, so that a model scored on both is
        scored too well.
        """
        frames = self.about.reindex(columns=[FRAMES], fill_value="")[FRAMES]
        return (self.about["n_frames"] > 1) | frames.str.startswith(("mean over", "last frame of"))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; what is not a number becomes None."""
        about = self.about[[c for c in (*ABOUT, FRAMES) if c in self.about]]
        parts = (part.to_dict("records") for part in (about, self.values, self.spread))
        rows = [
            {"name": str(name), **what, "features": features, "spread": spread}
            for name, what, features, spread in zip(self.values.index, *parts, strict=True)
        ]
        return {**self._head(), "rows": without_nan(rows)}

    def to_csv(self, path: str | Path, force: bool = False) -> None:
        """Write it to a file that `read_csv` reads; what is there is replaced only with `force`.

        The first line is a comment in JSON (convention, mobile element, units). Columns are
        name, formula, temperature_K, n_frames, frames, the features, and their spread with
        ``_std``. A text that a spreadsheet would take for a formula (``=1+1``, ``-Li``) has an
        apostrophe in front, which `read_csv` takes away (`mlmd.plain.csv_text`).

        Raises
        ------
        InputError
            If it cannot be written, or two rows have the same name.
        """
        for twice in self.values.index[self.values.index.duplicated()]:
            raise InputError(f"two rows are named '{twice}'; give each row a name of its own")
        spread = self.spread.add_suffix(SPREAD_SUFFIX)
        frame = self.about.join(self.values).join(spread) if len(self) else self.about
        frame = frame.map(lambda cell: csv_text(cell) if isinstance(cell, str) else cell)
        frame.index = frame.index.map(lambda name: csv_text(str(name)))
        # Only with this end of a line does csv put a carriage return in a text in quotes.
        odd = any(
            "\r" in str(cell) for cell in (*frame.index, *frame[list(self.about)].to_numpy().flat)
        )
        end = "\r\n" if odd else "\n"
        with (
            write_output(path, "table", force) as place,
            place.open("w", encoding="utf-8", newline="") as file,
        ):
            file.write(f"{HEAD}{json.dumps(self._head())}\n")
            frame.to_csv(file, index_label=NAME, float_format=repr_float, lineterminator=end)

    @classmethod
    def read_csv(
        cls, path: str | Path, convention: str | None = None, mobile: str | None = None
    ) -> FeatureTable:
        """Read what `to_csv` wrote, also through other programs: see `TableFile.read`.

        Raises
        ------
        InputError
            If there is no such file, or it is no table of features of this schema.
        """
        found = TableFile.read(path, convention, mobile)
        return cls(
            found.values,
            found.spread,
            found.about,
            found.convention,
            found.mobile,
            found.elements_sha256,
        )

    def _head(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "convention": self.convention,
            "mobile": self.mobile,
            "elements_sha256": self.elements_sha256,
            "units": self.units,
        }


def repr_float(value: float) -> str:
    """Write a number so that reading gives the same one."""
    return repr(float(value))
