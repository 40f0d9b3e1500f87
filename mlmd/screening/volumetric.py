"""Landscapes as volumetric files, for VESTA and its like: CUBE, and CHGCAR as VASP writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import choice
from mlmd.errors import InputError
from mlmd.files import write_output
from mlmd.screening.landscape.free_volumes import eight_cells
from mlmd.screening.landscape.percolation import percolation_box

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray
    from mlmd.screening.scan.landscapes import Landscape
    from mlmd.screening.scan.scan import Scan

QUANTITIES = ("energy", "level")
HIGHEST_EV = 10.0
"""What is higher, closed or not known has this value: the formats have no other."""


def write_volume(
    path: str | Path,
    scan: Scan,
    landscape: Landscape,
    quantity: str = "energy",
    force: bool = False,
) -> None:
    """Write the landscape of an ion, in eV above its site.

    The crystal is moved so that the ion's site is the origin, where the grid begins: both formats
    then say the same.

    Parameters
    ----------
    path
        ``.cube``, or ``.vasp`` (CHGCAR) of which viewers divide the values by the volume again.
    scan
        Of a crystal.
    landscape
        One of ``scan.landscapes()``.
    quantity
        `energy` in the cell, or the `level` in the eight cells around the site, at which the ion
        gets there.
    force
        Replace a file that is in the way.

    Raises
    ------
    InputError
        If the name has another ending, or it cannot be written.
    """
    path = Path(path)
    choice("quantity", quantity, QUANTITIES)
    if path.suffix not in (".cube", ".vasp"):
        raise InputError(f"{path} names no format; expected a name with .cube or .vasp")
    atoms = scan.crystal.atoms.copy()
    atoms.positions -= atoms.positions[landscape.ion]
    if quantity == "energy":
        values = landscape.energies - landscape.energies[landscape.start]
    else:
        box = percolation_box(landscape.energies, landscape.start)
        atoms, values = atoms.repeat(2), eight_cells(box, landscape.start)
    atoms.wrap(eps=1e-9)
    values = np.minimum(values, HIGHEST_EV)
    with write_output(path, "volume", force) as place:
        if path.suffix == ".cube":
            _write_cube(place, atoms, values, quantity)
        else:
            _write_chgcar(place, atoms, values)


def _write_cube(place: Path, atoms: Atoms, values: FloatArray, quantity: str) -> None:
    from ase.io.cube import write_cube

    with place.open("w", encoding="utf-8") as file:
        write_cube(file, atoms, values, comment=f"mlmd: {quantity} of an ion above its site, in eV")


def _write_chgcar(place: Path, atoms: Atoms, values: FloatArray) -> None:
    from ase.calculators.vasp import VaspChargeDensity

    density = VaspChargeDensity(filename=None)
    order = np.argsort(atoms.numbers, kind="stable")
    density.atoms, density.chg = [atoms[order]], [values]
    density.write(str(place), format="chgcar")
