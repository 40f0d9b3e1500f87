"""Writing H5MD files that survive a kill and a full disk.

H5MD 1.1 (de Buyl, Colberg, Höfling, Comput. Phys. Commun. 185, 1546 (2014),
doi:10.1016/j.cpc.2014.01.018), in HDF5's plain mode: neither single-writer-multiple-reader nor
the latest format, which an ordinary open refuses after a kill.

HDF5 writes its own bookkeeping in place and in several steps, the end of the file last: a kill
between two of them can lose the file. So there is nothing to keep but the number of frames: each
column is one chunk with room for all frames that are planned, made with the first of them and
not cached, so that an append writes its rows and then, in one small step per column, their
number. A reader takes the shortest column. Whatever is more than that is done in a copy.

A full disk must not be met inside HDF5 either. So before each append the blocks of its rows are
reserved from the system: where that fails nothing has been written and the file is as it was.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np

from mlmd._version import __version__
from mlmd.errors import DamagedDataError
from mlmd.trajectory.h5md.faults import damage_named, let_go, refuse_links, reserve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray, IntArray

SCHEMA = 1
# Room for all of HDF5's own bookkeeping, in one piece at the head of the file.
METADATA_BYTES = 3 * 2**14
CHUNK_LIMIT_BYTES = 2**32 - 1  # HDF5's; a larger plan gets more chunks, made when needed
COPY_BYTES = 2**26
OPEN = {"locking": False, "rdcc_nbytes": 0}

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
        self._columns = columns_of(file)

    @classmethod
    def create(
        cls,
        path: Path,
        numbers: IntArray,
        masses_u: FloatArray,
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
            For the layout; blocks of the disk are taken only as frames are appended.
        velocities
            Whether velocities are recorded beside the positions.
        observables
                Names among :data:`OBSERVABLES`.

        Raises
        ------
        OSError
            If the file exists or there is no space for it; nothing is left behind then.
        """
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        try:
            file = h5py.File(path, "x", libver="earliest", meta_block_size=METADATA_BYTES, **OPEN)
        except FileExistsError:
            raise
        except OSError:
            path.unlink(missing_ok=True)
            raise
        try:
            reserved = 2 * METADATA_BYTES + 12 * len(numbers)
            reserve(file, 0, reserved)
            return cls._lay_out(
                file, numbers, masses_u, pbc, n_frames_planned, velocities, observables
            )
        except (OSError, RuntimeError):
            let_go(file)
            path.unlink()
            raise

    @classmethod
    def _lay_out(
        cls,
        file: h5py.File,
        numbers: IntArray,
        masses_u: FloatArray,
        pbc: Sequence[bool],
        n_frames_planned: int,
        velocities: bool,
        observables: Sequence[str],
    ) -> H5MDWriter:
        """Make the groups and the empty columns."""
        file.create_group("h5md").attrs["version"] = np.array([1, 1], dtype=np.int32)
        file.create_group("h5md/author").attrs["name"] = "unknown"
        creator = file.create_group("h5md/creator")
        creator.attrs["name"] = "mlmd"
        creator.attrs["version"] = __version__
        file.create_group("mlmd").attrs["schema"] = SCHEMA
        atoms = len(numbers)
        particles = file.create_group("particles/trajectory")
        # Named although not used again: an error when HDF5 drops it unflushed would be lost.
        species = particles.create_dataset("species", data=np.asarray(numbers, dtype=np.int32))
        mass = particles.create_dataset("mass", data=np.asarray(masses_u, dtype=np.float64))
        mass.attrs["unit"] = "u"
        box = particles.create_group("box")
        box.attrs["dimension"] = 3
        box.attrs["boundary"] = ["periodic" if periodic else "none" for periodic in pbc]

        rows = max(1, min(n_frames_planned, CHUNK_LIMIT_BYTES // (12 * atoms)))

        def column(
            group: h5py.Group,
            shape: tuple[int, ...],
            dtype: str,
            unit: str = "",
            name: str = "value",
        ) -> h5py.Dataset:
            creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            data = group.create_dataset(
                name,
                (0, *shape),
                dtype,
                maxshape=(None, *shape),
                chunks=(rows, *shape),
                dcpl=creation,
            )
            if unit:
                data.attrs["unit"] = unit
            return data

        position = particles.create_group("position")
        column(position, (atoms, 3), "f4", "Angstrom")
        column(position, (), "i8", name="step")
        time = column(position, (), "f8", "fs", name="time")
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
        del species
        return writer

    @classmethod
    def resume(cls, path: Path, n_frames: int, n_frames_planned: int = 0) -> H5MDWriter:
        """Open a file to go on after its first `n_frames`; later frames are dropped.

        Parameters
        ----------
        path
            The file.
        n_frames
            Frames to keep.
        n_frames_planned
            Where the file has no room for so many frames, it gets it.

        Raises
        ------
        DamagedDataError
            If the file is no whole H5MD file or holds fewer frames than that.
        OSError
            If the system does not let us open it (no permission, no space, too many files).
        """
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        with damage_named(path):
            file = h5py.File(path, "r+", **OPEN)
            writer = cls(refuse_links(file, path, DamagedDataError))
            lengths = [len(column) for column in writer._columns.values()]
            rows = writer._columns["position"].chunks[0]
        if min(lengths) < n_frames:
            writer.abandon()
            raise DamagedDataError(
                f"{path} holds {min(lengths)} frames; the checkpoint was written after {n_frames}"
            )
        if max(lengths) == n_frames and n_frames_planned <= rows:
            return writer
        # In place HDF5 would rewrite whole chunks to forget some of their rows.
        try:
            writer._copy(partial, n_frames, max(n_frames_planned, rows))
            partial.replace(path)
        finally:
            writer.abandon()
            partial.unlink(missing_ok=True)
        return cls.resume(path, n_frames)

    def _copy(self, path: Path, n_frames: int, n_frames_planned: int) -> None:
        """Copy the first frames to a new file with room for more."""
        with damage_named(Path(self._file.filename)):
            shared = shared_by_frames(self._file)
        frame_bytes = sum(row_bytes(column) for column in self._columns.values())
        rows = max(1, COPY_BYTES // frame_bytes)
        with H5MDWriter.create(
            path,
            *shared,
            n_frames_planned=n_frames_planned,
            velocities="velocity" in self._columns,
            observables=tuple(self._file.get("observables", ())),
        ) as copy:
            for at in range(0, n_frames, rows):
                copy.append(self.rows(at, min(at + rows, n_frames)))
            copy.sync()

    @property
    def n_frames(self) -> int:
        """Frames in the file."""
        return len(self._columns["step"])

    def rows(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Return frames as they are appended, from one to before another."""
        with damage_named(Path(self._file.filename)):
            return {name: column[start:stop] for name, column in self._columns.items()}

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
        start = self.n_frames
        end = start + len(block["step"])
        self._reserve(start, end)
        self._resize(end)
        if start % self._columns["position"].chunks[0] == 0:
            try:
                self._reserve(start, end)  # now that HDF5 has given the chunks a place
            except OSError:
                self._resize(start)
                raise
        with self._letting_go_of_what_fails():
            for name, column in self._columns.items():
                column[start:end] = block[name]
            self._file.flush()

    def _resize(self, n_frames: int) -> None:
        """Change the number of frames, for the time being in memory only."""
        for column in self._columns.values():
            column.resize(n_frames, axis=0)

    def sync(self) -> None:
        """Flush and wait until the data are on the disk."""
        with self._letting_go_of_what_fails():
            self._file.flush()
            os.fsync(self._file.id.get_vfd_handle())

    def close(self) -> None:
        """Close the file and give back what was reserved but not needed."""
        if not self._file:
            return
        with self._letting_go_of_what_fails():
            self._file.flush()
        path, used = self._file.filename, self._file.id.get_filesize()
        if h5py.h5f.get_obj_count(self._file.id, h5py.h5f.OBJ_FILE) > 1:
            self._file.close()  # a reader in this process shares it and keeps it open
        else:
            # Everything is written; closing in HDF5's way writes again, and where that fails
            # HDF5 is left half closed and crashes.
            let_go(self._file)
        os.truncate(path, used)

    def abandon(self) -> None:
        """Close without writing anything more: the file on the disk stays as it is now.

        For a file that another process owns by now, or that could not be written: HDF5 would
        put its own view of it on the disk when closing, and cut it to the length it knows.
        """
        let_go(self._file)

    @contextlib.contextmanager
    def _letting_go_of_what_fails(self) -> Iterator[None]:
        """After a failed write leave the file as a kill would: that can be continued."""
        try:
            yield
        except (OSError, RuntimeError):
            self.abandon()
            raise

    def _reserve(self, start: int, end: int) -> None:
        """Have the system set blocks aside for rows `start` to `end`, or raise OSError."""
        for column in self._columns.values():
            rows, n_bytes = column.chunks[0], row_bytes(column)
            for first in range(start - start % rows, end, rows):
                if first >= len(column):
                    break  # there is no such chunk yet
                chunk = column.id.get_chunk_info_by_coord((first,) + (0,) * (column.ndim - 1))
                low, high = max(start, first), min(end, first + rows)
                place = chunk.byte_offset + (low - first) * n_bytes
                reserve(self._file, place, (high - low) * n_bytes)

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


def columns_of(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the columns of a file, with a row for each frame, by their names in a block."""
    particles = file["particles/trajectory"]
    columns = {
        "step": particles["position/step"],
        "time": particles["position/time"],
        "edges": particles["box/edges/value"],
        "position": particles["position/value"],
    }
    if "velocity" in particles:
        columns["velocity"] = particles["velocity/value"]
    observables = file.get("observables", {})
    return columns | {name: observables[f"{name}/value"] for name in observables}


def row_bytes(column: h5py.Dataset) -> int:
    """Return the bytes of a row of a column, at least one: a file may say that it has no atoms."""
    return max(1, int(column.dtype.itemsize * math.prod(column.shape[1:])))


class Shared(NamedTuple):
    """What all frames of a file share: atomic numbers, masses in u, periodicity."""

    numbers: IntArray
    masses_u: FloatArray
    pbc: tuple[bool, ...]


def shared_by_frames(file: h5py.File) -> Shared:
    """Read what all frames of a file share."""
    particles = file["particles/trajectory"]
    pbc = tuple(str(one) == "periodic" for one in particles["box"].attrs["boundary"])
    return Shared(particles["species"][:], particles["mass"][:], pbc)
