"""What the stages of dynamics are told: how long, how hot, with which integrator."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlmd.checks import choice, finite_number, shown, truth, whole_number
from mlmd.dynamics.guards import GuardLimits
from mlmd.errors import InputError
from mlmd.stages.stage import SINCE_RUNS, Stage, require_positive

logger = logging.getLogger(__name__)

THERMOSTATS = ("nose_hoover", "bussi", "langevin")
ENSEMBLES = ("nvt", "nve", "npt")
MOST_STEPS = 10**12
"""Of a stage: decades of computing, so that more is a slip of the pen."""
FRICTION_PER_PS = 1.0
"""Usual are 1 to 10: more holds the temperature better and slows more motion down."""


@dataclass(frozen=True, kw_only=True)
class DynamicsSettings(Stage):
    """NVT dynamics for a given time.

    Attributes
    ----------
    temperature_K
        Target temperature in kelvin.
    duration_ps
        Simulated time in picoseconds, a whole number of recording intervals.
    timestep_fs
        Time step in femtoseconds. 2 fs is too long for H (0.5 fs) and coarse at 5000 K.
    record_every_fs
        Time between recorded frames, a whole number of time steps.
    thermostat
        ``nose_hoover`` (a chain of three), ``bussi`` (stochastic velocity rescaling) or
        ``langevin`` (friction and noise on every atom, which slow diffusion down).
    thermostat_time_fs
        Relaxation time of the first two in femtoseconds.
    friction_per_ps
        Of ``langevin``, per picosecond; :data:`FRICTION_PER_PS` where not given.
    record_velocities
        Whether velocities are recorded beside the positions.
    ensemble
        ``nvt``, ``nve`` (the thermostat's fields are not used) or ``npt`` (isotropic
        Martyna-Tobias-Klein with chains of its own; `thermostat` is not used).
    pressure_GPa, barostat_time_fs
        Target pressure and relaxation time of ``npt``.
    max_halvings
        How often a tripped guard may halve the time step before the stage fails. The
        recording interval stays.
    guard
        Limits other than the defaults of :class:`mlmd.dynamics.guards.GuardLimits`, by name.
    """

    temperature_K: float
    duration_ps: float
    timestep_fs: float = 2.0
    record_every_fs: float = 20.0
    thermostat: str = "nose_hoover"
    thermostat_time_fs: float = 100.0
    record_velocities: bool = False
    ensemble: str = "nvt"
    pressure_GPa: float = 0.0
    barostat_time_fs: float = 1000.0
    max_halvings: int = 3
    guard: Mapping[str, float] = field(default_factory=dict)
    friction_per_ps: float | None = field(default=None, metadata=SINCE_RUNS)

    def __post_init__(self) -> None:
        """Check the numbers and that they divide each other."""
        super().__post_init__()
        require_positive(
            self,
            temperature_K=self.temperature_K,
            duration_ps=self.duration_ps,
            timestep_fs=self.timestep_fs,
            record_every_fs=self.record_every_fs,
            thermostat_time_fs=self.thermostat_time_fs,
            barostat_time_fs=self.barostat_time_fs,
        )
        where = f"stage '{self.name}':"
        choice(f"{where} thermostat", self.thermostat, THERMOSTATS)
        choice(f"{where} ensemble", self.ensemble, ENSEMBLES)
        self._settle_friction()
        finite_number(f"{where} pressure_GPa", self.pressure_GPa, "GPa")
        whole_number(f"{where} max_halvings", self.max_halvings, 0)
        truth(f"{where} record_velocities", self.record_velocities)
        if not isinstance(self.guard, Mapping):
            raise InputError(
                f"stage '{self.name}': guard is {shown(self.guard)}; expected limits by name"
            )
        GuardLimits.from_dict(self.guard)
        if 1000.0 * self.duration_ps > MOST_STEPS * self.timestep_fs:
            raise InputError(
                f"stage '{self.name}': duration_ps ({self.duration_ps:g}) is more than "
                f"{MOST_STEPS:.0e} time steps of {self.timestep_fs:g} fs; expected fewer"
            )
        if _ratio(self.record_every_fs, self.timestep_fs) is None:
            raise InputError(
                f"stage '{self.name}': record_every_fs ({self.record_every_fs:g}) is not a whole "
                f"number of time steps of {self.timestep_fs:g} fs"
            )
        if _ratio(1000.0 * self.duration_ps, self.record_every_fs) is None:
            raise InputError(
                f"stage '{self.name}': duration_ps ({self.duration_ps:g}) is not a whole number "
                f"of recording intervals of {self.record_every_fs:g} fs"
            )

    def _settle_friction(self) -> None:
        """Give Langevin dynamics its friction, and see that nothing else has one."""
        if self.thermostat != "langevin":
            if self.friction_per_ps is not None:
                raise InputError(
                    f"stage '{self.name}': friction_per_ps is {shown(self.friction_per_ps)} with "
                    f"thermostat {self.thermostat}; only langevin has one: leave it out"
                )
            return
        if self.ensemble != "nvt":
            raise InputError(
                f"stage '{self.name}': thermostat langevin needs ensemble nvt; given "
                f"{self.ensemble}"
            )
        if self.friction_per_ps is None:
            object.__setattr__(self, "friction_per_ps", FRICTION_PER_PS)
        require_positive(self, friction_per_ps=self.friction_per_ps)

    @property
    def stress_is_for(self) -> str:
        """What the stage needs stress for."""
        return "for npt" if self.ensemble == "npt" else ""

    @property
    def steps_per_frame(self) -> int:
        """Time steps between recorded frames."""
        return _ratio(self.record_every_fs, self.timestep_fs) or 0

    @property
    def n_steps(self) -> int:
        """Time steps of the stage."""
        frames = _ratio(1000.0 * self.duration_ps, self.record_every_fs) or 0
        return frames * self.steps_per_frame

    def temperature_at_K(self, step: int) -> float:
        """Return the target temperature at a step, in kelvin."""
        return self.temperature_K


def _ratio(whole: float, part: float) -> int | None:
    """Return `whole` / `part` where that is a whole number of at least 1, else None."""
    ratio = whole / part
    if not math.isfinite(ratio):
        return None
    nearest = round(ratio)
    return nearest if nearest >= 1 and math.isclose(ratio, nearest, rel_tol=1e-9) else None
