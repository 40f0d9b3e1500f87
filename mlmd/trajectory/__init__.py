"""Trajectories: the noun, its readers and its writer.

May import `arrays`, `bounds`, `checks`, `errors`, `files`, `findings`, `trajectory/h5md`,
`trajectory/joining`, `trajectory/text`.
"""

from mlmd.trajectory.trajectory import Trajectory

__all__ = ["Trajectory"]
