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
    fractional coordinates so that a changing cell does no harm. Positions that already leave
    the cell are returned as they are: they cannot have been wrapped.

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
    if fractional.min() < -1e-3 or fractional.max() > 1.0 + 1e-3:
        return positions_A
    steps = np.diff(fractional, axis=0)
    steps -= np.rint(steps)
    largest = float(np.abs(steps).max(initial=0.0))
    if largest > AMBIGUOUS_FRACTION:
        logger.warning(
            "%s: an atom moves by %.2f of a cell vector between frames; unwrapping needs frames "
            "closer in time to be certain",
            source,
            largest,
        )
    fractional[1:] = fractional[0] + np.cumsum(steps, axis=0)
    return fractional @ cells_A
