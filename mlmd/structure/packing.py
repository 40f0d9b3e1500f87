"""Random packings of atoms, to melt and to make glasses from."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from mlmd.bounds.memory import check_memory
from mlmd.checks import positive_number, whole_number
from mlmd.errors import InputError, PackingError
from mlmd.periodic.contacts import OVERLAP_FRACTION, closest_contact
from mlmd.structure.composition import Composition
from mlmd.structure.spheres import Spheres, place_spheres
from mlmd.structure.volume import VolumeEstimate, starting_volume, warn_if_improbable

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTES_PER_ATOM = 5000  # PACKMOL's arrays, its files, and the check of what it has made

logger = logging.getLogger(__name__)


def pack(
    composition: str | Composition,
    n_atoms: int = 100,
    *,
    seed: int = 0,
    density_g_cm3: float | None = None,
    volume_per_atom_A3: float | None = None,
    reference: Atoms | None = None,
    tolerance_A: float = 2.0,
) -> Atoms:
    """Pack atoms at random into a cubic periodic cell with PACKMOL.

    Parameters
    ----------
    composition : str or Composition
        For example ``Li3PS4``, ``Li0.5Si0.5`` or ``(Li2S)0.75(P2S5)0.25``.
    n_atoms : int, default 100
        About how many atoms; the nearest whole number of formula units is taken.
    seed : int, default 0
        Not negative; the same seed gives the same structure.
    density_g_cm3, volume_per_atom_A3, reference : optional
        At most one source of the volume: mass density in g/cm3, volume per atom in cubic
        angstrom, or a bulk structure whose volume per atom is taken. Without one the volume
        is estimated from atomic radii, mostly within 25 % (see `mlmd.structure.radii`).
    tolerance_A : float, default 2.0
        No two atoms, periodic images included, are closer than this in angstrom. Two large
        atoms keep more: half the sum of their covalent radii (Cs and Cs, 2.44).

    Returns
    -------
    ase.Atoms
        Atoms in the order of the composition. ``info["packing"]`` says how it was made, with
        plain values that survive an extxyz file.

    Raises
    ------
    InputError
        If an argument cannot be used, or the cell would be so small that an atom is near its
        own periodic image.
    PackingError
        If PACKMOL finds no packing, or one that breaks the tolerance.
    """
    seed = whole_number("seed", seed, least=0, most=None)
    box = packing_box(
        composition,
        n_atoms,
        density_g_cm3=density_g_cm3,
        volume_per_atom_A3=volume_per_atom_A3,
        reference=reference,
        tolerance_A=tolerance_A,
    )
    warn_if_improbable(box.composition, box.volume)
    kinds = [Spheres(symbol, number, box.radii_A[symbol]) for symbol, number in box.counts.items()]
    symbols = [symbol for symbol, number in box.counts.items() for _ in range(number)]
    positions_A = place_spheres(kinds, box.edge_A, seed)
    atoms = Atoms(symbols, positions_A, cell=[box.edge_A] * 3, pbc=True)
    _verify(atoms, box.radii_A)
    atoms.info["packing"] = _record(box, seed, tolerance_A)
    logger.info(
        "packed %d atoms of %s, edge %.3f A", len(atoms), box.composition.formula, box.edge_A
    )
    return atoms


@dataclass(frozen=True)
class PackingBox:
    """What is known of a packing before it is tried.

    Attributes
    ----------
    composition
        Of the atoms.
    counts
        Atoms of each element.
    radii_A
        Of the spheres that they keep free.
    volume
        Per atom, and where it comes from.
    edge_A
        Of the cubic cell.
    """

    composition: Composition
    counts: Mapping[str, int]
    radii_A: Mapping[str, float]
    volume: VolumeEstimate
    edge_A: float


def packing_box(
    composition: str | Composition,
    n_atoms: int = 100,
    *,
    density_g_cm3: float | None = None,
    volume_per_atom_A3: float | None = None,
    reference: Atoms | None = None,
    tolerance_A: float = 2.0,
) -> PackingBox:
    """Return the cell of a packing, and refuse one that there cannot be; nothing is tried.

    Parameters
    ----------
    composition, n_atoms, density_g_cm3, volume_per_atom_A3, reference, tolerance_A
        As for `pack`.

    Raises
    ------
    InputError
        If an argument cannot be used, an atom would be near its own periodic image, or spheres
        would not fit close-packed.
    """
    if not isinstance(composition, Composition):
        composition = Composition.parse(composition)
    tolerance_A = positive_number("tolerance_A", tolerance_A, "A")
    counts = composition.counts(n_atoms)
    radii_A = {symbol: _keeping_radius(symbol, tolerance_A) for symbol in counts}
    total = sum(counts.values())
    check_memory(f"a packing of {total} atoms", total * _BYTES_PER_ATOM, "take fewer atoms")
    volume = starting_volume(
        composition,
        density_g_cm3=density_g_cm3,
        volume_per_atom_A3=volume_per_atom_A3,
        reference=reference,
        exclusion_volume_A3=sum(n * (2.0 * radii_A[s]) ** 3 for s, n in counts.items()) / total,
    )
    edge_A = (volume.volume_per_atom_A3 * total) ** (1.0 / 3.0)
    _check_edge(edge_A, composition, volume, 2.0 * max(radii_A.values()))
    return PackingBox(composition, counts, radii_A, volume, edge_A)


def _keeping_radius(symbol: str, tolerance_A: float) -> float:
    """Radius of the sphere that an atom keeps free, so that `check_structure` is content."""
    covalent_A = float(covalent_radii[atomic_numbers[symbol]])
    return max(0.5 * tolerance_A, OVERLAP_FRACTION * covalent_A)


def _check_edge(
    edge_A: float, composition: Composition, volume: VolumeEstimate, diameter_A: float
) -> None:
    shortest_A = 2.0 * diameter_A  # room for one other atom between an atom and its image
    if edge_A < shortest_A * (1.0 - 1e-9):
        unit = composition.atoms_per_unit
        units = math.ceil(shortest_A**3 / volume.volume_per_atom_A3 / unit)
        raise InputError(
            f"the cell of {composition.text} would have an edge of {edge_A:.3f} A, so that atoms "
            f"are near their own periodic images; expected at least {shortest_A:.3f} A, "
            f"ask for n_atoms of {units * unit} or more"
        )


def _verify(atoms: Atoms, radii_A: Mapping[str, float]) -> None:
    """Measure the packing ourselves, over periodic images."""
    contact = closest_contact(atoms, np.array([radii_A[symbol] for symbol in atoms.symbols]))
    if contact is not None:
        raise PackingError(
            f"PACKMOL left {atoms.symbols[contact.first]} and {atoms.symbols[contact.second]} "
            f"{contact.distance_A:.4f} A apart instead of at least {contact.limit_A:.4f} A; lower "
            "the density, or use a smaller tolerance_A or another seed"
        )


def _record(box: PackingBox, seed: int, tolerance_A: float) -> dict[str, str | int | float]:
    composition, volume = box.composition, box.volume
    try:
        packmol = version("packmol")
    except PackageNotFoundError:
        packmol = "unknown"
    return {
        "composition": composition.text,
        "formula": composition.formula,
        "n_atoms": sum(box.counts.values()),
        "seed": seed,
        "tolerance_A": tolerance_A,
        "volume_per_atom_A3": volume.volume_per_atom_A3,
        "volume_source": volume.source,
        "volume_detail": volume.detail,
        "packmol": packmol,
    }
