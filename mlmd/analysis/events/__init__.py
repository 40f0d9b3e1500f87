"""What happened in a run: melting, a change of mobility, drifts, equilibration.

May import `analysis/checks`, `analysis/diffusion`, `arrays`, `checks`, `errors`, `findings`,
`numerics`, `periodic`, `plain`, `trajectory`.
"""

from mlmd.analysis.events.change_point import ChangePoint, find_change
from mlmd.analysis.events.framework import FrameworkMotion
from mlmd.analysis.events.mobility import MobilityChange
from mlmd.analysis.events.report import RunEvents, what_happened
from mlmd.analysis.events.stationarity import Stationarity, stationarity

__all__ = [
    "ChangePoint",
    "FrameworkMotion",
    "MobilityChange",
    "RunEvents",
    "Stationarity",
    "find_change",
    "stationarity",
    "what_happened",
]
