"""Structures to start from: random packings of a composition, and files, both checked."""

from mlmd.structure.checks import check_structure
from mlmd.structure.composition import Composition
from mlmd.structure.packing import pack
from mlmd.structure.reading import read_structure

__all__ = ["Composition", "check_structure", "pack", "read_structure"]
