"""A calculator's energies, forces and stresses on frames that are there already."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlmd.calculators.evaluation import evaluate
from mlmd.comparison.systems import part
from mlmd.errors import CalculatorError, InputError, MlmdError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


MOST_FRAMES = 50
"""Frames where no number is given: forces of neighbouring frames are much the same."""


def evaluate_frames(
    trajectory: Trajectory, calculator: Calculator, *, frames: int = MOST_FRAMES
) -> tuple[Trajectory, Trajectory]:
    """Compute energies, forces and, if the calculator can, stresses on evenly spaced frames.

    Parameters
    ----------
    trajectory
        The reference, with its own energies or forces.
    calculator
        Of the surrogate.
    frames
        How many at most.

    Returns
    -------
    (Trajectory, Trajectory)
        The chosen frames with the results of the calculator, and with those of the reference:
        what :func:`mlmd.comparison.forces.points.point_errors` takes.

    Raises
    ------
    InputError
        If there is no frame, or neither energies nor forces to compare with.
    CalculatorError
        If the calculator fails.
    """
    from ase import Atoms

    if len(trajectory) == 0 or frames < 1:
        raise InputError(
            f"{min(frames, len(trajectory))} frames of {trajectory.source} were to be evaluated; "
            "expected at least one"
        )
    if trajectory.energies_eV is None and trajectory.forces_eV_A is None:
        raise InputError(
            f"{trajectory.source} has neither energies nor forces; the point-wise test needs a "
            "file that has them, such as vasprun.xml, OUTCAR or extxyz"
        )
    chosen = np.unique(np.linspace(0, len(trajectory) - 1, frames).round().astype(int))
    cells_A = trajectory.cells_A()
    energies, forces, stresses = [], [], []
    for index in chosen:
        atoms = Atoms(
            numbers=trajectory.numbers,
            positions=trajectory.positions_A[index],
            cell=cells_A[index],
            pbc=trajectory.pbc,
        )
        atoms.wrap()
        atoms.calc = calculator
        try:
            found = evaluate(atoms, ("energy", "forces", "stress"))
        except MlmdError:
            raise
        except Exception as error:  # whatever a model or program raises
            raise CalculatorError(
                f"{type(calculator).__name__} gave no result for frame {index} of "
                f"{trajectory.source} ({type(error).__name__}: {error}); expected energy and "
                "forces: is it made for these elements?"
            ) from error
        energies.append(found.energy_eV)
        forces.append(found.forces_eV_A)
        stresses.append(found.stress_eV_A3)
    bare = part(trajectory, chosen.tolist())
    return (
        replace(
            bare,
            energies_eV=np.array(energies),
            forces_eV_A=np.array(forces),
            stresses_eV_A3=None if any(s is None for s in stresses) else np.array(stresses),
            source=f"{type(calculator).__name__} on {trajectory.source}",
        ),
        replace(
            bare,
            energies_eV=_at(trajectory.energies_eV, chosen),
            forces_eV_A=_at(trajectory.forces_eV_A, chosen),
            stresses_eV_A3=_at(trajectory.stresses_eV_A3, chosen),
        ),
    )


def _at(array: FloatArray | None, chosen: IntArray) -> FloatArray | None:
    return None if array is None else np.asarray(array[chosen], dtype=float)
