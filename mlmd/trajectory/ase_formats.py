"""Trajectories that ASE reads and writes: ``.traj``, extended XYZ, and others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.trajectory.trajectory import Trajectory
from mlmd.trajectory.unwrapping import unwrap

if TYPE_CHECKING:
    from ase import Atoms

TIME_KEY = "time_fs"
"""Key of ``Atoms.info`` that holds the time of a frame in our exports."""


def read_with_ase(path: Path, timestep_fs: float | None, frames: slice) -> Trajectory:
    """Read a file by ASE.

    Raises
    ------
    InputError
        If ASE cannot read it, if the atoms change, or if the times are not known.
    """
    from ase.io import iread

    try:
        images = list(iread(path, index=":"))
    except Exception as error:  # ASE's readers raise anything; the cause is kept
        raise InputError(
            f"{path} cannot be read by ASE ({type(error).__name__}: {error})"
        ) from error
    if not images:
        raise InputError(f"{path} holds no frames")
    times = _times_fs(path, images, timestep_fs)[frames]
    numbers = images[0].numbers
    if any(not np.array_equal(image.numbers, numbers) for image in images):
        raise InputError(f"{path}: the atoms are not the same in every frame")
    masses = images[0].get_masses()
    positions = np.array([image.positions for image in images])
    cells = np.array([image.cell.array for image in images])
    if all(image.pbc.all() for image in images):
        # Before any frames are left out: between those that stay an atom may go further.
        positions = unwrap(positions, cells, str(path))
    images, positions, cells = images[frames], positions[frames], cells[frames]
    return Trajectory(
        positions_A=positions,
        cell_A=cells[0] if len(cells) and (cells == cells[0]).all() else cells,
        numbers=numbers,
        time_fs=times,
        masses_u=masses,
        velocities_A_fs=_velocities(images),
        energies_eV=_results(images, "energy"),
        forces_eV_A=_results(images, "forces"),
        stresses_eV_A3=_results(images, "stress"),
        source=str(path),
    )


def write_with_ase(trajectory: Trajectory, path: Path, format: str) -> None:
    """Write every frame with its time, energy and velocities to a file by ASE."""
    from ase import Atoms, units
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    images = []
    cells = trajectory.cells_A()
    for i in range(len(trajectory)):
        atoms = Atoms(
            numbers=trajectory.numbers,
            positions=trajectory.positions_A[i],
            cell=cells[i],
            pbc=True,
            masses=trajectory.masses_u,
        )
        atoms.info[TIME_KEY] = float(trajectory.time_fs[i])
        if trajectory.velocities_A_fs is not None:
            atoms.set_velocities(trajectory.velocities_A_fs[i] / units.fs)
        known = {
            "energy": trajectory.energies_eV,
            "forces": trajectory.forces_eV_A,
            "stress": trajectory.stresses_eV_A3,
        }
        results = {name: array[i] for name, array in known.items() if array is not None}
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    write(path, images, format=format)


def _times_fs(path: Path, images: list[Atoms], timestep_fs: float | None) -> Any:
    """Return the time of each frame: as given, as recorded, or by ASE's description."""
    if timestep_fs is not None:
        if not np.isfinite(timestep_fs) or timestep_fs <= 0:
            raise InputError(f"timestep_fs is {timestep_fs}; expected a positive number")
        return timestep_fs * np.arange(len(images))
    if all(TIME_KEY in image.info for image in images):
        return np.array([float(image.info[TIME_KEY]) for image in images])
    if path.suffix == ".traj":
        from ase import units
        from ase.io import Trajectory as AseTrajectory

        with AseTrajectory(str(path)) as file:
            made_by = getattr(file, "description", None) or {}
        if made_by.get("type") == "molecular-dynamics":
            interval = made_by["timestep"] * made_by.get("interval", 1) / units.fs
            return interval * np.arange(len(images))
    raise InputError(
        f"{path} does not say the time between its frames; give it with --timestep-fs "
        "(timestep_fs=)"
    )


def _velocities(images: list[Atoms]) -> Any:
    from ase import units

    if not images or not all(image.has("momenta") for image in images):
        return None
    return np.array([image.get_velocities() for image in images]) * units.fs


def _results(images: list[Atoms], name: str) -> Any:
    """Return a stored property of every frame, or None where a frame lacks it."""
    if not images or any(
        image.calc is None or image.calc.results.get(name) is None for image in images
    ):
        return None
    return np.array([image.calc.results[name] for image in images])
