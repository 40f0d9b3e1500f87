"""Velocity autocorrelation and the vibrational density of states.

May import `analysis/checks`, `arrays`, `checks`, `errors`, `numerics`, `trajectory`.
"""
