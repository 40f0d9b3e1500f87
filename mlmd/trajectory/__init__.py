"""Trajectories: the noun, its readers and its writer."""

from mlmd.trajectory.trajectory import Trajectory

__all__ = ["Trajectory"]
