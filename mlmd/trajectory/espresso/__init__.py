"""Trajectories that Quantum ESPRESSO wrote."""
