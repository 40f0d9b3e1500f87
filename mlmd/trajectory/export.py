"""Writing a trajectory in a format that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.errors import InputError
from mlmd.files import write_output
from mlmd.trajectory.trajectory import Trajectory

if TYPE_CHECKING:
    from ase import Atoms

FORMATS = {".extxyz": "extxyz", ".xyz": "extxyz", ".traj": "traj", ".h5md": "h5md"}


def export_trajectory(trajectory: Trajectory, path: str | Path, force: bool = False) -> Path:
    """Write a trajectory; the name says the format.

    Parameters
    ----------
    trajectory
        What to write.
    path
        ``.extxyz`` or ``.xyz`` (extended XYZ), ``.traj`` (ASE), ``.h5md``.
    force
        Replace a file that is there; but never the one that the trajectory was read from, or a
        file of a run.

    Raises
    ------
    InputError
        If the file exists and `force` is not given, it cannot be written, or the format is not
        known.
    """
    path = Path(path)
    check_format(path)
    with write_output(path, "trajectory", force, inputs=[trajectory.source]) as partial:
        if path.suffix == ".h5md":
            _write_h5md(trajectory, partial)
        else:
            _write_with_ase(trajectory, partial, FORMATS[path.suffix])
    return path


def check_format(path: Path) -> None:
    """Raise InputError unless the name says a format that a trajectory can be written in."""
    if path.suffix not in FORMATS:
        raise InputError(f"cannot export to '{path.name}'; expected one of {', '.join(FORMATS)}")


def frame_atoms(trajectory: Trajectory, number: int) -> Atoms:
    """Return a frame as ASE has it, with its time, and energy, forces and velocities where known.

    Parameters
    ----------
    trajectory
        Where it is from.
    number
        Of the frame, from 0; a negative one counts from the end.
    """
    from ase import Atoms, units
    from ase.calculators.singlepoint import SinglePointCalculator

    from mlmd.trajectory.ase_formats import TIME_KEY

    atoms = Atoms(
        numbers=trajectory.numbers,
        positions=trajectory.positions_A[number],
        cell=trajectory.cell_A if trajectory.cell_A.ndim == 2 else trajectory.cell_A[number],
        pbc=trajectory.pbc,
        masses=trajectory.masses_u,
    )
    atoms.info[TIME_KEY] = float(trajectory.time_fs[number])
    if trajectory.velocities_A_fs is not None:
        atoms.set_velocities(trajectory.velocities_A_fs[number] / units.fs)
    known = {
        "energy": trajectory.energies_eV,
        "forces": trajectory.forces_eV_A,
        "stress": trajectory.stresses_eV_A3,
    }
    results = {name: array[number] for name, array in known.items() if array is not None}
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _write_with_ase(trajectory: Trajectory, path: Path, format: str) -> None:
    """Write every frame with its time, energy and velocities to a file by ASE."""
    from ase.io import write

    images = [frame_atoms(trajectory, number) for number in range(len(trajectory))]
    write(path, images, format=format)


def _write_h5md(trajectory: Trajectory, path: Path) -> None:
    from mlmd.trajectory.h5md.reader import FIELDS
    from mlmd.trajectory.h5md.writer import H5MDWriter

    observables = {
        name: values
        for name, attribute in FIELDS.items()
        if (values := getattr(trajectory, attribute)) is not None
    }
    assert trajectory.masses_u is not None
    block = {
        "step": np.arange(len(trajectory)),
        "time": trajectory.time_fs,
        "edges": trajectory.cells_A(),
        "position": trajectory.positions_A,
        **observables,
    }
    if trajectory.velocities_A_fs is not None:
        block["velocity"] = trajectory.velocities_A_fs
    with H5MDWriter.create(
        path,
        trajectory.numbers,
        trajectory.masses_u,
        trajectory.pbc,
        n_frames_planned=len(trajectory),
        velocities=trajectory.velocities_A_fs is not None,
        observables=tuple(observables),
    ) as writer:
        writer.append(block)
