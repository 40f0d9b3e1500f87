"""Trajectories: the noun, its readers and its writer.

May import `arrays`, `bounds`, `checks`, `errors`, `files`, `findings`, `numerics`,
`trajectory/h5md`, `trajectory/joining`, `trajectory/lammps`, `trajectory/text`.
"""

from mlmd.trajectory.trajectory import Trajectory

__all__ = ["Trajectory"]
