"""How large a batch may be: by its atoms, and by the memory that its edges take."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from mlmd.checks import whole_number

logger = logging.getLogger(__name__)

MAX_ATOMS = 100_000
"""Of a batch, where the user gives no number."""
BYTES_PER_EDGE = 50_000
"""Guess for a model of which nothing is known; what it takes is measured on a GPU."""
MEMORY_ON_CPU = 4 * 2**30
SHARE_OF_MEMORY = 0.8


class BatchMemory:
    """Learns from each batch how many edges the next may have.

    Parameters
    ----------
    device
        That of the model; what batches take of a GPU is measured.
    max_atoms, max_edges
        As many and no more, where the user says so.
    """

    def __init__(self, device: str, max_atoms: int | None, max_edges: int | None) -> None:
        self._device = device if device.startswith("cuda") else None
        self.max_atoms = MAX_ATOMS if max_atoms is None else whole_number("max_atoms", max_atoms)
        self._given = None if max_edges is None else whole_number("max_edges", max_edges)
        self._most: float = self._given or self._free() / BYTES_PER_EDGE

    @property
    def max_edges(self) -> int:
        """Edges of the next batch."""
        return max(int(self._most), 1)

    def holds(self, n_atoms: int, n_edges: int) -> bool:
        """Tell whether that many may be in a batch."""
        return n_atoms <= self.max_atoms and n_edges <= self.max_edges

    def halve(self, n_atoms: int, n_edges: int) -> None:
        """Allow half of what was too much: edges, or where nothing is known of them atoms."""
        if n_edges:
            self._most = self._given = max(n_edges // 2, 1)
        else:
            self.max_atoms = max(n_atoms // 2, 1)
        logger.warning(
            "a batch of %d atoms did not fit into memory: from now on at most %d atoms, %d edges",
            n_atoms,
            self.max_atoms,
            self.max_edges,
        )
        if self._device is not None:
            import torch

            torch.cuda.empty_cache()

    @contextlib.contextmanager
    def watched(self, n_edges: int) -> Iterator[None]:
        """Measure what a batch takes of a GPU, and allow as much as would fit."""
        if self._device is None or self._given is not None:
            yield
            return
        import torch

        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        yield
        took = torch.cuda.max_memory_allocated(self._device) - before
        if took > 0 and n_edges > 0:
            self._most = self._free() * n_edges / took

    def _free(self) -> float:
        """Return the bytes that a batch may take."""
        if self._device is None:
            return MEMORY_ON_CPU
        import torch

        free, _ = torch.cuda.mem_get_info(self._device)
        kept = torch.cuda.memory_reserved(self._device)
        used = torch.cuda.memory_allocated(self._device)
        return SHARE_OF_MEMORY * float(free + kept - used)
