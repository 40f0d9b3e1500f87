"""How a validation study is done."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from mlmd.errors import InputError
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
        for name in ("equilibration_ps", "timestep_fs"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{name} is {value!r}; expected a number above zero")
            if not 0 < value < math.inf:
                raise InputError(f"{name} is {value:g}; expected a number above zero")
        object.__setattr__(self, "seeds", tuple(self.seeds))
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds are {self.seeds}; expected at least one, each different")
        for seed in self.seeds:
            if type(seed) is not int or seed < 0:
                raise InputError(f"seed is {seed!r}; expected a whole number of at least 0")

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the numbers, as plain data."""
        content = {key: value for key, value in asdict(self).items() if key != "run"}
        return {**content, "seeds": list(self.seeds)}
