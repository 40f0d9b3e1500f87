"""How a validation study is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlmd.checks import listed, positive_number, whole_number
from mlmd.errors import InputError
from mlmd.plain import plain_fields
from mlmd.protocol.settings import RunSettings


@dataclass(frozen=True)
class StudySettings:
    """How surrogates are run beside a reference.

    Attributes
    ----------
    equilibration_ps
        Dynamics before what is compared; a tenth of the reference, at least 1 ps, where None.
    timestep_fs
        Longest time step; 2 fs where None (0.5 with hydrogen, 1 from 4000 K on).
    seeds
        Of momenta and thermostats: each surrogate runs once beside each reference with each.
    run
        How the runs are kept.
    """

    equilibration_ps: float | None = None
    timestep_fs: float | None = None
    seeds: tuple[int, ...] = (0,)
    run: RunSettings = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, unit in (("equilibration_ps", "ps"), ("timestep_fs", "fs")):
            if getattr(self, name) is not None:
                positive_number(name, getattr(self, name), unit)
        seeds = tuple(
            whole_number("seed", seed, least=0, most=None)
            for seed in listed("seeds", self.seeds, "seeds")
        )
        if not seeds or len(set(seeds)) < len(seeds):
            raise InputError(f"seeds are {seeds}; expected at least one, each different")
        object.__setattr__(self, "seeds", seeds)

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the numbers, as plain data."""
        return plain_fields(self, ("run",))
