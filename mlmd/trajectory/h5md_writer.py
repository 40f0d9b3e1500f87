"""Writing H5MD files that survive a kill and a full disk.

H5MD 1.1 (de Buyl, Colberg, Höfling, Comput. Phys. Commun. 185, 1546 (2014),
doi:10.1016/j.cpc.2014.01.018), in HDF5's plain mode: neither single-writer-multiple-reader nor
the latest format, which an ordinary open refuses after a kill.

A full disk must not be met inside HDF5, which can then lose the file. So before each append
the blocks of the file are reserved from the system: where that fails nothing has been written
and the file is as it was.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mlmd._version import __version__
from mlmd.errors import DamagedDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
CHUNK_BYTES = 2**20
# What one append may add to HDF5's own bookkeeping: new B-tree nodes and headers are a few kB.
METADATA_RESERVE_BYTES = 2**18

OBSERVABLES = {
    "potential_energy": "eV",
    "temperature": "K",
    "pressure": "GPa",
    "conserved_energy": "eV",
}
"""Scalars that can be recorded with each frame, and their units."""


class H5MDWriter:
    """Appends frames of one set of atoms to a file.

    Use :meth:`create` or :meth:`resume`; close with :meth:`close` or as a context manager.
    """

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        particles = file["particles/trajectory"]
        self._columns: dict[str, h5py.Dataset] = {
            "step": particles["position/step"],
            "time": particles["position/time"],
            "edges": particles["box/edges/value"],
            "position": particles["position/value"],
        }
        if "velocity" in particles:
            self._columns["velocity"] = particles["velocity/value"]
        for name in file.get("observables", {}):
            self._columns[name] = file[f"observables/{name}/value"]

    @classmethod
    def create(
        cls,
        path: Path,
        numbers: NDArray[np.integer[Any]],
        masses_u: NDArray[np.floating[Any]],
        pbc: Sequence[bool],
        *,
        n_frames_planned: int,
        velocities: bool = False,
        observables: Sequence[str] = tuple(OBSERVABLES),
    ) -> H5MDWriter:
        """Make a new file; fails where one exists.

        Parameters
        ----------
        path
            The file, ``.h5md`` by custom.
        numbers, masses_u
            Atomic numbers and masses in u, shape (atoms,).
        pbc
            Periodicity along the three cell vectors.
        n_frames_planned
            For the size of the chunks only.
        velocities
            Whether velocities are recorded beside the positions.
        observables
                Names among :data:`OBSERVABLES`.

        Raises
        ------
        OSError
            If the file exists or there is no space for it; nothing is left behind then.
        """
        file = h5py.File(path, "x", libver="earliest", locking=False, rdcc_nbytes=4 * CHUNK_BYTES)
        try:
            os.posix_fallocate(file.id.get_vfd_handle(), 0, METADATA_RESERVE_BYTES)
        except OSError:
            file.close()
            path.unlink()
            raise
        file.create_group("h5md").attrs["version"] = np.array([1, 1], dtype=np.int32)
        file.create_group("h5md/author").attrs["name"] = "unknown"
        creator = file.create_group("h5md/creator")
        creator.attrs["name"] = "mlmd"
        creator.attrs["version"] = __version__
        file.create_group("mlmd").attrs["schema"] = SCHEMA
        atoms = len(numbers)
        particles = file.create_group("particles/trajectory")
        particles.create_dataset("species", data=np.asarray(numbers, dtype=np.int32))
        mass = particles.create_dataset("mass", data=np.asarray(masses_u, dtype=np.float64))
        mass.attrs["unit"] = "u"
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic" if periodic else "none" for periodic in pbc]

        def column(group: h5py.Group, shape: tuple[int, ...], dtype: str, unit: str) -> None:
            bytes_per_frame = math.prod(shape) * np.dtype(dtype).itemsize
            chunks_needed = max(1, math.ceil(n_frames_planned * bytes_per_frame / CHUNK_BYTES))
            rows = max(1, math.ceil(n_frames_planned / chunks_needed))
            value = group.create_dataset(
                "value", (0, *shape), dtype, maxshape=(None, *shape), chunks=(rows, *shape)
            )
            value.attrs["unit"] = unit

        position = particles.create_group("position")
        column(position, (atoms, 3), "f4", "Angstrom")
        rows = max(1, min(n_frames_planned, 4096))
        position.create_dataset("step", (0,), "i8", maxshape=(None,), chunks=(rows,))
        time = position.create_dataset("time", (0,), "f8", maxshape=(None,), chunks=(rows,))
        time.attrs["unit"] = "fs"
        sharing = [box.create_group("edges")]
        column(sharing[0], (3, 3), "f8", "Angstrom")
        if velocities:
            sharing.append(particles.create_group("velocity"))
            column(sharing[-1], (atoms, 3), "f4", "Angstrom fs-1")
        for name in observables:
            sharing.append(file.create_group(f"observables/{name}"))
            column(sharing[-1], (), "f8", OBSERVABLES[name])
        for group in sharing:  # one step and one time for all, as the standard allows
            group["step"] = position["step"]
            group["time"] = time
        writer = cls(file)
        writer.sync()
        return writer

    @classmethod
    def resume(cls, path: Path, n_frames: int) -> H5MDWriter:
        """Open a file to go on after its first `n_frames`; later frames are dropped.

        Raises
        ------
        DamagedDataError
            If the file cannot be opened or holds fewer frames than that.
        """
        try:
            file = h5py.File(path, "r+", locking=False, rdcc_nbytes=4 * CHUNK_BYTES)
            writer = cls(file)
        except (OSError, KeyError) as error:
            raise DamagedDataError(f"{path} cannot be opened as H5MD: {error}") from error
        shortest = min(len(column) for column in writer._columns.values())
        if shortest < n_frames:
            writer.close()
            raise DamagedDataError(
                f"{path} holds {shortest} frames; the checkpoint was written after {n_frames}"
            )
        for column in writer._columns.values():
            if len(column) > n_frames:
                column.resize(n_frames, axis=0)
        writer.sync()
        return writer

    @property
    def n_frames(self) -> int:
        """Frames in the file."""
        return len(self._columns["step"])

    def append(self, block: Mapping[str, NDArray[Any]]) -> None:
        """Append frames and hand them to the operating system.

        Parameters
        ----------
        block
            Arrays with frames along the first axis, for each column of the file: ``step``,
            ``time`` (fs), ``edges`` (A), ``position`` (A), ``velocity`` (A/fs) where recorded,
            and the observables.

        Raises
        ------
        OSError
            With ``errno.ENOSPC`` where the disk is full; the file is then as before.
        """
        count = len(block["step"])
        self._reserve(count)
        start = self.n_frames
        for name, column in self._columns.items():
            column.resize(start + count, axis=0)
            column[start:] = block[name]
        self._file.flush()

    def sync(self) -> None:
        """Flush and wait until the data are on the disk."""
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())

    def close(self) -> None:
        """Close the file and give back what was reserved but not needed."""
        if not self._file:
            return
        path = self._file.filename
        self._file.close()
        # HDF5 cuts a file to its logical end when it is opened for writing and closed.
        h5py.File(path, "r+", locking=False).close()

    def _reserve(self, count: int) -> None:
        """Have the system set blocks aside for `count` more frames, or raise OSError."""
        needed = METADATA_RESERVE_BYTES
        for column in self._columns.values():
            rows = column.chunks[0]
            new_chunks = -(-(len(column) + count) // rows) - -(-len(column) // rows)
            needed += new_chunks * rows * column.dtype.itemsize * math.prod(column.shape[1:])
        # HDF5 knows nothing of reserved blocks: this is the end of what it has used itself.
        used = self._file.id.get_filesize()
        os.posix_fallocate(self._file.id.get_vfd_handle(), 0, used + needed)

    def __enter__(self) -> H5MDWriter:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()
