"""Undoing periodic wrapping, and telling where that is not possible."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

logger = logging.getLogger(__name__)

# Past this fraction of the cell a step between frames could as well be its periodic image.
AMBIGUOUS_FRACTION = 0.4


def unwrap(positions_A: FloatArray, cells_A: FloatArray, source: str) -> FloatArray:
    """Return positions that cross cell borders without jumping.

    Each atom is taken to have moved by the minimum image of its step between frames, in
    fractional coordinates so that a changing cell does no harm. Positions that spread over more
    than one cell are returned as they are: they cannot have been wrapped.

    Parameters
    ----------
    positions_A : (frames, atoms, 3)
        Positions in angstrom.
    cells_A : (frames, 3, 3)
        Cell vectors as rows, in angstrom.
    source
        Name for the warning where a step is close to half a cell.
    """
    fractional = positions_A @ np.linalg.inv(cells_A)
    steps = np.diff(fractional, axis=0)
    # Of the cell's own size wherever its origin is: some programs wrap to [-1/2, 1/2).
    spread = fractional.max(axis=(0, 1)) - fractional.min(axis=(0, 1))
    if (spread > 1.0 + 2e-3).any():
        largest = float(np.abs(steps).max(initial=0.0))
        if largest > 0.5:
            logger.warning(
                "%s: taken as unwrapped, since the atoms spread over more than one cell, but one "
                "moves by %.2f of a cell vector between frames",
                source,
                largest,
            )
        return positions_A
    crossings = np.rint(steps)
    largest = float(np.abs(steps - crossings).max(initial=0.0))
    if largest > AMBIGUOUS_FRACTION:
        logger.warning(
            "%s: an atom moves by %.2f of a cell vector between frames; unwrapping needs frames "
            "closer in time to be certain",
            source,
            largest,
        )
    if not crossings.any():
        return positions_A
    unwrapped = positions_A.copy()
    unwrapped[1:] -= np.cumsum(crossings, axis=0) @ cells_A[1:]
    return unwrapped
