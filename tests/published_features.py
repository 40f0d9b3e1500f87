"""The published table of Zheng et al. 2024, where the shared data are there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from mlmd.structure.composition import Composition

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "zheng2024"
needs_published = pytest.mark.skipif(
    not (FOLDER / "feature_target.dat").exists(), reason="needs shared/data/zheng2024"
)


@cache
def published():
    """The 792 rows."""
    pandas = pytest.importorskip("pandas")
    return pandas.read_csv(FOLDER / "feature_target.dat", sep=r"\s+", index_col=0)


@cache
def reduced(formula: str) -> dict[str, int]:
    """Atoms of a formula unit by symbol."""
    return Composition.parse(formula).reduced


def cell_of(row) -> dict[str, int]:
    """Atoms of the simulated cell, whose size the table does not say.

    The sums behind the mean neighbour counts are whole numbers for it only; of several such sizes
    the one nearest to the paper's 100 atoms is taken.
    """
    unit = reduced(row.formula)
    n_unit = sum(unit.values())

    def is_whole(units: int) -> bool:
        n, rest = units * unit["Li"], units * (n_unit - unit["Li"])
        sums = (row.LNC * n, row.LLB * n, row.SNC * rest)
        return all(abs(value - round(value)) < 2e-5 * n for value in sums)

    sizes = [u for u in range(1, 221) if 20 <= u * n_unit <= 220 and is_whole(u)]
    units = min(sizes, key=lambda u: abs(u * n_unit - 100))
    return {symbol: units * n for symbol, n in unit.items()}
