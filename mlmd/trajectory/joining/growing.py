"""Arrays that grow frame by frame, in memory and then on disk."""

from __future__ import annotations

import tempfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPILL_BYTES = 2**28
"""What the arrays of one trajectory may take in memory together; the rest goes to disk."""


class GrowingArray:
    """Rows of one shape and type, appended in blocks.

    Parameters
    ----------
    shape
        Shape of a row.
    dtype
        Type of its numbers.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape = shape
        self._rows: NDArray[Any] = np.empty((0, *shape), dtype)
        self._file: IO[bytes] | None = None
        self._n = 0

    @property
    def bytes_in_memory(self) -> int:
        """Size of what is not on disk."""
        return int(self._rows.nbytes)

    def append(self, block: NDArray[Any]) -> None:
        """Add rows."""
        n = self._n + len(block)
        if self._file is not None:
            _write(self._file, block.astype(self._rows.dtype, copy=False))
        else:
            if n > len(self._rows):
                self._rows.resize((max(n, len(self._rows) * 3 // 2), *self._shape), refcheck=False)
            self._rows[self._n : n] = block
        self._n = n

    def spill(self) -> None:
        """Put the rows in a file without a name, which goes with its last reader."""
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 -- till finish()
        except OSError as error:
            raise _no_room(error) from error
        _write(self._file, self._rows[: self._n])
        self._rows = np.empty((0, *self._shape), self._rows.dtype)

    def finish(self) -> NDArray[Any]:
        """Return all rows; those on disk are mapped into memory."""
        shape = (self._n, *self._shape)
        if self._file is None:
            self._rows.resize(shape, refcheck=False)
            return self._rows
        with self._file:
            return np.memmap(self._file, self._rows.dtype, "r+", shape=shape)


def spill_largest(arrays: dict[str, GrowingArray]) -> None:
    """Put arrays on disk, the largest first, until the others fit in memory."""
    while sum(array.bytes_in_memory for array in arrays.values()) > SPILL_BYTES:
        max(arrays.values(), key=lambda array: array.bytes_in_memory).spill()


def _write(file: IO[bytes], rows: NDArray[Any]) -> None:
    left = memoryview(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise _no_room(error) from error


def _no_room(error: OSError) -> InputError:
    return InputError(
        f"no room for the trajectory in {tempfile.gettempdir()} ({error.strerror}); take fewer "
        "frames (--every, every=), or set TMPDIR to a folder on a larger disk"
    )
