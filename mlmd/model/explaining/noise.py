"""How noisy the labels are, which is as good as any model of them can look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.descriptors.thermal import BOLTZMANN_EV_K
from mlmd.model.data.folds import reduced_formula

if TYPE_CHECKING:
    from mlmd.model.data.table import TrainingTable


def arrhenius_scatter(table: TrainingTable) -> float | None:
    """Return the scatter of ln D about a straight line in 1/T of each formula's own.

    Root of the squares' sum over the degrees of freedom, pooled over formulas with at least
    three temperatures; None where there is no such formula. Where ln D is truly bent in 1/T, by
    a glass transition say, that bend counts as noise.
    """
    units = np.array([reduced_formula(formula) for formula in table.formulas])
    x, y = 1 / (BOLTZMANN_EV_K * table.temperature_K), np.log(table.D_cm2_s)
    squares, freedom = 0.0, 0
    for unit in np.unique(units):
        own = units == unit
        if len(np.unique(x[own])) >= 3:
            line = np.polyfit(x[own], y[own], 1)
            squares += float(np.sum((y[own] - np.polyval(line, x[own])) ** 2))
            freedom += int(own.sum()) - 2
    return float(np.sqrt(squares / freedom)) if freedom else None
