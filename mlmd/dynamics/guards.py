"""Guards: tell an exploded simulation from a hot one, at almost no cost per step.

What a cell of few atoms does by chance is no explosion: the kinetic temperature of f degrees of
freedom is the target times chi2_f / f, so that limits widen as f becomes small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from mlmd.checks import is_number
from mlmd.dynamics.contact_watch import ContactWatch
from mlmd.errors import InputError, SimulationUnstable

if TYPE_CHECKING:
    from mlmd.dynamics.contract import Guarded


CHECK_EVERY = 5
"""Steps between checks. What trips is undone for a hundred steps or more."""
CONTACTS_EVERY = 50
"""Steps between looks at contacts: energies and forces tell of a collision sooner, distances of
a potential that lets atoms fall into each other, and those stay together."""
LAG_TIMES = 5.0
"""Thermostat times by which a structure follows a ramp: two where all is harmonic."""
SETTLING_TIMES = 10.0
"""Thermostat times in which half of what a structure gives off is taken up, with much to spare."""
OWN_HEAT_K = 4000.0
"""Temperature to which a structure may heat itself: some 1 eV per atom, as packed cells have."""
ATOMS_OF_THE_JUMP = 100
"""Atoms of the cell that `max_energy_jump_eV_atom` is meant for."""
FALSE_ALARM = 1e-13
"""Chance that one look takes a fluctuation for an explosion: once in a million long runs."""


@dataclass(frozen=True)
class GuardLimits:
    """What a sane trajectory does not exceed.

    Attributes
    ----------
    max_force_eV_A
        Largest component of a force on an atom.
    max_temperature_ratio
        Kinetic temperature over that which the structure may have (:meth:`Guard.allowed_K`);
        wider in small cells.
    max_transient_ratio
        Over the target, during the first `transient_ps`.
    transient_ps
        How long the beginning of a stage is a transient.
    min_contact_fraction
        Distance of two atoms over the sum of their covalent radii.
    max_energy_jump_eV_atom
        Change of the conserved quantity between two looks, per atom of a cell of 100. It goes
        with the square root of the number of atoms, as an integrator's error does; a fault of
        one atom does not grow with the cell.
    max_volume_ratio
        Largest ratio, either way, of the volume to that at the start.
    """

    max_force_eV_A: float = 300.0
    max_temperature_ratio: float = 3.0
    max_transient_ratio: float = 10.0
    transient_ps: float = 1.0
    min_contact_fraction: float = 0.4
    max_energy_jump_eV_atom: float = 0.1
    max_volume_ratio: float = 3.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in vars(self).items():
            if not is_number(value) or not value > 0:  # infinite: no limit
                raise InputError(f"guard {name} is {value!r}; expected a number above zero")

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> GuardLimits:
        """Make limits from plain data; a name that is no limit is an error."""
        known = [item.name for item in fields(cls)]
        unknown = [str(name) for name in settings if name not in known]
        if unknown:
            raise InputError(
                f"unknown guard(s) {', '.join(unknown)}; expected among {', '.join(known)}"
            )
        return cls(**settings)


@dataclass(frozen=True)
class Origin:
    """What a guard knows of the stage: where its structure comes from and goes to.

    Attributes
    ----------
    volume_A3
        Of the cell at the start.
    kinetic_energy_eV
        Of the structure as the stage before left it; 0 where none did.
    target_at_K
        The target temperature at a step.
    thermostat_time_fs
        How fast heat is taken up; infinite where nothing takes it.
    """

    volume_A3: float
    kinetic_energy_eV: float
    target_at_K: Callable[[int], float]
    thermostat_time_fs: float = inf


class Guard:
    """Looks at a dynamics; attach it as an observer every `CHECK_EVERY` steps, before others.

    Parameters
    ----------
    dynamics
        What is guarded.
    limits
        What it must not exceed.
    origin
        Where it comes from.
    """

    def __init__(self, dynamics: Guarded, limits: GuardLimits, origin: Origin) -> None:
        self._dynamics = dynamics
        self._limits = limits
        self._origin = origin
        self._contacts = ContactWatch(dynamics.atoms, limits.min_contact_fraction)
        freedom = dynamics.degrees_of_freedom
        by_chance = largest_ratio_by_chance(freedom)
        self._temperature_ratio = max(limits.max_temperature_ratio, by_chance)
        # The errors of an integrator add up over atoms as what has no common sign.
        atoms = sqrt(ATOMS_OF_THE_JUMP * len(dynamics.atoms))
        self._energy_jump_eV = limits.max_energy_jump_eV_atom * atoms
        self._lag_steps = LAG_TIMES * origin.thermostat_time_fs / dynamics.timestep_fs
        transient_fs = 1000.0 * limits.transient_ps
        self._transient_steps = transient_fs / dynamics.timestep_fs
        settling_fs = max(transient_fs, SETTLING_TIMES * origin.thermostat_time_fs)
        self._settling_steps = settling_fs / dynamics.timestep_fs
        heat_K = 2.0 * origin.kinetic_energy_eV / (freedom * units.kB)
        self._own_K = max(heat_K, OWN_HEAT_K)
        self._pair_share = min(1.0, 6.0 / (freedom + 3.0))
        self.forget()

    def __call__(self) -> None:
        """Raise SimulationUnstable where a limit is exceeded."""
        self._check_forces()
        self._check_temperature()
        self._check_energy()
        self._check_volume()
        if self._dynamics.nsteps % CONTACTS_EVERY == 0:
            self._check_contacts()

    def forget(self) -> None:
        """Start anew from the state that the dynamics was restored to.

        With the energy of that state: a jump in the first step after it must not be missed.
        """
        dynamics = self._dynamics
        self._conserved_eV = dynamics.conserved_energy_eV if dynamics.nsteps else None
        self._target_K = dynamics.temperature_K
        self._contacts.forget()

    def allowed_K(self) -> float:
        """Return the temperature that the structure may have now, fluctuations aside.

        The largest of three: the target; what it was before the lag of the thermostat; what the
        structure brings along, as kinetic energy or as potential energy that is set free. That
        of a whole cell is taken up in the course of the stage, as 1 / (1 + t / settling time)
        (glasses age like this); that of two atoms may be set free at any time.
        """
        origin, step = self._origin, self._dynamics.nsteps
        before_K = origin.target_at_K(int(max(0.0, step - self._lag_steps)))
        share = max(1.0 / (1.0 + step / self._settling_steps), self._pair_share)
        return max(self._dynamics.temperature_K, before_K, share * self._own_K)

    def _check_forces(self) -> None:
        forces, limit = self._dynamics.forces_eV_A, self._limits.max_force_eV_A
        if np.vdot(forces, forces) < limit**2:
            return  # no component can be larger than the norm of all
        largest = float(np.abs(forces).max())
        if not largest < limit:
            raise self._exceeded(f"a force of {largest:.3g} eV/A", "max_force_eV_A", largest)

    def _check_temperature(self) -> None:
        dynamics, limits = self._dynamics, self._limits
        temperature = dynamics.kinetic_temperature_K
        # "Not less" also catches what is not a number; most of the time this is all that is asked.
        if temperature < self._temperature_ratio * dynamics.temperature_K:
            return
        ratio, allowed_K, name = self._temperature_ratio, self.allowed_K(), "max_temperature_ratio"
        if dynamics.nsteps < self._transient_steps:
            transient = limits.max_transient_ratio
            if transient * dynamics.temperature_K > ratio * allowed_K:
                ratio, allowed_K, name = transient, dynamics.temperature_K, "max_transient_ratio"
        if not temperature < ratio * allowed_K:
            raise self._exceeded(
                f"{temperature:.0f} K where {dynamics.temperature_K:.0f} K is the target and "
                f"{ratio * allowed_K:.0f} K the most expected",
                name,
                temperature / allowed_K,
            )

    def _check_energy(self) -> None:
        dynamics = self._dynamics
        before, self._conserved_eV = self._conserved_eV, dynamics.conserved_energy_eV
        target_before, self._target_K = self._target_K, dynamics.temperature_K
        if before is None:
            return
        jump = abs(self._conserved_eV - before)
        if jump < self._energy_jump_eV:
            return
        allowed = self._energy_jump_eV + self._error_of_chain_eV(target_before)
        if not jump < allowed:
            raise self._exceeded(
                f"the conserved energy jumped by {self._conserved_eV - before:.3g} eV in "
                f"{CHECK_EVERY} steps",
                "max_energy_jump_eV_atom",
                self._limits.max_energy_jump_eV_atom * jump / self._energy_jump_eV,
            )

    def _error_of_chain_eV(self, target_before_K: float) -> float:
        """Return by how much the energy of a chain of thermostats may be off between two looks.

        It is proportional to the target or to its inverse, so that a ramp changes it; and a
        chain is followed less exactly while it takes up much more than belongs to the target.
        """
        dynamics, target_K = self._dynamics, self._dynamics.temperature_K
        per_K = 0.5 * dynamics.degrees_of_freedom * units.kB
        kinetic = per_K * dynamics.kinetic_temperature_K
        chain = dynamics.conserved_energy_eV - dynamics.potential_energy_eV - kinetic
        ramped = abs(target_K - target_before_K) / min(target_K, target_before_K)
        return ramped * (abs(chain) + kinetic) + 0.1 * abs(kinetic - per_K * target_K)

    def _check_volume(self) -> None:
        volume, before = float(self._dynamics.atoms.get_volume()), self._origin.volume_A3
        limit = self._limits.max_volume_ratio
        if not before / limit < volume < before * limit:
            raise self._exceeded(
                f"the volume went from {before:.4g} to {volume:.4g} A3",
                "max_volume_ratio",
                max(volume / before, before / volume),
            )

    def _check_contacts(self) -> None:
        found = self._contacts.touching()
        if found is not None:
            symbols = self._dynamics.atoms.symbols
            raise self._exceeded(
                f"{symbols[found.first]} {found.first} and {symbols[found.second]} {found.second} "
                f"are {found.distance_A:.2f} A apart",
                "min_contact_fraction",
                self._limits.min_contact_fraction * found.distance_A / found.limit_A,
            )

    def _exceeded(self, what: str, name: str, seen: float) -> SimulationUnstable:
        """Return the error; `seen` is the limit that would have been just enough."""
        dynamics = self._dynamics
        time_ps = dynamics.nsteps * dynamics.timestep_fs / 1000.0
        enough = float(f"{seen * (0.5 if name.startswith('min') else 1.5):.2g}")
        return SimulationUnstable(
            f"{what} at step {dynamics.nsteps} ({time_ps:.3f} ps), beyond guard {name} "
            f"{getattr(self._limits, name):g}",
            {name: enough} if 0 < enough < inf else None,
        )


def largest_ratio_by_chance(degrees_of_freedom: int) -> float:
    """Return the kinetic temperature over the target that is exceeded by chance almost never.

    That is the quantile of chi2_f / f at 1 - `FALSE_ALARM`: 21 at 2 atoms, 5.2 at 8, 1.7 at 100.
    """
    from scipy.special import gammainccinv

    half = 0.5 * degrees_of_freedom
    return float(gammainccinv(half, FALSE_ALARM)) / half
