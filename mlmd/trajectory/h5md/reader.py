"""Reading the H5MD files that mlmd writes, also those of a run that was killed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mlmd.bounds.hdf5 import look_first
from mlmd.bounds.memory import check_memory
from mlmd.errors import DamagedDataError, InputError, MlmdError
from mlmd.trajectory.h5md.faults import damage_named, refuse_links
from mlmd.trajectory.h5md.writer import SCHEMA, columns_of, row_bytes, shared_by_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_BYTES = 2**22
UNITS = {
    "position/value": "Angstrom",
    "position/time": "fs",
    "box/edges/value": "Angstrom",
    "velocity/value": "Angstrom fs-1",
}
FIELDS = {
    "potential_energy": "energies_eV",
    "temperature": "temperatures_K",
    "pressure": "pressures_GPa",
    "conserved_energy": "conserved_energies_eV",
}
SCALARS = ("time", "edges", *FIELDS)
# Columns by the names that Trajectory gives them.
ARRAYS = {
    "time": "time_fs",
    "edges": "cell_A",
    "position": "positions_A",
    "velocity": "velocities_A_fs",
    **FIELDS,
}


def read_h5md(path: Path, frames: slice, trusted: bool = False) -> dict[str, Any]:
    """Read a file written by mlmd.

    Parameters
    ----------
    path
        The file.
    frames
        Which frames, counted from the first.
    trusted
        Whether the file is known to be as mlmd has written it. Any other is looked at first in a
        helper process with limits of time and memory: HDF5 itself has none.

    Returns
    -------
    dict
        What :class:`mlmd.Trajectory` is made of, by its names.

    Raises
    ------
    InputError
        If the file is not ours or of a newer schema, or takes more memory than is allowed.
    DamagedDataError
        If HDF5 cannot open it.
    """
    with open_h5md(path, trusted) as file, damage_named(path):
        if "mlmd" not in file or "particles/trajectory/position/value" not in file:
            raise InputError(f"{path} was not written by mlmd; convert it to extended XYZ first")
        schema = int(file["mlmd"].attrs["schema"])
        if schema > SCHEMA:
            raise InputError(
                f"{path} has schema {schema}; this mlmd reads up to {SCHEMA}: install a newer one"
            )
        particles = file["particles/trajectory"]
        for name, unit in UNITS.items():
            if name in particles and particles[name].attrs["unit"] != unit:
                raise InputError(
                    f"{path}: {name} is in {particles[name].attrs['unit']}; expected {unit}"
                )
        return _read(file, path, frames)


def read_scalars(path: Path, trusted: bool = False) -> dict[str, NDArray[Any]]:
    """Read time, cell and the recorded scalars without the positions.

    Parameters
    ----------
    path
        The file.
    trusted
        As for :func:`read_h5md`.

    Returns
    -------
    dict
        ``time_fs`` (frames,), ``cell_A`` (frames, 3, 3) and those of :data:`FIELDS` that were
        recorded, under the names that :class:`Trajectory` gives them.
    """
    with open_h5md(path, trusted) as file, damage_named(path):
        columns = columns_of(file)
        return {ARRAYS[name]: columns[name][:] for name in SCALARS if name in columns}


def open_h5md(path: Path, trusted: bool) -> h5py.File:
    """Open a file for reading, one that is not trusted after a look at it in a helper process."""
    try:
        if not trusted:
            look_first(path)
        # Without locking: a run that is still going may be read.
        file = h5py.File(path, "r", locking=False)
    except MlmdError:
        raise
    except (OSError, RuntimeError) as error:
        raise DamagedDataError(f"{path} cannot be opened as HDF5: {error}") from error
    return refuse_links(file, path)


def _read(file: h5py.File, path: Path, frames: slice) -> dict[str, Any]:
    found = columns_of(file)
    columns = {name: found[column] for column, name in ARRAYS.items() if column in found}
    whole = min(len(found["step"]), *(len(column) for column in columns.values()))
    step = found["step"][:whole]
    # A kill in the middle of a write can leave a tail of fill values: steps only ever grow.
    if whole > 1 and not (growing := np.diff(step) > 0).all():
        whole = int(np.argmin(growing)) + 1
    start, stop, every = frames.indices(whole)
    n_taken = len(range(start, stop, every))
    check_memory(
        f"{path}: {n_taken} frames",
        n_taken * sum(row_bytes(column) for column in columns.values()),
        "take fewer frames (--every, every=)",
    )
    arrays = {name: _slice(column, start, stop, every) for name, column in columns.items()}
    cells = arrays["cell_A"]
    if len(cells) and (cells == cells[0]).all():
        arrays["cell_A"] = cells[0]
    # A quantity that the calculator does not give (no stress, say) was recorded as NaN.
    known = {
        name: array
        for name, array in arrays.items()
        if name not in FIELDS.values() or np.isfinite(array).any()
    }
    return {**shared_by_frames(file)._asdict(), "source": str(path), **known}


def _slice(column: h5py.Dataset, start: int, stop: int, every: int) -> NDArray[Any]:
    """Read ``column[start:stop:every]`` block by block; HDF5's own strides are slow."""
    if every == 1:
        return np.asarray(column[start:stop])
    block = every * max(1, BLOCK_BYTES // (row_bytes(column) * every))
    parts = [column[at : min(at + block, stop)][::every] for at in range(start, stop, block)]
    return np.concatenate(parts) if parts else np.asarray(column[0:0])
