"""Surrogate beside reference: the features of structures, and how well they agree over systems.

May import `arrays`, `comparison/r_squared`, `descriptors`, `errors`, `numerics`, `trajectory`.
"""
