"""Guards: tell an exploded simulation from a hot one, at almost no cost per step.

Distances are looked at only when some pair can have come too close: after a look, no pair can
touch before two atoms together have moved by the smallest gap that was left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.data import covalent_radii

from mlmd.checks import is_number
from mlmd.errors import InputError, SimulationUnstable
from mlmd.periodic.cell import minimum_image

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.dynamics.contract import Guarded


CHECK_EVERY = 5
"""Steps between checks. What trips is undone for a hundred steps or more."""
CONTACTS_EVERY = 50
"""Steps between looks at contacts: energies and forces tell of a collision sooner, distances of
a potential that lets atoms fall into each other, and those stay together."""


@dataclass(frozen=True)
class GuardLimits:
    """What a sane trajectory does not exceed.

    Attributes
    ----------
    max_force_eV_A
        Largest component of a force on an atom.
    max_temperature_ratio
        Kinetic temperature over its target, once `transient_ps` have passed.
    max_transient_ratio
        The same before that: an instantaneous quench from 5000 to 1000 K peaks at 1.9 times
        the target, and packed cells give off more.
    transient_ps
        How long the beginning of a stage is a transient.
    min_contact_fraction
        Distance of two atoms over the sum of their covalent radii.
    max_energy_jump_eV_atom
        Change of the conserved quantity in one step, per atom.
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


class Guard:
    """Looks at a dynamics; attach it as an observer every `CHECK_EVERY` steps, before others.

    Parameters
    ----------
    dynamics
        What is guarded.
    limits
        What it must not exceed.
    volume_A3
        Of the cell at the start of the stage.
    """

    def __init__(self, dynamics: Guarded, limits: GuardLimits, volume_A3: float) -> None:
        self._dynamics = dynamics
        self._limits = limits
        numbers = dynamics.atoms.numbers
        radii = covalent_radii[numbers]
        closest = limits.min_contact_fraction * np.add.outer(radii, radii)
        np.fill_diagonal(closest, -np.inf)  # an atom may be as close to itself as it is
        self._closest_A: FloatArray = closest.astype(np.float32)
        self._volume_A3 = volume_A3
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
        self._seen_A: FloatArray | None = None
        self._gap_A = 0.0

    def _check_forces(self) -> None:
        forces = self._dynamics.forces_eV_A
        if np.vdot(forces, forces) < self._limits.max_force_eV_A**2:
            return  # no component can be larger than the norm of all
        largest = float(np.abs(forces).max())
        if not largest < self._limits.max_force_eV_A:
            raise self._unstable(f"a force of {largest:.3g} eV/A")

    def _check_temperature(self) -> None:
        dynamics, limits = self._dynamics, self._limits
        settled = dynamics.nsteps * dynamics.timestep_fs >= 1000.0 * limits.transient_ps
        ratio = limits.max_temperature_ratio if settled else limits.max_transient_ratio
        temperature = dynamics.kinetic_temperature_K
        # "not less" also catches what is not a number.
        if not temperature < ratio * dynamics.temperature_K:
            raise self._unstable(
                f"{temperature:.0f} K is more than {ratio:g} times the target of "
                f"{dynamics.temperature_K:.0f} K"
            )

    def _check_energy(self) -> None:
        before, self._conserved_eV = self._conserved_eV, self._dynamics.conserved_energy_eV
        allowed = self._limits.max_energy_jump_eV_atom * len(self._dynamics.atoms)
        if before is not None and not abs(self._conserved_eV - before) < allowed:
            raise self._unstable(
                f"the conserved energy jumped by {self._conserved_eV - before:.3g} eV in one step"
            )

    def _check_volume(self) -> None:
        volume = float(self._dynamics.atoms.get_volume())
        ratio = self._limits.max_volume_ratio
        if not self._volume_A3 / ratio < volume < self._volume_A3 * ratio:
            raise self._unstable(f"the volume went from {self._volume_A3:.4g} to {volume:.4g} A3")

    def _check_contacts(self) -> None:
        """Look at distances, unless no pair can have closed the gap left at the last look."""
        atoms = self._dynamics.atoms
        if self._seen_A is not None:
            moved = atoms.positions - self._seen_A
            furthest = float(np.sqrt(np.einsum("ij,ij->i", moved, moved).max()))
            if 2.0 * furthest < self._gap_A:
                return
        distances = _distances(atoms.positions, atoms.cell.array)
        gaps = distances - self._closest_A
        closest = int(np.argmin(gaps))
        self._gap_A = float(gaps.flat[closest])
        self._seen_A = atoms.positions.copy()
        if not self._gap_A > 0:
            i, j = divmod(closest, len(atoms))
            raise self._unstable(
                f"{atoms.symbols[i]} {i} and {atoms.symbols[j]} {j} are {distances[i, j]:.2f} A "
                "apart"
            )

    def _unstable(self, what: str) -> SimulationUnstable:
        dynamics = self._dynamics
        time_ps = dynamics.nsteps * dynamics.timestep_fs / 1000.0
        return SimulationUnstable(f"{what} at step {dynamics.nsteps} ({time_ps:.3f} ps)")


def _distances(positions: FloatArray, cell: FloatArray) -> FloatArray:
    """Return distances of all pairs by nearest image, in angstrom and single precision."""
    separation = minimum_image(positions, cell, np.float32)
    distances: FloatArray = np.sqrt(np.einsum("kij,kij->ij", separation, separation))
    return distances
