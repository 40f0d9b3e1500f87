"""Ionic conductivity: by Nernst and Einstein from the tracers, and in full from the charge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from mlmd.analysis.checks import check_bulk, check_trajectory
from mlmd.analysis.diffusion.units import BOLTZMANN_J_K
from mlmd.analysis.transport.charge import ChargeDiffusivity, ChargeOptions, charge_diffusivity
from mlmd.checks import positive_number
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.plain import plain_fields, to_plain

if TYPE_CHECKING:
    from mlmd.trajectory.trajectory import Trajectory

_CHARGE_C = 1.602176634e-19
_A3_IN_CM3 = 1e-24


@dataclass(frozen=True)
class ConductivityValue:
    """One conductivity in S/cm, with its standard error and 68 % interval where known."""

    S_cm: float
    stderr_S_cm: float | None
    interval68_S_cm: tuple[float, float | None] | None

    @property
    def mS_cm(self) -> float:
        """In mS/cm."""
        return 1000.0 * self.S_cm

    @property
    def stderr_mS_cm(self) -> float | None:
        """Standard error in mS/cm."""
        return None if self.stderr_S_cm is None else 1000.0 * self.stderr_S_cm

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON."""
        return {**plain_fields(self), "mS_cm": self.mS_cm}


@dataclass(frozen=True, eq=False)
class Conductivity:
    """Ionic conductivity of one trajectory.

    Attributes
    ----------
    nernst_einstein_raw : ConductivityValue
        As if the ions moved independently: from the tracer diffusivities.
    full_raw : ConductivityValue
        With the correlations between ions: from the charge diffusivity. The Haven ratio is the
        former over the latter.
    charge : ChargeDiffusivity
        The diffusivities, the Haven ratio and how they were obtained.
    temperature_K, volume_A3
        As used, without error.
    """

    nernst_einstein_raw: ConductivityValue
    full_raw: ConductivityValue
    charge: ChargeDiffusivity
    temperature_K: float
    volume_A3: float

    @property
    def is_diffusive(self) -> bool:
        """Whether the charge diffuses, by its own displacement."""
        return self.charge.is_diffusive

    @property
    def nernst_einstein(self) -> ConductivityValue | None:
        """Nernst-Einstein conductivity; None where a mobile species does not diffuse."""
        return self.nernst_einstein_raw if self.charge.tracers_diffuse else None

    @property
    def full(self) -> ConductivityValue | None:
        """Full conductivity; None where the charge does not diffuse."""
        return self.full_raw if self.is_diffusive else None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What doubts conductivity and Haven ratio."""
        return self.charge.findings

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON; what is not known is None."""
        believed = {"nernst_einstein": self.nernst_einstein, "full": self.full}
        return {**to_plain(believed), **plain_fields(self)}


def conductivity(
    trajectory: Trajectory,
    oxidation_states: Mapping[str, float],
    species: str | Sequence[str] | None = None,
    *,
    temperature_K: float | None = None,
    **options: Unpack[ChargeOptions],
) -> Conductivity:
    r"""Ionic conductivity in S/cm, by Nernst-Einstein and in full.

    .. math:: \sigma = \frac{e^2 \sum_{i \in \text{mobile}} z_i^2}{V k_B T} D

    with the tracer diffusivity for Nernst-Einstein and the charge diffusivity for the full one.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals; the volume is the mean over its frames.
    oxidation_states
        By chemical symbol; they are never guessed.
    species
        The mobile species, one or several; all charged ones that move where not given.
    temperature_K
        Mean of the recorded temperatures where not given.
    **options
        Keywords of :func:`mlmd.analysis.transport.charge.charge_diffusivity`.

    Raises
    ------
    InputError
        If no temperature is known, or as ``charge_diffusivity``.
    """
    check_trajectory(trajectory)
    check_bulk(trajectory, "a conductivity, which is by volume,")
    temperature_K = _temperature_K(trajectory, temperature_K)
    charge = charge_diffusivity(trajectory, oxidation_states, species, **options)
    volume_A3 = float(np.abs(np.linalg.det(trajectory.cell_A)).mean())
    factor = conductivity_factor(charge.carriers.squared_charge, volume_A3, temperature_K)

    def value(
        D: float, stderr: float | None, interval: tuple[float, float] | None
    ) -> ConductivityValue:
        return ConductivityValue(
            factor * D,
            None if stderr is None else factor * stderr,
            None if interval is None else (factor * interval[0], factor * interval[1]),
        )

    return Conductivity(
        nernst_einstein_raw=value(
            charge.tracer_D_raw_cm2_s, charge.tracer_stderr_cm2_s, charge.tracer_interval68_cm2_s
        ),
        full_raw=value(charge.D_raw_cm2_s, charge.D_stderr_cm2_s, charge.D_interval68_cm2_s),
        charge=charge,
        temperature_K=temperature_K,
        volume_A3=volume_A3,
    )


def conductivity_factor(squared_charge: float, volume_A3: float, temperature_K: float) -> float:
    """Return conductivity over diffusivity, in (S/cm) / (cm^2/s).

    Parameters
    ----------
    squared_charge
        Sum of z^2 over the mobile ions of the cell, in e^2: n z^2 for n ions of one species.
    volume_A3
        Volume of the cell.
    temperature_K
        Temperature.

    Raises
    ------
    InputError
        If one of them is not a positive number.
    """
    charges = positive_number("squared_charge", squared_charge, "e^2") * _CHARGE_C**2
    volume_cm3 = positive_number("volume_A3", volume_A3, "A^3") * _A3_IN_CM3
    kT_J = BOLTZMANN_J_K * positive_number("temperature_K", temperature_K, "K")
    return charges / (volume_cm3 * kT_J)


def _temperature_K(trajectory: Trajectory, given_K: float | None) -> float:
    """Return the temperature that was given, or the mean of those recorded."""
    if given_K is not None:
        return float(given_K)
    if trajectory.temperatures_K is None:
        raise InputError(
            f"{trajectory.source} has no temperatures; give temperature_K (--temperature-K) for "
            "its conductivity"
        )
    return float(trajectory.temperatures_K.mean())
