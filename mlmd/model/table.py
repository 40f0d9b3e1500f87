"""Tables to learn from: features of structures and the diffusivities that go with them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlmd.descriptors.conventions import convention_of
from mlmd.descriptors.features import FEATURES, UNITS
from mlmd.descriptors.table import FeatureTable, import_pandas
from mlmd.descriptors.thermal import BOLTZMANN_EV_K
from mlmd.errors import InputError
from mlmd.structure.composition import Composition

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

Target = Literal["ln_D", "D", "E_a"]
TARGETS = {"ln_D": "ln(cm2/s)", "D": "1e-3 cm2/s", "E_a": "eV"}
"""What can be predicted, and its unit."""

D_SCALE = 1e3
INVERSE_KBT, TEMPERATURE = "inverse_kbT", "temperature_K"
_MOST_MISSING = 0.5


@dataclass(frozen=True, eq=False)
class Problem:
    """Numbers to learn, row by row.

    Attributes
    ----------
    X : pandas.DataFrame
        Features, the one that carries the temperature among them.
    y : (n,) array
        The target in `unit`.
    formulas : tuple of str
        Formula of each row, with which folds are made.
    target, unit : str
        What `y` is.
    """

    X: pd.DataFrame
    y: FloatArray
    formulas: tuple[str, ...]
    target: str
    unit: str

    @property
    def sha256(self) -> str:
        """Hash of features, target and formulas: the identity of what was learnt from."""
        digest = hashlib.sha256("\n".join((*self.X.columns, *self.formulas, self.target)).encode())
        for part in (self.X.to_numpy(dtype="<f8"), self.y.astype("<f8")):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """Features and diffusivities.

    Attributes
    ----------
    features : pandas.DataFrame
        Columns of `mlmd.descriptors.FEATURES`, without the temperature.
    formulas : tuple of str
        Formula of each row.
    temperature_K : (n,) array
        Temperature of each row.
    D_cm2_s : (n,) array
        Self-diffusion coefficient of the mobile element.
    convention, mobile : str
        Which definitions the features follow, and the mobile element.
    """

    features: pd.DataFrame
    formulas: tuple[str, ...]
    temperature_K: FloatArray
    D_cm2_s: FloatArray
    convention: str
    mobile: str = "Li"

    def __post_init__(self) -> None:
        """Check that every number can be learnt from."""
        convention_of(self.convention)
        n = len(self.features)
        if n == 0 or not n == len(self.formulas) == len(self.temperature_K) == len(self.D_cm2_s):
            raise InputError(f"a training table needs rows, all parts the same number; got {n}")
        unknown = [str(c) for c in self.features.columns if c not in UNITS]
        if unknown:
            raise InputError(f"no feature {', '.join(unknown)}; see mlmd features --list")
        for name, values in (("temperature", self.temperature_K), ("D", self.D_cm2_s)):
            bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            if len(bad):
                raise InputError(
                    f"row {bad[0]} ({self.formulas[bad[0]]}): {name} is {values[bad[0]]}; expected "
                    "a number above zero"
                )
        numbers = self.features.to_numpy(dtype=float)
        rows, columns = np.nonzero(~np.isfinite(numbers))
        if len(rows):
            raise InputError(
                f"row {rows[0]} ({self.formulas[rows[0]]}): feature "
                f"{self.features.columns[columns[0]]} is no finite number; leave out row or column"
            )

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.features)

    @classmethod
    def read(cls, path: str | Path, format: Literal["mlmd", "zheng2024"] = "mlmd") -> TrainingTable:
        """Read a table.

        Parameters
        ----------
        path : path
            For "zheng2024" the data file of Zheng et al. 2024 (``feature_target.dat``: separated
            by blanks, D in 1e-3 cm2/s in ``diff_coeff_mul_thousand``); for "mlmd" what
            ``mlmd features -o`` writes, with a column ``D_cm2_s`` added.
        format : {"mlmd", "zheng2024"}
            Which of them it is.

        Raises
        ------
        InputError
            If the file cannot be read, lacks a column, or has something that is no number.
        """
        if format == "zheng2024":
            return _read_zheng2024(Path(path))
        if format == "mlmd":
            return _read_mlmd(Path(path))
        raise InputError(f"no table format '{format}'; expected zheng2024 or mlmd")

    def problem(self, target: str = "ln_D") -> Problem:
        """Return what there is to learn for a target.

        The temperature joins the features in front, as the published settings want it: as
        1/(kB T) for ``ln_D``, in K for ``D``. For ``E_a`` there is a row per formula with at
        least two temperatures: the mean of its features, and the slope of ln D over 1/(kB T).
        """
        if target not in TARGETS:
            raise InputError(f"no target '{target}'; expected {', '.join(TARGETS)}")
        pandas = import_pandas()
        if target == "E_a":
            return self._activation_energies()
        if target == "D":
            name, thermal, y = TEMPERATURE, self.temperature_K, self.D_cm2_s * D_SCALE
        else:
            name, thermal, y = (
                INVERSE_KBT,
                1 / (BOLTZMANN_EV_K * self.temperature_K),
                np.log(self.D_cm2_s),
            )
        first = pandas.DataFrame({name: thermal}, index=self.features.index)
        X = pandas.concat([first, self.features], axis=1).astype(float)
        return Problem(X, y, self.formulas, target, TARGETS[target])

    def _activation_energies(self) -> Problem:
        units = [Composition.parse(formula).formula for formula in self.formulas]
        inverse_eV, ln_D = 1 / (BOLTZMANN_EV_K * self.temperature_K), np.log(self.D_cm2_s)
        energies: dict[str, float] = {}
        for unit in dict.fromkeys(units):
            x, y = (v[np.array(units) == unit] for v in (inverse_eV, ln_D))
            if np.ptp(x) > 0:
                energies[unit] = -float(np.polyfit(x, y, 1)[0])
        if not energies:
            raise InputError("no formula has two temperatures; E_a needs them, or take ln_D")
        X = self.features.astype(float).groupby(units).mean().loc[list(energies)]
        y = np.array(list(energies.values()))
        return Problem(X, y, tuple(energies), "E_a", TARGETS["E_a"])


def _read_zheng2024(path: Path) -> TrainingTable:
    frame = _read(path, sep=r"\s+")
    wanted = [f.name for f in FEATURES if f.name not in ("density", INVERSE_KBT)]
    _need(path, frame, ["formula", "diff_coeff_mul_thousand", "temperature", *wanted])
    columns = [str(c) for c in frame.columns if c in wanted]
    try:
        return TrainingTable(
            frame[columns].astype(float),
            tuple(map(str, frame["formula"])),
            frame["temperature"].to_numpy(dtype=float),
            frame["diff_coeff_mul_thousand"].to_numpy(dtype=float) / D_SCALE,
            "zheng2024",
        )
    except ValueError as error:
        raise _no_number(path, error) from error


def _read_mlmd(path: Path) -> TrainingTable:
    table = FeatureTable.read_csv(path)
    frame = _read(path, skiprows=1)
    _need(path, frame, ["D_cm2_s"])
    features = table.values.drop(columns=INVERSE_KBT, errors="ignore").reset_index(drop=True)
    # A feature that a kind of material does not have (no second mobile atom, say) is left out.
    features = features.loc[:, features.isna().mean() < _MOST_MISSING]
    try:
        return TrainingTable(
            features,
            tuple(map(str, table.about["formula"])),
            table.about["temperature_K"].to_numpy(dtype=float),
            frame["D_cm2_s"].to_numpy(dtype=float),
            table.convention,
            table.mobile,
        )
    except ValueError as error:
        raise _no_number(path, error) from error


def _read(path: Path, **options: Any) -> pd.DataFrame:
    try:
        return import_pandas().read_csv(path, **options)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as a table ({reason})") from error


def _need(path: Path, frame: pd.DataFrame, wanted: list[str]) -> None:
    missing = [name for name in wanted if name not in frame]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; is it of another --format?")


def _no_number(path: Path, error: ValueError) -> InputError:
    if isinstance(error, InputError):
        return InputError(f"{path}: {error}")
    return InputError(f"{path} has something that is no number ({str(error).splitlines()[0]})")
