"""Cooling, at once or at a rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.checks import is_number, shown
from mlmd.errors import InputError
from mlmd.stages.dynamics.molecular_dynamics import MolecularDynamicsStage
from mlmd.stages.stage import require_positive

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import StageContext


@dataclass(frozen=True, kw_only=True)
class Quench(MolecularDynamicsStage):
    """Cool (or heat) to `temperature_K`.

    Instantaneous where `from_temperature_K` is None: momenta are drawn at the new temperature
    and the stochastic thermostat takes up the heat that the structure still gives off, for
    `duration_ps`. Otherwise the target falls on a straight line from `from_temperature_K` to
    `temperature_K` and `rate_K_ps` replaces `duration_ps`.

    Attributes
    ----------
    from_temperature_K
        Where the ramp begins, in kelvin.
    rate_K_ps
        Speed of the ramp in kelvin per picosecond, a positive number also for heating.
    """

    duration_ps: float = 0.0
    thermostat: str = "bussi"
    from_temperature_K: float | None = None
    rate_K_ps: float | None = None

    def __post_init__(self) -> None:
        """See that it is either a ramp or instantaneous."""
        self.settle_numbers()
        if (self.from_temperature_K is None) != (self.rate_K_ps is None):
            raise InputError(
                f"stage '{self.name}': a ramp needs both from_temperature_K and rate_K_ps; an "
                "instantaneous quench neither"
            )
        if self.from_temperature_K is not None and self.rate_K_ps is not None:
            require_positive(
                self,
                temperature_K=self.temperature_K,
                from_temperature_K=self.from_temperature_K,
                rate_K_ps=self.rate_K_ps,
            )
            if not isinstance(self.ensemble, str) or self.ensemble != "nvt":
                raise InputError(
                    f"stage '{self.name}': a ramp needs ensemble nvt; given {shown(self.ensemble)}"
                )
            duration = abs(self.temperature_K - self.from_temperature_K) / self.rate_K_ps
            if not is_number(self.duration_ps) or self.duration_ps not in (0.0, duration):
                raise InputError(
                    f"stage '{self.name}': the ramp takes {duration:g} ps; leave duration_ps out"
                )
            object.__setattr__(self, "duration_ps", duration)
        super().__post_init__()

    def prepare(self, atoms: Atoms, context: StageContext) -> None:
        """Draw momenta; a ramp goes on with those of the stage before where there are any."""
        if self.rate_K_ps is None or not atoms.has("momenta") or not atoms.get_momenta().any():
            super().prepare(atoms, context)

    def temperature_at_K(self, step: int) -> float:
        """Return the target temperature at a step, in kelvin."""
        if self.from_temperature_K is None:
            return self.temperature_K
        done = min(1.0, step / self.n_steps)
        return self.from_temperature_K + done * (self.temperature_K - self.from_temperature_K)
