"""Checking the settings of a volume search."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mlmd.checks import choice, finite_number, is_number, shown
from mlmd.errors import InputError
from mlmd.stages.equilibrate import Equilibrate
from mlmd.stages.stage import SINCE_RUNS, Stage, require_positive
from mlmd.stages.volume.criteria import CRITERIA

CHOICES = {
    "pressure": ("total", "virial"),
    "convergence": tuple(CRITERIA),
    "on_unconverged": ("stop", "accept"),
}
MIN_FRAMES = 20
MIN_SCALES, MIN_SCALES_FREE = 2, 4
"""With a given B0', and where it is fitted: the verification run is then the fifth volume."""


@dataclass(frozen=True, kw_only=True)
class VolumeSettings(Stage):
    """What a search for the volume of zero pressure is told.

    Attributes
    ----------
    temperature_K
        Temperature in kelvin.
    duration_ps
        Length of each volume's run.
    timestep_fs, record_every_fs, thermostat, thermostat_time_fs, friction_per_ps
        As in :class:`~mlmd.Equilibrate`; the pressure is averaged over recorded frames.
    scales
        Volumes of the first runs over the starting volume.
    pressure
        ``total``, or ``virial``, which leaves out the kinetic part N kB T / V.
    B0_prime
        Pressure derivative of the bulk modulus, as it is known beforehand, within 6, and
        fitted together with that. None fits it freely, which takes four scales.
    convergence
        ``modulus`` or ``mpmorph``, see :mod:`mlmd.stages.volume.criteria`.
    pressure_tolerance
        Largest abs(P)/B of a converged volume; its standard error is to be below half of that.
    energy_drift_stderrs
        Drift of the potential energy that is no drift, in its own standard errors.
    max_runs
        Runs in all.
    max_duration_factor
        A run whose errors are too large goes on up to this many times `duration_ps`.
    max_scale
        Volumes from the starting one divided by to multiplied by this.
    on_unconverged
        ``stop``: only a converged volume is gone on with. ``accept``: also the last verified
        one, and every later result carries the flag ``unconverged_volume``.
    """

    temperature_K: float
    duration_ps: float = 4.0
    timestep_fs: float = 2.0
    record_every_fs: float = 20.0
    thermostat: str = "nose_hoover"
    thermostat_time_fs: float = 100.0
    scales: tuple[float, ...] = (0.8, 1.0, 1.2)
    pressure: str = "total"
    B0_prime: float | None = 4.0
    convergence: str = "modulus"
    pressure_tolerance: float = 0.025
    energy_drift_stderrs: float = 2.0
    max_runs: int = 12
    max_duration_factor: float = 4.0
    max_scale: float = 2.5
    on_unconverged: str = "stop"
    friction_per_ps: float | None = field(default=None, metadata=SINCE_RUNS)

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        friction_per_ps = self.dynamics().friction_per_ps  # checks what is the same there
        object.__setattr__(self, "friction_per_ps", friction_per_ps)
        check_settings(self)
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))

    @property
    def n_steps(self) -> int:
        """Steps of the shortest search: the scales and one verification run."""
        return (len(self.scales) + 1) * self.dynamics().n_steps

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain data."""
        return {**super().to_dict(), "scales": list(self.scales)}

    @property
    def n_frames(self) -> int:
        """Recording intervals of a run that is not lengthened."""
        return round(1000.0 * self.duration_ps / self.record_every_fs)

    def dynamics(self) -> Equilibrate:
        """Return the stage that every volume is run with."""
        return Equilibrate(
            name=self.name,
            temperature_K=self.temperature_K,
            duration_ps=self.duration_ps,
            timestep_fs=self.timestep_fs,
            record_every_fs=self.record_every_fs,
            thermostat=self.thermostat,
            thermostat_time_fs=self.thermostat_time_fs,
            friction_per_ps=self.friction_per_ps,
        )


def check_settings(stage: VolumeSettings) -> None:
    """Raise InputError, naming the stage, the setting and what was expected."""
    require_positive(
        stage,
        pressure_tolerance=stage.pressure_tolerance,
        energy_drift_stderrs=stage.energy_drift_stderrs,
        max_scale=stage.max_scale,
    )
    for name, allowed in CHOICES.items():
        choice(f"stage '{stage.name}': {name}", getattr(stage, name), allowed)
    if stage.max_scale <= 1:
        _refuse(stage, "max_scale", "a number above 1")
    if not is_number(stage.max_duration_factor) or not 1 <= stage.max_duration_factor < math.inf:
        _refuse(stage, "max_duration_factor", "a number of at least 1")
    if stage.B0_prime is not None:
        finite_number(f"stage '{stage.name}': B0_prime", stage.B0_prime)
    if stage.n_frames < MIN_FRAMES:
        _refuse(stage, "duration_ps", f"at least {MIN_FRAMES} recording intervals")
    _check_scales(stage)
    if type(stage.max_runs) is not int or stage.max_runs <= len(stage.scales):
        _refuse(stage, "max_runs", f"a whole number above the {len(stage.scales)} scales")


def _check_scales(stage: VolumeSettings) -> None:
    """See that the scales are different volumes within the limits, as many as are needed."""
    fewest = MIN_SCALES if stage.B0_prime is not None else MIN_SCALES_FREE
    low, high = 1 / stage.max_scale, stage.max_scale
    given: Any = stage.scales
    if (
        not isinstance(given, list | tuple)
        or not all(is_number(scale) and low <= scale <= high for scale in given)
        or len({round(float(scale), 3) for scale in given}) < max(fewest, len(given))
    ):
        _refuse(
            stage, "scales", f"at least {fewest} different numbers from {low:.3g} to {high:.3g}"
        )


def _refuse(stage: VolumeSettings, name: str, expected: str) -> NoReturn:
    raise InputError(
        f"stage '{stage.name}': {name} is {shown(getattr(stage, name))}; expected {expected}"
    )
