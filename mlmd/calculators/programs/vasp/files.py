"""VASP's folder: POSCAR and KPOINTS, the order of atoms, and which wavefunctions can be reused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.calculators.programs.vasp.settings import incar_text

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.calculators.programs.base import Step

OUTPUT = ("OUTCAR", "vasprun.xml", "OSZICAR", "CONTCAR", "XDATCAR", "STOPCAR", "vaspout.h5")
WAVEFUNCTIONS = "wavefunctions.json"


@dataclass(frozen=True)
class Layout:
    """A structure as VASP has it: atoms of one element together, coordinates in the cell.

    Attributes
    ----------
    species, counts
        Elements in the order of their first atom, and how many of each.
    order
        Index of the caller's atom that stands at each place of VASP's list, (atoms,).
    cell_A
        Lattice vectors as rows, right-handed, angstrom.
    fractional
        Coordinates in VASP's order, (atoms, 3), not wrapped.
    magnetic_moments
        Initial ones in VASP's order, Bohr magnetons.
    grid
        Divisions of the k-points.
    """

    species: tuple[str, ...]
    counts: tuple[int, ...]
    order: IntArray
    cell_A: FloatArray
    fractional: FloatArray
    magnetic_moments: FloatArray
    grid: tuple[int, int, int]

    @classmethod
    def of(cls, atoms: Atoms, grid: tuple[int, int, int]) -> Layout:
        """Sort the atoms, which are periodic in three directions."""
        symbols = atoms.get_chemical_symbols()
        species = tuple(dict.fromkeys(symbols))
        order = np.argsort([species.index(symbol) for symbol in symbols], kind="stable")
        # VASP stops at a left-handed cell; the same lattice has the opposite vectors.
        cell = atoms.cell.array * np.sign(np.linalg.det(atoms.cell.array))
        return cls(
            species=species,
            counts=tuple(symbols.count(symbol) for symbol in species),
            order=order,
            cell_A=cell,
            fractional=np.linalg.solve(cell.T, atoms.positions[order].T).T,
            magnetic_moments=atoms.get_initial_magnetic_moments()[order],
            grid=grid,
        )

    def continues(self, other: Layout) -> bool:
        """Tell whether only positions differ from `other`, so that one process can go on."""
        return self.basis() == other.basis() and bool(
            (self.order == other.order).all()
            and (self.cell_A == other.cell_A).all()
            and (self.magnetic_moments == other.magnetic_moments).all()
        )

    def in_callers_order(self, step: Step) -> Step:
        """Return a step of VASP's order of atoms in that of the caller's."""
        back, positions = np.argsort(self.order), step.positions_A
        positions = None if positions is None else positions[back]
        return replace(step, forces_eV_A=step.forces_eV_A[back], positions_A=positions)

    def basis(self) -> dict[str, Any]:
        """Return what wavefunctions depend on in kind: species, counts, k-points."""
        return {
            "species": list(self.species),
            "counts": list(self.counts),
            "kpoints": list(self.grid),
        }

    def coordinates(self) -> str:
        """Return the fractional coordinates, one atom a line, to the last digit that counts."""
        return "".join("{:20.16f} {:20.16f} {:20.16f}\n".format(*row) for row in self.fractional)

    def poscar(self) -> str:
        """Return the POSCAR."""
        vectors = "".join("{:22.16f} {:22.16f} {:22.16f}\n".format(*row) for row in self.cell_A)
        names = " ".join(self.species)
        counts = " ".join(str(count) for count in self.counts)
        return f"mlmd\n1.0\n{vectors}{names}\n{counts}\nDirect\n{self.coordinates()}"

    def kpoints(self) -> str:
        """Return the KPOINTS: a grid that holds Gamma."""
        return f"mlmd\n0\nGamma\n{self.grid[0]} {self.grid[1]} {self.grid[2]}\n0 0 0\n"


def write_inputs(directory: Path, layout: Layout, tags: Mapping[str, Any]) -> None:
    """Write INCAR, POSCAR and KPOINTS, and remove the output of the call before.

    ISTART and ICHARG are added by what can be reused: see :func:`mark_finished`.
    """
    for name in OUTPUT:
        (directory / name).unlink(missing_ok=True)
    start = _reuse(directory, layout)
    (directory / "INCAR").write_text(incar_text({**tags, **start}))
    (directory / "POSCAR").write_text(layout.poscar())
    (directory / "KPOINTS").write_text(layout.kpoints())


def mark_finished(directory: Path, layout: Layout) -> None:
    """Record that WAVECAR and CHGCAR are whole, and what they are of.

    The record is taken away when a call begins. One that is killed while VASP writes leaves
    none, so that the next call starts from nothing, not from half a file at which VASP stops.
    """
    (directory / WAVEFUNCTIONS).write_text(json.dumps(layout.basis()))


def _reuse(directory: Path, layout: Layout) -> dict[str, int]:
    """Return ISTART and ICHARG for what is in the folder, and take the record of it away."""
    wavecar, chgcar = directory / "WAVECAR", directory / "CHGCAR"
    try:
        whole = json.loads((directory / WAVEFUNCTIONS).read_text()) == layout.basis()
    except (OSError, ValueError):
        whole = False
    (directory / WAVEFUNCTIONS).unlink(missing_ok=True)
    if not whole:
        wavecar.unlink(missing_ok=True)
        chgcar.unlink(missing_ok=True)
    has_wavefunctions, has_density = (
        path.is_file() and path.stat().st_size > 0 for path in (wavecar, chgcar)
    )
    # ICHARG 1 moves the old density along with the atoms; 0 computes it from the wavefunctions.
    density = 1 if has_density else 0 if has_wavefunctions else 2
    return {"ISTART": int(has_wavefunctions), "ICHARG": density}
