"""How R^2 is distributed over compositions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from mlmd.errors import InputError

LEVELS = (0.85, 0.9, 0.95)
"""Levels at which H. Zheng et al., npj Comput. Mater. 10, 295 (2024), count."""


@dataclass(frozen=True)
class R2Distribution:
    """Pooled R^2 of many systems, sorted, and the shares above levels."""

    values: tuple[float, ...]
    fraction_above: Mapping[float, float]

    @classmethod
    def of(cls, values: Sequence[float], levels: Sequence[float] = LEVELS) -> R2Distribution:
        """Sort values and count.

        Raises
        ------
        InputError
            If there is no value.
        """
        if not values:
            raise InputError("no R2 was given; expected at least one")
        n = len(values)
        above = {float(level): sum(v > level for v in values) / n for level in levels}
        return cls(tuple(sorted(values)), above)

    @property
    def median(self) -> float:
        """The value in the middle."""
        return float(median(self.values))

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return {
            "n": len(self.values),
            "median": self.median,
            "fraction_above": {f"{level:g}": share for level, share in self.fraction_above.items()},
        }
