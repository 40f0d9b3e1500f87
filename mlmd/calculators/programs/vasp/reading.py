"""What VASP found in one ionic step, from its OUTCAR.

OUTCAR and not vasprun.xml: it is written as VASP goes, so that one reader serves both modes,
and it says in words whether the electrons converged. vasprun.xml holds every eigenvalue besides.
"""

from __future__ import annotations

import re

import numpy as np
from ase.units import GPa

from mlmd.calculators.programs.base import Step
from mlmd.errors import CalculatorError

FINISHED = "General timing and accounting informations for this job"

_NUMBER = r"([-+]?[\d.]+(?:[EeDd][-+]?\d+)?|NaN|\*+)"
# Two blanks as in the summary of an ionic step; each electronic step has a line with one.
_FREE_ENERGY = re.compile(rf"free  energy   TOTEN\s*=\s*{_NUMBER}\s*eV")
_SIGMA_ZERO = re.compile(
    rf"energy  without entropy\s*=\s*{_NUMBER}\s+energy\(sigma->0\)\s*=\s*{_NUMBER}"
)
_STRESS = re.compile(r"in kB +(\S.*)")
_FORCES = re.compile(r"TOTAL-FORCE \(eV/Angst\)\s*\n\s*-{10,}\n(.*?)\n\s*-{10,}", re.DOTALL)
_ITERATION = re.compile(r"Iteration\s+\d+\(\s*(\d+)\)")


def read_step(text: str, n_atoms: int, nelm: int) -> Step:
    """Read the last ionic step in a stretch of an OUTCAR, in VASP's order of atoms.

    Parameters
    ----------
    text
        The stretch; it has to hold the step as a whole.
    n_atoms
        Number of atoms that it has to have.
    nelm
        Most electronic steps allowed, to judge convergence where VASP 5 says nothing.

    Raises
    ------
    CalculatorError
        If the step is not all there, has another number of atoms, or holds what is no number.
    """
    forces, stress = _last(_FORCES, text), _last(_STRESS, text)
    # In this order in the file: a summary before the forces is that of another step.
    free = _last(_FREE_ENERGY, text, forces.end())
    sigma_zero = _last(_SIGMA_ZERO, text, free.end())
    rows = [_numbers(line) for line in forces[1].splitlines()]
    if len(rows) != n_atoms or any(len(row) != 6 for row in rows):
        raise CalculatorError(
            f"VASP's OUTCAR has forces on {len(rows)} atoms; expected {n_atoms}; it is cut short "
            "or of another structure"
        )
    table = np.array(rows)
    pressure_kB = np.array(_numbers(stress[1]))
    if len(pressure_kB) != 6:
        raise CalculatorError("VASP's OUTCAR has no stress of six numbers; it is damaged")
    iterations = [int(number) for number in _ITERATION.findall(text, 0, forces.start())]
    # VASP prints xx yy zz xy yz zx of the pressure, in kbar; ASE has stress, xx yy zz yz xz xy.
    return Step(
        energy_eV=_numbers(sigma_zero[2])[0],
        free_energy_eV=_numbers(free[1])[0],
        forces_eV_A=table[:, 3:],
        stress_eV_A3=-0.1 * GPa * pressure_kB[[0, 1, 2, 4, 5, 3]],
        n_unconverged=int(not _converged(text[: forces.start()], iterations, nelm)),
        positions_A=table[:, :3],
    )


def _last(pattern: re.Pattern[str], text: str, start: int = 0) -> re.Match[str]:
    found = None
    for found in pattern.finditer(text, start):  # noqa: B007 - the last one is wanted
        pass
    if found is None:
        raise CalculatorError(
            "VASP's OUTCAR is not complete: it has no ionic step with forces, stress and energy; "
            "see vasp.out in its folder"
        )
    return found


def _numbers(line: str) -> list[float]:
    """Return a line's numbers; VASP's columns can touch, or overflow to stars (here NaN)."""
    spaced = re.sub(r"(?<=\d)-", " -", line)
    try:
        return [float("nan") if "*" in word else float(word) for word in spaced.split()]
    except ValueError as error:
        raise CalculatorError(
            f"VASP's OUTCAR has '{' '.join(line.split())[:80]}'; expected numbers; it is damaged"
        ) from error


def _converged(text: str, iterations: list[int], nelm: int) -> bool:
    """Tell whether the SCF of the last ionic step reached EDIFF.

    VASP 6 says so either way; VASP 5 says nothing where NELM ends the loop, and some algorithms
    say nothing at all.
    """
    reached = text.rfind("aborting loop because EDIFF is reached")
    missed = text.rfind("EDIFF was not reached")
    if reached == missed == -1:
        return bool(iterations) and iterations[-1] < nelm
    return reached > missed
