"""Structures to start from: random packings of a composition, files, and crystals made larger.

May import `arrays`, `bounds`, `checks`, `errors`, `periodic`, `plain`, `temporary`, `trajectory`.
"""

from mlmd.structure.checks import check_structure
from mlmd.structure.composition import Composition
from mlmd.structure.packing import pack
from mlmd.structure.reading import read_structure
from mlmd.structure.supercell import supercell
from mlmd.structure.vacancies import with_vacancies

__all__ = [
    "Composition",
    "check_structure",
    "pack",
    "read_structure",
    "supercell",
    "with_vacancies",
]
