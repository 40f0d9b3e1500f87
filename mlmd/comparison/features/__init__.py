"""Surrogate beside reference: the features of structures, and how well they agree over systems.

May import `arrays`, `descriptors`, `errors`, `numerics`, `trajectory`.
"""
