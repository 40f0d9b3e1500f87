"""Ranking ionic conductors without dynamics, by the energies of a mobile ion in a rigid framework.

May import nothing.
"""
