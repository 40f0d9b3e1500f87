"""What happened in a run that a diffusivity alone would hide."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.checks import check_trajectory
from mlmd.analysis.events.coarse import coarse_path
from mlmd.analysis.events.framework import FrameworkMotion, framework_motion
from mlmd.analysis.events.mobility import MobilityChange, mobility_change
from mlmd.analysis.events.stationarity import Stationarity, stationarity
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.plain import plain_fields

if TYPE_CHECKING:
    from mlmd.trajectory.trajectory import Trajectory

logger = logging.getLogger(__name__)

_FEWEST_FRAMES = 10
_NOTABLE = 5.0  # standard errors: the detector picks the cut that looks worst, of five series
_SHORTEST = 0.01  # of the run: what is left out of less changes no average of it
_RECORDED = {
    "temperature": ("temperatures_K", "K"),
    "pressure": ("pressures_GPa", "GPa"),
    "energy": ("energies_eV", "eV"),
}


@dataclass(frozen=True, eq=False)
class RunEvents:
    """What happened in a run. Nothing of it has been applied to any result.

    Attributes
    ----------
    framework : FrameworkMotion or None
        None where every atom is mobile.
    mobility : mapping of str to MobilityChange
        By mobile species.
    stationarity : mapping of str to Stationarity
        Of temperature, pressure and energy where they were recorded, and of the MSD slope of
        each mobile species.
    duration_ps : float
        Length of the run.
    not_recorded : tuple of str
        Quantities that the trajectory does not have.
    source : str
        Where it came from.
    """

    framework: FrameworkMotion | None
    mobility: Mapping[str, MobilityChange]
    stationarity: Mapping[str, Stationarity]
    duration_ps: float
    not_recorded: tuple[str, ...]
    source: str

    @property
    def discard_ps(self) -> float:
        """Equilibration to discard: the longest that a quantity asks for."""
        return max((series.discard_ps for series in self.stationarity.values()), default=0.0)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What speaks against one number for the whole run; empty where nothing does.

        Equilibration is among it where it is more than a hundredth of the run and differs from the
        rest by five standard errors.
        """
        found = []
        if self.framework is not None and self.framework.is_found:
            left = {"n_atoms_that_left": len(self.framework.left)}
            found.append(Finding("framework_moves", "doubt", self.framework.reason, left))
        for change in self.mobility.values():
            if change.is_found:
                numbers = {"change_ps": change.change_ps, "factor": change.factor}
                found.append(Finding("mobility_changes", "doubt", change.reason, numbers))
        for series in self.stationarity.values():
            if series.is_stationary is False:
                numbers = {"p_value": series.p_value}
                found.append(Finding("drift", "doubt", series.reason, numbers))
        for series in self.stationarity.values():
            is_long = series.discard_ps > _SHORTEST * self.duration_ps
            if is_long and series.discard_sigmas >= _NOTABLE:
                text = (
                    f"the first {series.discard_ps:.3g} ps of {series.name} look like equilibration"
                    + ("" if series.is_settled else ", and it has not settled")
                )
                numbers = {"discard_ps": series.discard_ps}
                found.append(Finding("equilibration", "doubt", text, numbers))
        return tuple(found)

    @property
    def not_judged(self) -> tuple[str, ...]:
        """What could not be judged, in words."""
        open_ = [c.reason for c in self.mobility.values() if c.p_value is None]
        open_ += [s.reason for s in self.stationarity.values() if s.is_stationary is None]
        open_ += [f"{name}: not recorded" for name in self.not_recorded]
        return tuple(open_)

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain types for JSON; what is not known is None."""
        return {
            "findings": [finding.message for finding in self.findings],
            "not_judged": list(self.not_judged),
            "discard_ps": self.discard_ps,
            **plain_fields(self, ("not_recorded", "source")),
        }


def what_happened(trajectory: Trajectory, mobile: str | Sequence[str]) -> RunEvents:
    """Look for events that make one diffusivity for the whole run wrong.

    Framework atoms that leave their sites, a change of mobility midway, drifts of what was
    recorded and of the MSD slope, and equilibration at the start. What is found is returned
    and logged; nothing is cut off.

    Parameters
    ----------
    trajectory
        Unwrapped positions at even intervals, from the start of the run.
    mobile
        Species that may diffuse, one or several; all others are framework.

    Raises
    ------
    InputError
        If frames are not evenly spaced, fewer than 10, or not finite, or a species is absent.
    """
    check_trajectory(trajectory)
    species = (mobile,) if isinstance(mobile, str) else tuple(dict.fromkeys(mobile))
    if not species:
        raise InputError("no mobile species was given; expected one or several, such as Li")
    moving = np.concatenate([trajectory.indices(symbol) for symbol in species])
    if len(trajectory) < _FEWEST_FRAMES:
        raise InputError(
            f"{trajectory.source} has {len(trajectory)} frame(s); expected at least "
            f"{_FEWEST_FRAMES} to see what happened"
        )
    framework = np.setdiff1d(np.arange(trajectory.n_atoms), moving)
    path = coarse_path(trajectory, framework if len(framework) else moving)
    mobility = {symbol: mobility_change(trajectory, path, symbol) for symbol in species}
    time_ps = (np.asarray(trajectory.time_fs, dtype=float) - trajectory.time_fs[0]) / 1000.0
    series, absent = {}, []
    for name, (attribute, unit) in _RECORDED.items():
        values = getattr(trajectory, attribute)
        if values is None:
            absent.append(name)
        else:
            series[name] = stationarity(name, unit, np.asarray(values, dtype=float), time_ps)
    for symbol, change in mobility.items():
        name = f"MSD slope of {symbol}"
        series[name] = stationarity(name, "A^2/ps", change.msd_slope_A2_ps, change.time_ps)
    events = RunEvents(
        framework=framework_motion(trajectory, path, framework) if len(framework) else None,
        mobility=mobility,
        stationarity=series,
        duration_ps=trajectory.duration_ps,
        not_recorded=tuple(absent),
        source=trajectory.source,
    )
    for finding in events.findings:
        logger.info("%s: %s", trajectory.source, finding.message)
    return events
