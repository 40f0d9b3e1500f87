"""Symmetric matrices as six numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


ROWS, COLUMNS = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]


def to_voigt(matrix: FloatArray) -> FloatArray:
    """Return the upper half of a matrix (3, 3, ...) in Voigt order xx yy zz yz xz xy, (6, ...)."""
    six: FloatArray = matrix[ROWS, COLUMNS]
    return six


def symmetric_voigt(matrix: FloatArray) -> FloatArray:
    """Return the symmetric part of a matrix (3, 3), which may be symmetric to rounding only."""
    return to_voigt((matrix + matrix.T) / 2.0)
