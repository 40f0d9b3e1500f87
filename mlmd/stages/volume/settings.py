"""Checking the settings of a volume search."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from mlmd.errors import InputError
from mlmd.stages.stage import require_positive
from mlmd.stages.volume.criteria import CRITERIA

if TYPE_CHECKING:
    from mlmd.stages.equilibrate_volume import EquilibrateVolume

CHOICES = {
    "pressure": ("total", "virial"),
    "convergence": tuple(CRITERIA),
    "on_unconverged": ("stop", "accept"),
}
MIN_FRAMES = 20
MIN_SCALES, MIN_SCALES_FREE = 2, 4
"""With a given B0', and where it is fitted: the verification run is then the fifth volume."""


def check_settings(stage: EquilibrateVolume) -> None:
    """Raise InputError, naming the stage, the setting and what was expected."""
    require_positive(
        stage,
        pressure_tolerance=stage.pressure_tolerance,
        energy_drift_stderrs=stage.energy_drift_stderrs,
        max_scale=stage.max_scale,
    )
    for name, allowed in CHOICES.items():
        if getattr(stage, name) not in allowed:
            _refuse(stage, name, " or ".join(allowed))
    if stage.max_scale <= 1:
        _refuse(stage, "max_scale", "a number above 1")
    if not _is_number(stage.max_duration_factor) or stage.max_duration_factor < 1:
        _refuse(stage, "max_duration_factor", "a number of at least 1")
    if stage.B0_prime is not None and not _is_number(stage.B0_prime):
        _refuse(stage, "B0_prime", "a number, or null to fit it")
    if stage.n_frames < MIN_FRAMES:
        _refuse(stage, "duration_ps", f"at least {MIN_FRAMES} recording intervals")
    _check_scales(stage)
    if type(stage.max_runs) is not int or stage.max_runs <= len(stage.scales):
        _refuse(stage, "max_runs", f"a whole number above the {len(stage.scales)} scales")


def _check_scales(stage: EquilibrateVolume) -> None:
    """See that the scales are different volumes within the limits, as many as are needed."""
    fewest = MIN_SCALES if stage.B0_prime is not None else MIN_SCALES_FREE
    low, high = 1 / stage.max_scale, stage.max_scale
    given: Any = stage.scales
    if (
        not isinstance(given, list | tuple)
        or not all(_is_number(scale) and low <= scale <= high for scale in given)
        or len({round(float(scale), 3) for scale in given}) < max(fewest, len(given))
    ):
        _refuse(
            stage, "scales", f"at least {fewest} different numbers from {low:.3g} to {high:.3g}"
        )


def _refuse(stage: EquilibrateVolume, name: str, expected: str) -> NoReturn:
    raise InputError(
        f"stage '{stage.name}': {name} is {getattr(stage, name)!r}; expected {expected}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
