"""Trajectories that ASE reads: ``.traj``, extended XYZ, and others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError, MlmdError
from mlmd.numerics.voigt import symmetric_voigt
from mlmd.trajectory.ase_bounds import read_images
from mlmd.trajectory.frame_block import FrameBlock
from mlmd.trajectory.lammps.elements import elements_of_types
from mlmd.trajectory.text.compressed import check_expansion
from mlmd.trajectory.traj_files import whole_traj
from mlmd.trajectory.xyz_frames import xyz_images

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.text.source import TextSource


TIME_KEY = "time_fs"
"""Key of ``Atoms.info`` that holds the time of a frame in our exports."""

BLOCK_FRAMES = 64
COMPRESSED = {".xyz": "extxyz", ".extxyz": "extxyz", ".traj": "traj"}
# Names that say their unit: "time_fs", "Time[ps]", "t_ps".
TIME_NAME = re.compile(r"(?:time|t)[ _]?[\[(]?(fs|ps|ns)[\])]?", re.IGNORECASE)
UNITS_FS = {"fs": 1.0, "ps": 1e3, "ns": 1e6}
# Of CP2K ("Step", "Time", "Energy") in fs; LAMMPS's "Timestep" has a time in its own units.
STEP_NAMES = ("Step", "step", "Timestep", "md_step", "MD_step")
LAMMPS_COMMENT = re.compile(r"Atoms\. Timestep: (\d+)")
LARGEST_STRESS_EV_A3 = 1.0
"""160 GPa: no material is under more in a simulation of this kind, and matgl writes GPa."""


def read_ase(source: TextSource) -> Iterator[FrameBlock]:
    """Give the frames of a file that ASE reads.

    Raises
    ------
    InputError
        If ASE cannot read it or the atoms change.
    """
    n = 0
    has_cell = None
    try:
        for block, interval_fs in _blocks(source):
            has_cell = bool(block[0].cell.rank) if has_cell is None else has_cell
            _refuse_other_cells(source, block, has_cell, n)
            yield _block(source, block, interval_fs, n)
            n += len(block)
    except MlmdError:
        raise
    except Exception as error:  # ASE's readers raise anything; the cause is kept
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{source.path} cannot be read by ASE ({reason})") from error


def _blocks(source: TextSource) -> Iterator[tuple[list[Atoms], float | None]]:
    """Give some structures at a time, and the time between them where their file says it."""
    from ase.io import iread
    from ase.io.formats import filetype

    path = source.path
    # Of what is compressed and cut short ASE cannot see the content.
    suffix = Path(source.name).suffix if source.name != path.name else ""
    format = COMPRESSED.get(suffix) or filetype(str(path.absolute()))
    if format == "extxyz":
        check_expansion(path)
        yield from _some(xyz_images(source, cut=True, elements=_elements(source)), None)
        return
    source.damage = None  # of a text, which this is not
    if format == "traj":
        with whole_traj(path) as (name, what_is_left):
            if what_is_left:
                source.note("cut_short", f"it is cut short, or damaged; {what_is_left}")
            images = iread(name, index=":", format="traj", do_not_split_by_at_sign=True)
            yield from _some(_until_damage(source, images), _interval_fs(name))
    else:
        yield from _some(read_images(path, slice(None), format), None)


def _refuse_other_cells(source: TextSource, images: list[Atoms], has_cell: bool, n: int) -> None:
    """See that all frames have a cell, or none: atoms of the others would not be unwrapped."""
    for i, image in enumerate(images, n):
        if bool(image.cell.rank) != has_cell:
            raise InputError(
                f"{source.path}: frame {i} (counted from 0) has {'no' if has_cell else 'a'} cell, "
                f"and those before have {'one' if has_cell else 'none'}; expected a cell in every "
                "frame (Lattice= of extended XYZ): write it into each"
            )


def _until_damage(source: TextSource, images: Iterator[Atoms]) -> Iterator[Atoms]:
    """Give the structures before one that cannot be read, with a warning."""
    n = 0
    try:
        for image in images:
            yield image
            n += 1
    except MemoryError:
        raise
    except Exception as error:  # of ASE's reader, which raises anything
        if n == 0:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        source.note("cut_short", f"damaged ({reason}); the {n} frames before that are read")


def _some(
    images: Iterator[Atoms], interval_fs: float | None
) -> Iterator[tuple[list[Atoms], float | None]]:
    while block := list(islice(images, BLOCK_FRAMES)):
        yield block, interval_fs


def _elements(source: TextSource) -> Any:
    """Return what tells the elements of types, as LAMMPS writes them into XYZ files."""
    known: dict[str, str] = {}

    def symbols(labels: list[str]) -> Sequence[str]:
        if not set(labels) <= set(known):
            types = sorted({int(label) for label in labels})
            found = elements_of_types(source, types, len(labels), {})
            known.update((label, found.symbols[int(label)]) for label in set(labels))
        return [known[label] for label in labels]

    return symbols


def _block(
    source: TextSource, images: list[Atoms], interval_fs: float | None, n: int
) -> FrameBlock:
    numbers = images[0].numbers
    if any(not np.array_equal(image.numbers, numbers) for image in images):
        raise InputError(f"{source.path}: the atoms are not the same in every frame")
    times = _times_fs(source, images)
    if times is None and interval_fs is not None:
        times = interval_fs * np.arange(n, n + len(images))
    return FrameBlock(
        numbers=numbers,
        positions_A=np.array([image.positions for image in images]),
        cell_A=np.array([image.cell.array for image in images]),
        wrapped=None
        if all(image.pbc.any() and image.cell.rank == 3 for image in images)
        else False,
        time_fs=times,
        step=_steps(images),
        velocities_A_fs=_velocities(source, images),
        energies_eV=_results(source, images, "energy"),
        forces_eV_A=_results(source, images, "forces"),
        stresses_eV_A3=_stresses(source, images),
        masses_u=_finite(source, "masses", images[0].get_masses()),
        pbc=_pbc(images),
    )


def _times_fs(source: TextSource, images: list[Atoms]) -> FloatArray | None:
    """Return the times that all structures say, in a unit that is certain."""
    first = images[0].info
    named = {key: found[1].lower() for key in first if (found := TIME_NAME.fullmatch(key))}
    if "Time" in first and "Step" in first:
        named.setdefault("Time", "fs")
    for key, unit in named.items():
        times = [_number(image.info.get(key)) for image in images]
        if None not in times:
            return np.array(times, dtype=float) * UNITS_FS[unit]
    for key in ("time", "Time", "t"):
        if key in first and not named:
            source.note_once(
                "time_without_unit",
                f"'{key}=' of its frames says no unit and is left out; give the time between "
                "frames, or write the times as time_fs=",
            )
    return None


def _steps(images: list[Atoms]) -> IntArray | None:
    """Return the count of steps that all structures say, if it goes on from one to the next."""
    first = images[0].info
    for key in STEP_NAMES:
        if key in first:
            steps = [_number(image.info.get(key)) for image in images]
            break
    else:
        comments = [" ".join(map(str, image.info)) for image in images]
        found = [LAMMPS_COMMENT.match(comment) for comment in comments]
        steps = [float(one[1]) if one else None for one in found]
    if any(step is None or step != int(step) for step in steps):
        return None
    array = np.array(steps, dtype=int)
    return array if len(array) == 1 or len(np.unique(array)) > 1 else None


def _number(value: Any) -> float | None:
    """Return a finite number, or None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) and abs(number) < 2**62 else None


