"""Undoing periodic wrapping as frames come in, and telling where that is not possible."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.checks import choice
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


LongSteps = Literal["refuse", "warn"]

logger = logging.getLogger(__name__)

# Past this fraction of the cell a step between frames could as well be its periodic image.
AMBIGUOUS_FRACTION = 0.4
# Wrapped positions fill one cell, but for rounding where they were written.
WIDEST_SPREAD = 1.0 + 2e-3


class Unwrapper:
    """Makes positions that cross cell borders without jumping, block after block.

    Each atom is taken to have moved by the minimum image of its step between frames, in
    fractional coordinates so that a changing cell does no harm. Where it is not known whether
    positions are wrapped, what comes first decides: a step of more than half a cell that stays
    within one cell (wrapped), or a spread over more than one cell (unwrapped); before either,
    both mean the same positions. The spread counts wherever the cell's origin is, since some
    programs wrap to [-1/2, 1/2).

    Parameters
    ----------
    source
        Name for messages.
    long_steps
        ``"refuse"`` or ``"warn"`` where an atom moves so far between two frames that its
        unwrapping is not certain.
    """

    def __init__(self, source: str, long_steps: LongSteps = "refuse") -> None:
        choice("long_steps", long_steps, get_args(LongSteps))
        self.source = source
        self.long_steps = long_steps
        self.n_frames = 0
        self._wrapped: bool | None = None
        self._last: FloatArray | None = None
        self._crossings: FloatArray = np.zeros(3)
        self._lowest: FloatArray = np.full(3, np.inf)
        self._highest: FloatArray = np.full(3, -np.inf)
        self._said: set[str] = set()

    def add(
        self,
        positions_A: FloatArray,
        cells_A: FloatArray,
        wrapped: bool | None,
        continues: bool = False,
        pbc: tuple[bool, bool, bool] = (True, True, True),
    ) -> FloatArray:
        """Return the next frames unwrapped; the array itself where nothing crosses.

        Parameters
        ----------
        positions_A : (frames, atoms, 3)
            Positions in angstrom.
        cells_A : (frames, 3, 3)
            Cell vectors as rows, in angstrom.
        wrapped
            Whether they are, as in :class:`mlmd.trajectory.frame_block.FrameBlock`.
        continues
            True for the first frames of a run that continues another: atoms may have been put
            back into the cell between the two, whatever the format.
        pbc
            Which cell vectors are periodic: along the others nothing crosses.

        Raises
        ------
        InputError
            If a step is too long and `long_steps` says to refuse it.
        """
        if not len(positions_A):
            return positions_A
        if (np.linalg.det(cells_A) == 0.0).any():
            if wrapped is False:
                return positions_A
            raise InputError(f"{self.source}: a cell without a volume; expected three vectors")
        fractional = positions_A @ np.linalg.inv(cells_A) * pbc
        before = fractional[:1] if self._last is None else self._last[None]
        steps = np.diff(fractional, axis=0, prepend=before)
        own_from = int(continues)
        if continues:
            self._wrapped = None
            self._lowest, self._highest = np.full(3, np.inf), np.full(3, -np.inf)
        decided = self._wrapped if wrapped is None else wrapped
        if decided is None:
            decided = self._wrapped = self._decide(fractional, steps, own_from)
        crossings = np.rint(steps)
        if decided is False:
            if wrapped is None:
                self._watch_jumps(steps[own_from:])
            crossings[own_from:] = 0.0
            steps = steps[:own_from]
        self._check(steps - crossings[: len(steps)])
        self._last = fractional[-1]
        self.n_frames += len(positions_A)
        if not crossings.any() and not self._crossings.any():
            return positions_A
        crossed = np.cumsum(crossings, axis=0) + self._crossings
        self._crossings = crossed[-1]
        return np.asarray(positions_A - crossed @ cells_A)

    def _decide(self, fractional: FloatArray, steps: FloatArray, own_from: int) -> bool | None:
        """Return whether positions are wrapped, or None where these frames do not show it."""
        highest = np.maximum.accumulate(np.maximum(fractional.max(axis=1), self._highest))
        lowest = np.minimum.accumulate(np.minimum(fractional.min(axis=1), self._lowest))
        self._highest, self._lowest = highest[-1], lowest[-1]
        wide = np.asarray((highest - lowest > WIDEST_SPREAD).any(axis=1))
        jumped = np.asarray((np.abs(steps) > 0.5).any(axis=(1, 2)))
        jumped[:own_from] = False
        if not (wide.any() or jumped.any()):
            return None
        first_wide = int(np.argmax(wide)) if wide.any() else len(wide)
        first_jump = int(np.argmax(jumped)) if jumped.any() else len(jumped)
        return first_jump < first_wide

    def _watch_jumps(self, steps: FloatArray) -> None:
        longest = float(np.abs(steps).max(initial=0.0))
        if longest > 0.5:
            self._warn_once(
                "jump",
                f"{self.source}: taken as unwrapped, since the atoms spread over more than one "
                f"cell, but one moves by {longest:.2f} of a cell vector between frames",
            )

    def _check(self, moved: FloatArray) -> None:
        """Refuse or tell of a step that may have been taken for its image."""
        fractions = np.abs(moved)
        if fractions.max(initial=0.0) <= AMBIGUOUS_FRACTION:
            return
        frame, atom, _ = np.unravel_index(int(np.argmax(fractions)), fractions.shape)
        message = (
            f"{self.source}: an atom moves by {fractions.max():.2f} of a cell vector between two "
            f"frames (atom {atom}, to frame {self.n_frames + int(frame)}, both counted from 0)"
        )
        if self.long_steps == "refuse":
            raise InputError(
                f"{message}, too far to be unwrapped with certainty (expected at most "
                f"{AMBIGUOUS_FRACTION}); write frames closer in time, or accept it with "
                "--long-steps warn (long_steps='warn')"
            )
        self._warn_once("step", f"{message}; unwrapping needs frames closer in time to be certain")

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._said:
            logger.warning("%s", message)
            self._said.add(kind)
