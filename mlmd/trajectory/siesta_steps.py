"""Steps, times and energies of SIESTA's frames, from ``.MDE`` and ``.fdf`` beside them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.trajectory.siesta_siblings import StepEnergy, fdf_timestep_fs, read_mde, sibling
from mlmd.trajectory.text_source import TextSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.floating[Any]]

logger = logging.getLogger(__name__)

SAME_A = 1e-6


def energies_beside(source: TextSource) -> list[StepEnergy]:
    """Return the rows of ``.MDE``, or nothing if there is none."""
    path = sibling(source, "MDE")
    if path is None:
        return []
    with TextSource(path) as beside:
        return read_mde(beside)


def timestep_beside_fs(source: TextSource) -> float | None:
    """Return the time step of ``.fdf``, or None."""
    path = sibling(source, "fdf")
    return fdf_timestep_fs(path) if path else None


class ContinuedSteps:
    """Counts on where SIESTA begins to count anew.

    A continued run goes on from ``.XV`` and appends to its files, but counts its steps from one
    again unless it is told otherwise: what repeats a number is no duplicate. Of a step whose
    ``.XV`` was lost the geometry itself is repeated.

    Parameters
    ----------
    source
        For messages.
    """

    def __init__(self, source: TextSource) -> None:
        self._source = source
        self._offset = 0
        self._last: int | None = None
        self._first_A: FloatArray | None = None
        self._last_A: FloatArray | None = None

    def count(self, step: int, positions_A: FloatArray) -> int:
        """Return the number of a frame since the beginning.

        Raises
        ------
        InputError
            If a frame begins the run of the first one anew.
        """
        if self._last is None or self._first_A is None or self._last_A is None:
            self._first_A = positions_A
        elif step + self._offset <= self._last:
            repeats = np.abs(positions_A - self._last_A).max() < SAME_A
            if not repeats and np.abs(positions_A - self._first_A).max() < SAME_A:
                raise self._source.error(
                    f"step {step} that begins the run anew", "one run: take the others out"
                )
            self._offset = self._last - step + (0 if repeats else 1)
            logger.info("%s: step %d continues after %d", self._source.path, step, self._last)
        self._last, self._last_A = step + self._offset, positions_A
        return self._last
