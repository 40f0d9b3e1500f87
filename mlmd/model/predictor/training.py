"""What a model was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlmd.model.validation.spread import Calibration


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
