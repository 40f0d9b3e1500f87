"""Trajectories that CP2K wrote."""
