"""Symmetric matrices as six numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

ROWS, COLUMNS = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]


def to_voigt(matrix: FloatArray) -> FloatArray:
    """Return the upper half of a matrix (3, 3, ...) in Voigt order xx yy zz yz xz xy, (6, ...)."""
    six: FloatArray = matrix[ROWS, COLUMNS]
    return six
