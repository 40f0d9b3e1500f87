"""A change of mobility midway: one diffusivity for the whole run would be none of its parts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.diffusion.diffusivity import Diffusivity, diffusivity
from mlmd.analysis.diffusion.units import JUMP_LENGTH_A
from mlmd.analysis.events.change_point import find_change
from mlmd.analysis.events.coarse import FEWEST_WINDOWS
from mlmd.analysis.events.stationarity import SIGNIFICANCE
from mlmd.errors import InputError
from mlmd.plain import plain_fields, without_nan

if TYPE_CHECKING:
    from mlmd.analysis.events.coarse import CoarsePath
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.trajectory import Trajectory


JUMPS = 8.0
"""Jumps of 3 A that at least make the difference: two are no mobility that could change."""


@dataclass(frozen=True, eq=False)
class MobilityChange:
    """Mobility of one species over time, and whether it changes.

    Attributes
    ----------
    species : str
        Chemical symbol.
    time_ps : (n,)
        From the first frame.
    msd_slope_A2_ps : (n,)
        Squared displacement between the mean positions of adjacent windows, divided by their
        distance in time, times 3/2 for what the averaging takes away: 6 D for a random walk.
    p_value : float or None
        Probability of such a difference without a change; None where the run is too short.
    change_ps : float or None
        Most likely time of the change, where ``is_found``.
    factor : float or None
        Mobility after over before; infinite where nothing moved before.
    before, after : Diffusivity or None
        Of the two parts, where ``is_found`` and they are long enough.
    """

    species: str
    time_ps: FloatArray
    msd_slope_A2_ps: FloatArray
    p_value: float | None
    change_ps: float | None
    factor: float | None
    before: Diffusivity | None
    after: Diffusivity | None

    @property
    def is_found(self) -> bool:
        """Whether the mobility changes."""
        return self.change_ps is not None

    @property
    def reason(self) -> str:
        """What was found, in words."""
        if self.p_value is None:
            return f"{self.species}: too few frames to look for a change of mobility"
        if not self.is_found:
            return f"{self.species}: no change of mobility (p = {self.p_value:.2g})"
        text = f"{self.species}: mobility changes by a factor of {self.factor:.2g} at "
        text += f"{self.change_ps:.3g} ps (p <= {self.p_value:.2g})"
        if self.before is not None and self.after is not None:
            text += f", D from {self.before.D_raw_cm2_s:.2g} to {self.after.D_raw_cm2_s:.2g} cm^2/s"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON; what is not known is None."""
        return {
            "is_found": self.is_found,
            "reason": self.reason,
            "significance": SIGNIFICANCE,
            **plain_fields(self, ("species", "time_ps", "msd_slope_A2_ps")),
            "factor": without_nan(self.factor),
        }


def mobility_change(trajectory: Trajectory, path: CoarsePath, species: str) -> MobilityChange:
    """Test the squared displacements of one species for a change midway.

    The run is cut into about a hundred windows; the displacements between their mean positions,
    squared and averaged over the atoms, are one series, which is tested by
    :func:`mlmd.analysis.events.change_point.find_change` at a significance of 0.002; the difference
    has to be worth eight jumps of 3 A. It is made for an abrupt change (lithium in LiI at 667 K:
    nothing for 35 ps, then over 1 S/cm [1]_); a slow trend shows in the stationarity of the MSD
    slope.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals.
    path
        Of the same trajectory.
    species
        Chemical symbol of the mobile atoms.

    References
    ----------
    .. [1] A. Maevskiy et al., arXiv:2411.06804 (2024), section III.
    """
    atoms = trajectory.indices(species)
    moved = np.diff(path.positions_A[:, atoms], axis=0)
    slopes = 1.5 * np.einsum("wax,wax->w", moved, moved) / (len(atoms) * path.window_ps)
    time_ps = 0.5 * (path.time_ps[1:] + path.time_ps[:-1])
    if len(slopes) < FEWEST_WINDOWS - 1:
        return MobilityChange(species, time_ps, slopes, None, None, None, None, None)
    found = find_change(slopes)
    before, after = found.mean_before, found.mean_after
    faster = found.index if before > after else len(slopes) - found.index  # in windows
    grown_A2 = abs(after - before) * faster * path.window_ps
    too_few = len(atoms) * grown_A2 < JUMPS * JUMP_LENGTH_A**2
    if too_few or found.p_value > SIGNIFICANCE:
        return MobilityChange(species, time_ps, slopes, found.p_value, None, None, None, None)
    frame = int(path.frames[found.index])
    return MobilityChange(
        species=species,
        time_ps=time_ps,
        msd_slope_A2_ps=slopes,
        p_value=found.p_value,
        change_ps=float(0.5 * (time_ps[found.index - 1] + time_ps[found.index])),
        factor=after / before if before > 0 else float("inf"),
        before=_diffusivity(trajectory.part(stop=frame + 1), species),
        after=_diffusivity(trajectory.part(frame), species),
    )


def _diffusivity(part: Trajectory, species: str) -> Diffusivity | None:
    """Diffusivity in a part of the run; None where it is too short."""
    try:
        return diffusivity(replace(part, source=f"a part of {part.source}"), species)
    except InputError:
        return None
