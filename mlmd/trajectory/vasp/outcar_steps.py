"""The steps of an ``OUTCAR``: which table, energy and number belong together.

A step of density functional theory is announced by ``Iteration N(``; one of a machine-learned force
field is not. Each is closed by the energies of the thermostat, which only molecular dynamics
prints. Where a force field is trained, a step may have both: the force field's table comes first,
and then, if it was not trusted, that of the density functional::

    POSITION ... TOTAL-FORCE (eV/Angst) (ML)      step 1, by the force field
    ML energy  without entropy= ...
    Iteration      1(   1)                        the same, by density functional theory
    POSITION ... TOTAL-FORCE (eV/Angst)
    energy  without entropy= ...
    ENERGY OF THE ELECTRON-ION-THERMOSTAT SYSTEM  the end of step 1
    POSITION ... TOTAL-FORCE (eV/Angst) (ML)      step 2

Up to VASP 5.2 the energy stands above the table of its step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.vasp.output_interval import OutputSettings

# Positions have five decimals: two tables of one step may differ in the last.
SAME_PLACE_A = 1.5e-5
NO_STEP = 0


@dataclass
class Results:
    """What one method, density functional theory or a force field, gave for a step."""

    table: FloatArray | None = None
    cell_A: FloatArray | None = None
    stress_eV_A3: FloatArray | None = None
    energy_eV: float | None = None
    has_energy: bool = False

    @property
    def is_begun(self) -> bool:
        """Whether there is anything."""
        return self.table is not None or self.has_energy

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return self.table is not None and self.has_energy


@dataclass
class Step:
    """One ionic step as far as it was read."""

    number: int = NO_STEP
    is_announced: bool = False
    is_closed: bool = False
    by_dft: Results = field(default_factory=Results)
    by_ml: Results = field(default_factory=Results)

    def by(self, is_ml: bool) -> Results:
        """Return what a method gave."""
        return self.by_ml if is_ml else self.by_dft

    @property
    def best(self) -> Results:
        """What is whole, and by density functional theory if there is a choice."""
        both = self.by_dft, self.by_ml
        whole = [one for one in both if one.is_whole]
        return (whole or [one for one in both if one.table is not None] or [self.by_dft])[0]

    def is_of(self, table: FloatArray, is_ml: bool) -> bool:
        """Whether a table can be one more of this step."""
        other = self.by(not is_ml).table
        if self.is_closed or self.by(is_ml).table is not None:
            return False
        return other is None or bool((np.abs(table[:, :3] - other[:, :3]) < SAME_PLACE_A).all())


class Steps:
    """Puts steps together and counts them.

    The number of a step of the force field follows from the one before and from what was printed
    between them. Where the file is written every few steps, that is certain only if something tells
    the steps between, or if VASP spaces everything alike; else no number is from there on.
    """

    def __init__(self, output: OutputSettings) -> None:
        self.now = Step()
        self._output = output
        self._number = NO_STEP
        # The number that was announced behind a force field's results: of that step, or the next.
        self._announced = NO_STEP
        # How many ends of steps were printed, and the number of VASP's loop: now, and when the
        # last step was numbered.
        self._ends, self._loop = 0, 0
        self._at_last = (0, 0)
        # Whether steps were seen that are not announced and yet have their end printed, each.
        self._each_ends = False
        self._is_certain = True

    def announce(self, number: int) -> Step | None:
        """Take the number of a step by density functional theory; return the step before, if over.

        Each electronic step says it again.
        """
        now = self.now
        if number == self._announced or (now.is_announced and now.number == number):
            if not now.is_closed:
                return None
        elif not now.is_closed and not now.is_announced and now.by_ml.table is not None:
            self._announced = number
            return None
        begun = now.is_announced or now.is_closed or now.by_dft.is_begun
        over = self._next() if begun else None
        self._set_number(number)
        return over

    def begin_loop(self, number: int) -> None:
        """Take the number of VASP's loop, in which a force field's steps are printed."""
        if number < self._loop:
            self._number, self._ends, self._at_last = NO_STEP, 0, (0, 0)
        self._loop = number

    def end(self) -> None:
        """Take the end of a step of molecular dynamics."""
        self.now.is_closed = True
        self._ends += 1

    def add_table(
        self, table: FloatArray, is_ml: bool, cell_A: FloatArray, stress_eV_A3: FloatArray | None
    ) -> Step | None:
        """Take positions and forces; return the step before, if that is over."""
        announced, self._announced = self._announced, NO_STEP
        over = None if self.now.is_of(table, is_ml) else self._next()
        if announced != NO_STEP:
            # Counted otherwise: not all of the force field's steps were printed.
            counted = self.now.number if over is None else self._number + 1
            self._is_certain &= counted == announced
            self._set_number(announced)
        elif self.now.number == NO_STEP:
            self._count()
        results = self.now.by(is_ml)
        results.table, results.cell_A, results.stress_eV_A3 = table, cell_A, stress_eV_A3
        return over

    def add_energy(self, energy_eV: float | None, is_ml: bool) -> Step | None:
        """Take an energy; return the step before, if that is over."""
        over = self._next() if self.now.is_closed or self.now.by(is_ml).has_energy else None
        results = self.now.by(is_ml)
        results.energy_eV, results.has_energy = energy_eV, True
        return over

    def number_of(self, step: Step) -> int | None:
        """Return the program's count of a step; None where it is not certain."""
        return step.number if self._is_certain and step.number != NO_STEP else None

    def _next(self) -> Step:
        over, self.now = self.now, Step()
        return over

    def _set_number(self, number: int) -> None:
        between = number - self._number
        if self._number != NO_STEP and between > 1:
            self._each_ends |= self._ends - self._at_last[0] == between
        self.now.number, self.now.is_announced, self._number = number, True, number
        self._at_last = (self._ends, self._loop)

    def _count(self) -> None:
        """Number a step that was not announced."""
        if self._number == NO_STEP:
            number = max(self._ends + 1, self._loop)
        else:
            ends, loop = self._at_last
            between = max(1, self._ends - ends, self._loop - loop)
            if between == 1 and self._output.interval > 1 and not self._each_ends:
                between = self._output.interval
                self._is_certain &= self._output.all_spaced
            number = self._number + between
        self.now.number = self._number = number
        self._at_last = (self._ends, self._loop)


def frame_of(step: Step) -> dict[str, Any]:
    """Return the arrays of a step that has a table, by the names of `FrameBlock`."""
    found = step.best
    assert found.table is not None
    forces = found.table[:, 3:]
    return {
        "positions_A": found.table[:, :3],
        "forces_eV_A": forces if np.isfinite(forces).all() else None,
        "cell_A": found.cell_A,
        "stresses_eV_A3": found.stress_eV_A3,
        "energies_eV": found.energy_eV,
    }
