"""Where two ways to define a feature are in use: ours, and that of the published table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlmd.checks import choice


@dataclass(frozen=True)
class Convention:
    """A consistent set of choices. Tables of different conventions are not to be mixed.

    Attributes
    ----------
    name : str
        What it is called in files and on the command line.
    anion : {"most_electronegative", "alphabetically_last"}
        Which of the elements that are not mobile is the anion of AFC, AASD, LASD and VPA.
    radii : {"covalent", "ionic_where_polar"}
        Spheres of PF, SPF and the straight-line path: covalent radii (Cordero et al. 2008)
        throughout, or ionic ones for atoms whose bonds have a mean difference of
        electronegativity above 2.
    n_minus_one : bool
        Whether LBI and SDLI divide by the number of bonds less one. It makes them depend on the
        size of the cell.
    """

    name: str
    anion: Literal["most_electronegative", "alphabetically_last"]
    radii: Literal["covalent", "ionic_where_polar"]
    n_minus_one: bool


CONVENTIONS = {
    "mlmd": Convention("mlmd", "most_electronegative", "covalent", n_minus_one=False),
    "zheng2024": Convention(
        "zheng2024", "alphabetically_last", "ionic_where_polar", n_minus_one=True
    ),
}
"""The anion of ``zheng2024`` agrees with all 792 rows of the published table, its radii with all
rows' PF and SPF (as a whole number of ionic atoms; which atoms cannot be seen in the table),
its ``n_minus_one`` with 121 of the 123 rows of binaries."""


def convention_of(name: str) -> Convention:
    """Return the convention of a name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    return CONVENTIONS[choice("convention", name, CONVENTIONS)]
