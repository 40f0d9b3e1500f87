"""Trajectories that VASP wrote."""
