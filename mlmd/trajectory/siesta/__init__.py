"""Trajectories that SIESTA wrote."""
