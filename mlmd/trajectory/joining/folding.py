"""Whether atoms were put back into the cell: what the positions of all frames show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray, FloatArray, IntArray

# Past this fraction of the cell a step between frames could as well be its periodic image.
AMBIGUOUS_FRACTION = 0.4
# Folded positions fill one cell, but for rounding where they were written.
WIDEST_SPREAD = 1.0 + 2e-3
# A box whose origin moves with its barostat shifts what fills it by some of its length.
WIDEST_MOVING = 1.1
# Groups of atoms that are kept whole stick out of the cell, but not by another cell.
WIDEST_GROUPS = 2.0
# A jump this near to a whole number of cell vectors is what folding makes of a short step.
NEAR_WHOLE = 0.25
# So few steps of atoms do not show how long others may be: what the format says then counts.
FEW_STEPS = 300


@dataclass(frozen=True)
class Verdict:
    """What the positions along one cell vector are.

    Attributes
    ----------
    folded : bool
        Whether atoms that leave the cell come back at the other side.
    code : str or None
        Code of a finding, where there is something to know.
    message : str
        That, in words.
    doubt : bool
        Whether it might as well be otherwise.
    """

    folded: bool
    code: str | None = None
    message: str = ""
    doubt: bool = False


class Evidence:
    """What is seen, along each cell vector, of the frames of one run.

    In fractions of the cell vector. A step of more than half a cell vector is a jump: its nearest
    image is another step. Folding makes short steps to jumps by whole cell vectors, so that their
    images are as short as other steps; long steps of unfolded atoms leave no such gap, and take
    the atoms out of the cell.
    """

    def __init__(self, n_atoms: int) -> None:
        self.lowest: FloatArray = np.full((n_atoms, 3), np.inf)
        self.highest: FloatArray = np.full((n_atoms, 3), -np.inf)
        self.longest: FloatArray = np.zeros(3)
        self.longest_image: FloatArray = np.zeros(3)
        self.longest_short: FloatArray = np.zeros(3)
        self.at: IntArray = np.zeros((3, 2), dtype=int)
        self.n_whole: IntArray = np.zeros((n_atoms, 3), dtype=int)
        self.n_between: IntArray = np.zeros((n_atoms, 3), dtype=int)
        self.changed_basis = False
        self.n_steps = 0

    def add_positions(self, fractional: FloatArray) -> None:
        """Take note of the positions (frames, atoms, 3)."""
        self.lowest = np.minimum(self.lowest, fractional.min(axis=0))
        self.highest = np.maximum(self.highest, fractional.max(axis=0))

    def add_steps(self, steps: FloatArray, crossings: FloatArray, first_frame: int) -> None:
        """Take note of steps (frames, atoms, 3) into frames that are counted from the first."""
        self.n_steps += steps.shape[0] * steps.shape[1]
        images = np.abs(steps - crossings) if crossings.any() else np.abs(steps)
        # First over the frames: numpy is slow along short last axes.
        longest = images.max(axis=0, initial=0.0).max(axis=0, initial=0.0)
        for axis in np.flatnonzero(longest > np.maximum(self.longest_image, AMBIGUOUS_FRACTION)):
            frame, atom = np.unravel_index(int(images[..., axis].argmax()), images.shape[:2])
            self.at[axis] = first_frame + int(frame), atom
        self.longest_image = np.maximum(self.longest_image, longest)
        if not crossings.any():
            self.longest = np.maximum(self.longest, longest)
            self.longest_short = np.maximum(self.longest_short, longest)
            return
        jumps = crossings != 0.0
        whole = jumps & (images < NEAR_WHOLE)
        n_whole = whole.sum(axis=0)
        self.n_whole = self.n_whole + n_whole
        self.n_between = self.n_between + jumps.sum(axis=0) - n_whole
        self.longest = np.maximum(self.longest, np.abs(steps).max(axis=0).max(axis=0))
        short = np.where(jumps, 0.0, images).max(axis=0).max(axis=0)
        self.longest_short = np.maximum(self.longest_short, short)

    def verdicts(self, periodic: BoolArray, said: bool | None) -> tuple[Verdict, Verdict, Verdict]:
        """Return what the positions are along each cell vector.

        Parameters
        ----------
        periodic
            Which cell vectors the file calls periodic.
        said
            What the format says, as `FrameBlock.wrapped`; the positions overrule it.
        """
        a, b, c = (self._verdict(axis, bool(periodic[axis]), said) for axis in range(3))
        return a, b, c

    def _verdict(self, axis: int, periodic: bool, said: bool | None) -> Verdict:
        whole, between = int(self.n_whole[:, axis].sum()), int(self.n_between[:, axis].sum())
        image, spread = float(self.longest_image[axis]), self.spread(axis)
        # A step that folding made a jump is, as an image, no longer than those that are none.
        like_others = between == 0 or image <= 1.5 * self.longest_short[axis]
        few_between = between == 0 or 2 * between <= whole + 2
        # Unfolded atoms that make steps of more than half a cell make many of a quarter, too.
        no_long_ones = self.longest_short[axis] < NEAR_WHOLE
        alike = no_long_ones or (like_others and few_between)
        clean = whole > 0 and image <= AMBIGUOUS_FRACTION and alike
        # Of motion whose longer steps are rarer no more than these are near a whole number.
        like_unfolded = whole <= 2 * between + 2.0 * between**0.5
        if not periodic:
            return self._along_open(axis, clean, like_unfolded)
        if spread <= WIDEST_SPREAD:
            too_long = image > AMBIGUOUS_FRACTION
            if said is False and whole == 0 and not (too_long and between):
                return Verdict(False)
            # Free atoms of long steps would have left the cell: the format's word is doubted too.
            few = self.n_steps < FEW_STEPS
            known = too_long or like_others or (few and said is True)
            return Verdict(True, doubt=too_long) if known else self._neither(axis, True)
        if clean or whole + between == 0:
            return self._folded_in_part(axis) if clean else Verdict(False)
        # Folding of steps that are long as well leaves as many near a whole number as between.
        certain = spread >= WIDEST_GROUPS or 4 * whole <= between
        if like_unfolded and certain and not self._some_stay_inside(axis):
            return self._unfolded(axis)
        return self._neither(axis, not like_unfolded)

    def spread(self, axis: int) -> float:
        """Distance between the outermost positions along a cell vector, in units of it."""
        return float(self.highest[:, axis].max() - self.lowest[:, axis].min())

    def _some_stay_inside(self, axis: int) -> bool:
        """Whether there are atoms that jump by whole cell vectors and never leave one cell."""
        inside = self.highest[:, axis] - self.lowest[:, axis] <= WIDEST_SPREAD
        whole, between = (n[inside, axis].sum() for n in (self.n_whole, self.n_between))
        # Of free atoms that move so little in all, hardly one makes so long a step.
        return bool(8 * whole > between)

    def _along_open(self, axis: int, clean: bool, like_unfolded: bool) -> Verdict:
        if not clean:
            return Verdict(False) if like_unfolded else self._neither(axis, False)
        text = (
            f"atoms jump by whole cell vectors {'abc'[axis]} between frames, which the file calls "
            "not periodic: taken as folded into a periodic cell"
        )
        return Verdict(True, "folded_along_open", text)

    def _folded_in_part(self, axis: int) -> Verdict:
        if self.spread(axis) <= WIDEST_MOVING:
            return Verdict(True)
        text = (
            f"atoms spread over {self.spread(axis):.2f} of cell vector {'abc'[axis]}, and yet jump "
            "by whole ones between frames: taken as folded in part (groups kept whole, or images "
            "lost)"
        )
        return Verdict(True, "folded_in_part", text)

    def _unfolded(self, axis: int) -> Verdict:
        text = (
            f"atoms move by up to {self.longest[axis]:.2f} of cell vector {'abc'[axis]} between "
            f"frames and spread over {self.spread(axis):.2f} of it: taken as not folded"
        )
        return Verdict(False, "unfolded", text)

    def _neither(self, axis: int, folded: bool) -> Verdict:
        text = (
            f"atoms move by up to {self.longest[axis]:.2f} of cell vector {'abc'[axis]} between "
            f"frames and spread over {self.spread(axis):.2f} of it, as neither folded atoms of "
            "short steps do nor unfolded ones"
        )
        return Verdict(folded, None, text, True)
