"""Calculators that run in another Python interpreter, as a process of their own.

May import `arrays`, `calculators/evaluation`, `calculators/plain_spec`, `calculators/registry`,
`calculators/spec`, `calculators/weights`, `errors`, `files`, `numerics`, `processes`,
`structure`, `temporary`.
"""

from mlmd.calculators.isolation.isolated import IsolatedCalculator

__all__ = ["IsolatedCalculator"]
