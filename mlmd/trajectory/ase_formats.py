"""Trajectories that ASE reads: ``.traj``, extended XYZ, and others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError, MlmdError
from mlmd.trajectory.ase_bounds import read_images
from mlmd.trajectory.frame_block import FrameBlock

if TYPE_CHECKING:
    from ase import Atoms


TIME_KEY = "time_fs"
"""Key of ``Atoms.info`` that holds the time of a frame in our exports."""


BLOCK_FRAMES = 64


def read_ase(path: Path) -> Iterator[FrameBlock]:
    """Give the frames of a file that ASE reads.

    Raises
    ------
    InputError
        If ASE cannot read it or the atoms change.
    """
    n = 0
    try:
        images = read_images(path, slice(None), cut=True)
        first = next(images, None)
        interval = _interval_fs(path)  # its bounds were looked at with the first
        images = chain([] if first is None else [first], images)
        while block := list(islice(images, BLOCK_FRAMES)):
            yield _block(path, block, interval, n)
            n += len(block)
    except MlmdError:
        raise
    except Exception as error:  # ASE's readers raise anything; the cause is kept
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path} cannot be read by ASE ({reason})") from error
    if n == 0:
        raise InputError(f"{path} holds no frames")


def _block(path: Path, images: list[Atoms], interval_fs: float | None, n: int) -> FrameBlock:
    numbers = images[0].numbers
    if any(not np.array_equal(image.numbers, numbers) for image in images):
        raise InputError(f"{path}: the atoms are not the same in every frame")
    times = None
    if all(TIME_KEY in image.info for image in images):
        times = np.array([float(image.info[TIME_KEY]) for image in images])
    elif interval_fs is not None:
        times = interval_fs * np.arange(n, n + len(images))
    return FrameBlock(
        numbers=numbers,
        positions_A=np.array([image.positions for image in images]),
        cell_A=np.array([image.cell.array for image in images]),
        wrapped=None
        if all(image.pbc.any() and image.cell.rank == 3 for image in images)
        else False,
        time_fs=times,
        velocities_A_fs=_velocities(images),
        energies_eV=_results(images, "energy"),
        forces_eV_A=_results(images, "forces"),
        stresses_eV_A3=_results(images, "stress"),
        masses_u=images[0].get_masses(),
        pbc=_pbc(images),
    )


def _pbc(images: list[Atoms]) -> tuple[bool, bool, bool]:
    """Return along which cell vectors all images are periodic."""
    a, b, c = np.logical_and.reduce([image.pbc for image in images]).tolist()
    return a, b, c


def _interval_fs(path: Path) -> float | None:
    """Return the time between frames of a ``.traj`` that ASE's dynamics wrote."""
    from ase import units
    from ase.io import Trajectory as AseTrajectory

    if path.suffix != ".traj":
        return None
    try:
        with AseTrajectory(str(path)) as file:
            made_by = getattr(file, "description", None) or {}
        if made_by.get("type") != "molecular-dynamics":
            return None
        return float(made_by["timestep"] * made_by.get("interval", 1) / units.fs)
    except Exception:  # what is wrong with the file is said when its frames are read
        return None


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
    # A text in its place is what ASE's readers make of something else.
    return np.array([image.calc.results[name] for image in images], dtype=float)
