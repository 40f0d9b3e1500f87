"""Bring a structure to a temperature."""

from __future__ import annotations

from dataclasses import dataclass

from mlmd.stages.dynamics.molecular_dynamics import MolecularDynamicsStage


@dataclass(frozen=True, kw_only=True)
class Equilibrate(MolecularDynamicsStage):
    """NVT dynamics that forgets where it came from.

    Begins with momenta drawn at `temperature_K`. The stochastic thermostat is the default:
    far from equilibrium a plain Nosé-Hoover chain oscillates.
    """

    thermostat: str = "bussi"
