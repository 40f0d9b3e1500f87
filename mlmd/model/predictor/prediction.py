"""What a model says about a structure, and the features that it says it from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.checks import by_name, finite_number
from mlmd.descriptors.elements import ElementTable
from mlmd.descriptors.featurize import featurize
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.model.data.labelled_file import D_SCALE, TEMPERATURE
from mlmd.model.data.table import TARGETS
from mlmd.plain import plain_fields, to_plain

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

    from mlmd.trajectory.trajectory import Trajectory

_LARGEST = 700.0
"""The exponential of more is no number; D of as many 1e-3 cm2/s is beyond any liquid."""


@dataclass(frozen=True)
class Prediction:
    """A number with its uncertainty.

    Attributes
    ----------
    target, unit : str
        What it is.
    temperature_K : float or None
        None where it is an activation energy.
    value, standard_deviation : float
        In `unit`.
    D_cm2_s : float or None
        The diffusivity, where the target is one.
    interval_68, interval_95 : tuple of float
        Lower and upper bound of the diffusivity in cm2/s, or of the activation energy in eV.
    outside : tuple of str
        Elements and features that lie outside of what the model has learnt from, or "combination
        of features". Where there are any, the interval is not to be trusted.
    """

    target: str
    unit: str
    temperature_K: float | None
    value: float
    standard_deviation: float
    D_cm2_s: float | None
    interval_68: tuple[float, float]
    interval_95: tuple[float, float]
    outside: tuple[str, ...]

    @classmethod
    def of(
        cls,
        target: str,
        temperature_K: float | None,
        value: float,
        standard_deviation: float,
        half_width_95: float,
        outside: Sequence[str],
    ) -> Prediction:
        """Turn a number in the target's unit into diffusivity and intervals."""
        unit = TARGETS[target]
        if not abs(value) + half_width_95 < _LARGEST:
            raise InputError(
                f"the model gives {value:.3g} and an interval of {half_width_95:.3g} {unit} about "
                "it for this structure, "
                "which means nothing; it is far from all that the model has learnt"
            )

        def natural(number: float) -> float:
            if target == "ln_D":
                return math.exp(number)
            return max(number, 0.0) / D_SCALE if target == "D" else number

        def interval(half: float) -> tuple[float, float]:
            return natural(value - half), natural(value + half)

        D_cm2_s = None if target == "E_a" else natural(value)
        return cls(
            target,
            unit,
            None if target == "E_a" else temperature_K,
            value,
            standard_deviation,
            D_cm2_s,
            interval(standard_deviation),
            interval(half_width_95),
            tuple(outside),
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What doubts the number."""
        found = []
        if self.outside:
            text = f"outside of the training: {', '.join(self.outside)}"
            found.append(Finding("outside_of_training", "doubt", text))
        if self.D_cm2_s == 0.0:  # a model that is linear in D may give less than nothing
            text = f"the model gives {self.value:.2g} {self.unit}"
            found.append(Finding("no_positive_D", "invalid", text, {"value": self.value}))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {**plain_fields(self), "findings": to_plain(self.findings)}


def own_values(wanted: Sequence[str], given: Mapping[str, float] | None) -> dict[str, float]:
    """Return the values of the user's own columns that a model wants, checked.

    Raises
    ------
    InputError
        If one is missing, none of the model's, or no finite number.
    """
    given = {} if given is None else by_name("also", given)
    for name in given:
        if name not in wanted:
            known = f"it learnt from {', '.join(wanted)}" if wanted else "it learnt from none"
            raise InputError(f"the model has no column {name!r} of the user's own; {known}")
    missing = [name for name in wanted if name not in given]
    if missing:
        options = " ".join(f"--also {name}=VALUE" for name in missing)
        raise InputError(
            f"this model was trained on {', '.join(missing)} as well; give it by {options} (also=)"
        )
    return {name: finite_number(name, given[name]) for name in wanted}


def features_of(
    structure: Atoms | Trajectory,
    columns: Sequence[str],
    temperature_K: float | None,
    convention: str,
    mobile: str,
    elements: ElementTable | None,
) -> pd.DataFrame:
    """Return the features that a model wants, in a row.

    Raises
    ------
    InputError
        If the model wants a temperature and none is given, or a feature has no value for this
        structure.
    """
    thermal = {"inverse_kbT", TEMPERATURE} & set(columns)
    if thermal and temperature_K is None:
        raise InputError("this model needs a temperature; give one in K (--temperature-K)")
    T_K = temperature_K if thermal else None
    table = featurize(structure, mobile, convention, T_K, elements=elements)
    row = table.values.assign(temperature_K=T_K)[list(columns)].astype(float)
    empty = [str(c) for c in row.columns if not math.isfinite(row[c].iloc[0])]
    if empty:
        raise InputError(
            f"{table.about['formula'].iloc[0]} has no {', '.join(empty)}, which this model needs; "
            "give a larger cell, or train a model without"
        )
    return row
