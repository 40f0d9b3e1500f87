"""Checksums of blocks of frames: what a checkpoint knows of the trajectory that it vouches for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from mlmd.bounds.hdf5 import look_first
from mlmd.errors import DamagedDataError
from mlmd.trajectory.h5md.faults import damage_named, refuse_links
from mlmd.trajectory.h5md.writer import columns_of, row_bytes, shared_by_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import FloatArray, IntArray

    Rows = Mapping[str, NDArray[Any]]

SIZE = 16
ENDS, DIGESTS = "frame_blocks_end", "frame_blocks_blake2b"
"""Entries of a checkpoint: frame behind each block (blocks,), BLAKE2b of its rows (blocks, 16).

The first block has no frames: it is what all of them share, species, masses and periodicity."""
READ_BYTES = 2**22
LONGEST_BLOCK = 64


class FrameChecksums:
    """The blocks in which the frames of a file were appended, each with its checksum.

    Parameters
    ----------
    shared
        What :func:`shared_checksum` gives.
    """

    def __init__(self, shared: bytes) -> None:
        self._ends = [0]
        self._digests = [shared]

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FrameChecksums | None:
        """Take back what :meth:`state` gave; None from a checkpoint that is older than these."""
        if ENDS not in state:
            return None
        found = cls(b"")
        found._ends = [int(end) for end in state[ENDS]]
        found._digests = [bytes(row) for row in state[DIGESTS]]
        return found

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the blocks as entries of a checkpoint."""
        digests = np.frombuffer(b"".join(self._digests), dtype=np.uint8).reshape(-1, SIZE)
        return {ENDS: np.array(self._ends, dtype=np.int64), DIGESTS: digests}

    def add(self, block: Rows) -> None:
        """Take a block of frames, the rows of every column, as they are appended to the file."""
        self._ends.append(self._ends[-1] + len(block["step"]))
        self._digests.append(_digest(block))

    def end_at(self, n_frames: int, rows: Callable[[int, int], Rows]) -> None:
        """Have the blocks end with the frame before `n_frames`.

        Parameters
        ----------
        n_frames
            Blocks after that are forgotten.
        rows
            Gives the rows of the file from one frame to before another: for a block that is cut,
            and for frames of a run that is older than these checksums.
        """
        while self._ends[-1] > n_frames:
            self._ends.pop()
            self._digests.pop()
        while self._ends[-1] < n_frames:
            start = self._ends[-1]
            self.add(rows(start, min(start + LONGEST_BLOCK, n_frames)))

    def verify(self, path: Path) -> None:
        """Hold a file against the checksums.

        Raises
        ------
        DamagedDataError
            If it is no whole H5MD file, or frames are not what was written; the message names them.
        OSError
            If the system does not let us read it.
        """
        look_first(path, DamagedDataError)
        with damage_named(path), h5py.File(path, "r", locking=False) as file:
            refuse_links(file, path, DamagedDataError)
            if shared_checksum(*shared_by_frames(file)) != self._digests[0]:
                raise DamagedDataError(f"{path}: species, masses or periodicity were changed")
            columns = columns_of(file)
            there = min(len(column) for column in columns.values())
            if there < self._ends[-1]:
                raise DamagedDataError(
                    f"{path} holds {there} frames; the checkpoint was written after "
                    f"{self._ends[-1]}"
                )
            for (start, end), digest, block in self._blocks(columns):
                if _digest(block) != digest:
                    raise DamagedDataError(
                        f"{path}: frames {start} to {end - 1} are not what was written"
                    )

    def _blocks(
        self, columns: Mapping[str, h5py.Dataset]
    ) -> Iterator[tuple[tuple[int, int], bytes, dict[str, NDArray[Any]]]]:
        """Give the blocks with their rows, several of them from each reading of the file."""
        frame_bytes = sum(row_bytes(column) for column in columns.values())
        most, first = max(1, READ_BYTES // frame_bytes), 1
        while first < len(self._ends):
            start, last = self._ends[first - 1], first
            while last + 1 < len(self._ends) and self._ends[last + 1] - start <= most:
                last += 1
            rows = {name: column[start : self._ends[last]] for name, column in columns.items()}
            for i in range(first, last + 1):
                low, high = self._ends[i - 1], self._ends[i]
                part = slice(low - start, high - start)
                yield (low, high), self._digests[i], {key: row[part] for key, row in rows.items()}
            first = last + 1


def shared_checksum(numbers: IntArray, masses_u: FloatArray, pbc: Sequence[bool]) -> bytes:
    """Return the checksum of what all frames of a file share."""
    arrays = (
        np.asarray(numbers, dtype=np.int32),
        np.asarray(masses_u, dtype=np.float64),
        np.asarray(pbc, dtype=bool),
    )
    return hashlib.blake2b(b"".join(one.tobytes() for one in arrays), digest_size=SIZE).digest()


def _digest(block: Rows) -> bytes:
    """Return the checksum of rows of every column, which is the same as memory and as file."""
    found = hashlib.blake2b(digest_size=SIZE)
    for name in sorted(block):
        found.update(np.ascontiguousarray(block[name]).data)
    return found.digest()
