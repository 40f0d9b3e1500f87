"""Calculators that run in another Python interpreter, as a process of their own."""

from mlmd.calculators.isolation.isolated import IsolatedCalculator

__all__ = ["IsolatedCalculator"]
