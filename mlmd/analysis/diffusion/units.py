"""Units and constants of the analysis."""

A2_PS_IN_CM2_S = 1e-4
"""1 angstrom^2/ps in cm^2/s: (1e-8 cm)^2 / 1e-12 s."""

BOLTZMANN_EV_K = 8.617333262e-5
"""Boltzmann constant in eV/K (exact in the SI of 2019)."""

BOLTZMANN_J_K = 1.380649e-23
"""The same in J/K, exact."""

JUMP_LENGTH_A = 3.0
"""Length of a jump, by which He et al. count jumps (doi:10.1038/s41524-018-0074-y)."""
