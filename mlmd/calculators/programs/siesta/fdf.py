"""Writes SIESTA's input, the same for 4.1 and 5.

Lengths are in bohr: SIESTA 4.1 and 5 differ from ASE, and from each other, in their angstrom, but
not in their atomic units. ASE's own writer serves SIESTA 5 only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.units import Bohr

from mlmd.calculators.programs.siesta.fdf_keys import entry, normalised
from mlmd.calculators.programs.siesta.settings import FUNCTIONAL_OF, SiestaSettings
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

LABEL = "siesta"
"""SystemLabel, and the name of the files that SIESTA reads and writes."""

MARK = "# density matrix of "


def species_of(atoms: Atoms) -> list[str]:
    """Return the elements in the order in which they first appear."""
    return list(dict.fromkeys(atoms.get_chemical_symbols()))


def write_fdf(
    folder: Path,
    settings: SiestaSettings,
    atoms: Atoms,
    pseudopotentials: Mapping[str, str],
    dialogue: Mapping[str, Any],
) -> Path:
    """Write ``siesta.fdf``; delete a density matrix there that is of other atoms or settings.

    Parameters
    ----------
    folder
        Where SIESTA runs.
    settings
        What decides the forces.
    atoms
        The structure.
    pseudopotentials
        Names of the files in `folder`, by element.
    dialogue
        Keys that say how SIESTA gets its structures.
    """
    symbols = atoms.get_chemical_symbols()
    species = species_of(atoms)
    physics = _physics(settings, atoms, species, pseudopotentials)
    mine = "\n".join([*physics, *symbols])
    mark = MARK + hashlib.sha256(mine.encode()).hexdigest()
    path = folder / f"{LABEL}.fdf"
    density = folder / f"{LABEL}.DM"
    if density.exists() and _first_line(path) != mark:
        density.unlink()
    lines = [mark, "# Lengths in bohr.", *physics, *entry("DM.UseSaveDM", density.exists())]
    for key, value in dialogue.items():
        lines += entry(key, value)
    lines += ["LatticeConstant 1.0 Bohr", "%block LatticeVectors"]
    lines += [_numbers(vector) for vector in atoms.cell.array / Bohr]
    lines += ["%endblock LatticeVectors", "AtomicCoordinatesFormat Bohr"]
    lines += ["%block AtomicCoordinatesAndAtomicSpecies"]
    for symbol, position in zip(symbols, atoms.positions / Bohr, strict=True):
        lines.append(f"{_numbers(position)} {species.index(symbol) + 1}")
    lines += ["%endblock AtomicCoordinatesAndAtomicSpecies", ""]
    path.write_text("\n".join(lines))
    return path


def _physics(
    settings: SiestaSettings,
    atoms: Atoms,
    species: list[str],
    pseudopotentials: Mapping[str, str],
) -> list[str]:
    """Return the lines on which a density matrix depends; the user's keys replace ours."""
    from ase.data import atomic_numbers

    labels = []
    for index, symbol in enumerate(species, start=1):
        file = pseudopotentials[symbol]
        # 4.1 knows no fourth column: it looks for LABEL.psf.
        labels.append([index, atomic_numbers[symbol], symbol, *([file] * file.endswith(".psml"))])
    ours: dict[str, Any] = {
        "SystemName": LABEL,
        "SystemLabel": LABEL,
        "NumberOfAtoms": len(atoms),
        "NumberOfSpecies": len(species),
        "ChemicalSpeciesLabel": labels,
        "XC.Functional": FUNCTIONAL_OF[settings.xc],
        "XC.Authors": settings.xc,
        "PAO.BasisSize": settings.basis,
        "Mesh.Cutoff": f"{settings.mesh_cutoff_Ry} Ry",
        "Spin": settings.spin,
        "MaxSCFIterations": settings.max_scf_steps,
        # SCF.DM.Tolerance, the newer name, takes its default from this one.
        "DM.Tolerance": settings.dm_tolerance,
        "SCF.MustConverge": settings.scf_unconverged == "stop",
    }
    if settings.energy_shift_meV is not None:
        ours["PAO.EnergyShift"] = f"{settings.energy_shift_meV} meV"
    grid = settings.grid(atoms.cell.array)
    if grid != (1, 1, 1):
        rows = [[*(grid[i] * (i == j) for j in range(3)), 0.0] for i in range(3)]
        ours["kgrid.MonkhorstPack"] = rows
    moments = atoms.get_initial_magnetic_moments()
    if settings.spin != "non-polarized" and moments.any():
        if moments.ndim > 1:
            raise InputError(
                "moments of the atoms are vectors; give them to SIESTA in fdf as DM.InitSpin"
            )
        ours["DM.InitSpin"] = [[i + 1, float(m)] for i, m in enumerate(moments) if m]
    replaced = {normalised(key) for key in settings.fdf}
    kept = {key: value for key, value in ours.items() if normalised(key) not in replaced}
    return [line for key, value in {**kept, **settings.fdf}.items() for line in entry(key, value)]


def _first_line(path: Path) -> str:
    if not path.is_file():
        return ""
    return path.read_text(errors="replace").partition("\n")[0]


def _numbers(vector: np.ndarray[Any, Any]) -> str:
    return " ".join(f"{number:.12f}" for number in vector)
