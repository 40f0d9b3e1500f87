"""Temperature as a feature."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmd.descriptors.snapshot import Snapshot

BOLTZMANN_EV_K = 8.617333262e-5


def inverse_thermal_energy(s: Snapshot) -> float:
    r"""Return :math:`1 / (k_B T)` in 1/eV; NaN where no temperature is known."""
    return math.nan if s.temperature_K is None else 1.0 / (BOLTZMANN_EV_K * s.temperature_K)