def _pbc(images: list[Atoms]) -> tuple[bool, bool, bool]:
    """Return along which cell vectors all images are periodic."""
    a, b, c = np.logical_and.reduce([image.pbc for image in images]).tolist()
    return a, b, c


def _interval_fs(name: str) -> float | None:
    """Return the time between frames of a ``.traj`` that ASE's dynamics wrote."""
    from ase import units
    from ase.io import Trajectory as AseTrajectory

    try:
        with AseTrajectory(name) as file:
            made_by = getattr(file, "description", None) or {}
        if made_by.get("type") != "molecular-dynamics":
            return None
        return float(made_by["timestep"] * made_by.get("interval", 1) / units.fs)
    except Exception:  # what is wrong with the file is said when its frames are read
        return None


def _velocities(source: TextSource, images: list[Atoms]) -> FloatArray | None:
    from ase import units

    if not all(image.has("momenta") for image in images):
        return None
    velocities = np.array([image.get_velocities() for image in images]) * units.fs
    return _finite(source, "velocities", velocities)


def _finite(source: TextSource, name: str, values: FloatArray) -> FloatArray | None:
    """Return what are numbers, or None where one is none."""
    if np.isfinite(values).all():
        return values
    source.note_lost(name, "of a frame")
    return None


def _results(source: TextSource, images: list[Atoms], name: str) -> Any:
    """Return a stored property of every frame, or None where a frame lacks it."""
    values = []
    for image in images:
        found = None if image.calc is None else image.calc.results.get(name)
        if found is None or (isinstance(found, str) and found.lower() in ("none", "null", "nan")):
            return None
        # A text in its place is what ASE's readers make of something else.
        value = _finite(source, name, np.array(found, dtype=float))
        if value is None:
            return None
        values.append(value)
    return np.array(values)


def _stresses(source: TextSource, images: list[Atoms]) -> FloatArray | None:
    """Return stresses as six numbers, which some calculators give as matrices."""
    stresses: FloatArray | None = _results(source, images, "stress")
    if stresses is None:
        return None
    n = len(images)
    if stresses.shape == (n, 6):
        return stresses
    if stresses.size != 9 * n:
        raise InputError(
            f"{source.path}: stresses of shape {stresses.shape[1:]}; expected six numbers or a "
            "matrix of three by three"
        )
    stresses = np.array([symmetric_voigt(one) for one in stresses.reshape(n, 3, 3)])
    largest = float(np.abs(stresses).max())
    if largest > LARGEST_STRESS_EV_A3:
        source.note_once(
            "stress_left_out",
            f"its stresses, matrices of up to {largest:.3g}, are no eV/A^3 (1 is 160 GPa), the "
            "unit of ASE, and are left out; matgl writes GPa unless asked for eV/A3",
        )
        return None
    source.note_once(
        "stress_assumed", "its stresses are matrices, taken as eV/A^3, the unit of ASE"
    )
    return stresses
