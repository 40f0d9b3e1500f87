"""Velocity autocorrelation and the vibrational density of states.

May import `arrays`, `errors`, `trajectory`.
"""
