"""How often the worker of a case died while the case got no further."""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter
from pathlib import Path


class Deaths:
    """Counts, for each case, deaths since it last got further.

    A job that ends at its walltime kills workers, and so does whoever wants their memory: that says
    nothing of a case whose checkpoints are newer each time. One that kills its worker is where it
    was.
    """

    def __init__(self) -> None:
        self._number: Counter[Path] = Counter()
        self._at: dict[Path, int] = {}

    def count(self, directory: Path) -> int:
        """Note a death; return how many there were where the case is now."""
        at = _how_far(directory)
        if self._at.get(directory) != at:
            self._at[directory] = at
            self._number[directory] = 0
        self._number[directory] += 1
        return self._number[directory]


def _how_far(directory: Path) -> int:
    """Return a checksum of the checkpoints: their times change with each new start."""
    found = 0
    for path in sorted(directory.rglob("checkpoint.npz")):
        with contextlib.suppress(OSError):
            found = zlib.crc32(path.read_bytes(), zlib.crc32(str(path).encode(), found))
    return found
