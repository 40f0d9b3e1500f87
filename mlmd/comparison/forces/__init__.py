"""Surrogate against reference point by point: energies, forces, stresses on the same frames.

May import `arrays`, `comparison/systems`, `errors`, `trajectory`.
"""
