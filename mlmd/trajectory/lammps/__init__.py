"""Trajectories that LAMMPS wrote."""
