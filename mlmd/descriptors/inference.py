"""The elemental values behind a published table of averages, where only the table is public."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.descriptors.composition import ElementalAverages
from mlmd.descriptors.elements import ElementTable, package_elements
from mlmd.errors import InputError
from mlmd.structure.formula import parse_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

_COLUMN_OF = {
    "bulk_modulus_GPa": "avg_B_with_Li",
    "shear_modulus_GPa": "avg_G_with_Li",
    "cohesive_energy_eV": "avg_Ecoh_with_Li",
    "atomic_radius_A": "atomic_radius_avg",
    "mass_u": "avg_m_with_Li",
    "electronegativity": "avg_X_with_Li",
}
_TOLERANCE = 1e-6


def elements_behind(
    formulas: Sequence[str], features: pd.DataFrame, base: ElementTable | None = None
) -> ElementTable:
    """Solve averages over formulas for the properties of their elements.

    A model trained on a table needs features from the same elemental values: those of
    Zheng et al. 2024 are computed by other means than ours, and one (shear modulus of Ti,
    1287 GPa) looks like a slip. With the returned table `featurize` gives columns that fit theirs.

    Parameters
    ----------
    formulas : sequence of str
        One per row.
    features : pandas.DataFrame
        With the columns ``avg_B_with_Li``, ``avg_G_with_Li``, ``avg_Ecoh_with_Li``,
        ``atomic_radius_avg``, ``avg_m_with_Li`` and ``avg_X_with_Li``.
    base : ElementTable, optional
        Keeps its values for elements that no formula has; the package's if not given.

    Raises
    ------
    InputError
        If a column is missing, or no elemental values give these averages: then the rows are
        of different conventions, or no averages.
    """
    missing = [column for column in _COLUMN_OF.values() if column not in features]
    if missing or len(formulas) != len(features):
        what = f"no column {', '.join(missing)}" if missing else f"{len(formulas)} formulas"
        raise InputError(f"table of {len(features)} rows has {what}; expected a table of features")
    # Only what the elements are counts here, so that any of them may pass for the mobile one.
    made_of = [
        ElementalAverages.of_formula(text, next(iter(parse_formula(text)))) for text in formulas
    ]
    numbers = np.unique(np.concatenate([one.numbers for one in made_of]))
    shares = np.zeros((len(made_of), len(numbers)))
    for row, one in zip(shares, made_of, strict=True):
        row[np.searchsorted(numbers, one.numbers)] = one.counts / one.counts.sum()
    columns = {n: c.copy() for n, c in (base or package_elements()).columns.items()}
    for name, column in _COLUMN_OF.items():
        averages = features[column].to_numpy(dtype=float)
        # What the rows leave open stays as near to the base as they allow.
        start = np.nan_to_num(columns[name][numbers])
        found = start + np.linalg.lstsq(shares, averages - shares @ start, rcond=None)[0]
        worst = int(np.argmax(np.abs(shares @ found - averages)))
        if not abs(float(shares[worst] @ found - averages[worst])) <= _TOLERANCE:
            raise InputError(
                f"column {column} is no average of elemental values: row {worst} "
                f"({formulas[worst]}) is {averages[worst]:g}, the rest want "
                f"{float(shares[worst] @ found):g}; leave out rows of other conventions"
            )
        columns[name][numbers] = found
    return ElementTable(columns)
