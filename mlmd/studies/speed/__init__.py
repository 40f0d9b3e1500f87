"""How fast a calculator is on this machine.

May import `calculators`, `checks`, `dynamics`, `errors`, `plain`, `run`, `stages`, `temporary`.
"""

from mlmd.studies.speed.bench import CalculatorBench, WalkersBench, bench_calculator

__all__ = ["CalculatorBench", "WalkersBench", "bench_calculator"]
