"""Surrogate against reference point by point: energies, forces, stresses on the same frames.

May import `arrays`, `calculators`, `comparison/systems`, `errors`, `trajectory`.
"""
