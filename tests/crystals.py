"""Small crystals of many space groups and a cheap potential to scan them with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.spacegroup import crystal


def _make(group: int, cell: tuple[float, ...], **sites: tuple[float, float, float]) -> Atoms:
    symbols = [name.rstrip("0123456789") for name in sites]
    return crystal(symbols, list(sites.values()), spacegroup=group, cellpar=list(cell))


CRYSTALS: dict[str, Atoms] = {
    "P1": _make(1, (3.9, 4.3, 4.8, 82, 97, 105), Li=(0.1, 0.2, 0.3), F=(0.48, 0.92, 0.25)),
    "P-1": _make(2, (3.9, 4.3, 4.8, 82, 97, 105), Li=(0.2, 0.45, 0.25), F=(0.21, 0.37, 0.8)),
    "C2/m": _make(12, (7.6, 4.2, 4.6, 90, 108, 90), Li=(0.33, 0.0, 0.23), F=(0.28, 0.0, 0.76)),
    "P2_1/c": _make(14, (4.6, 5.4, 5.8, 90, 103, 90), Li=(0.23, 0.08, 0.19), F=(0.17, 0.49, 0.28)),
    "Pnma": _make(62, (6.4, 4.1, 5.2, 90, 90, 90), Li=(0.21, 0.25, 0.56), F=(0.81, 0.25, 0.55)),
    "P4_2/mnm": _make(136, (4.7, 4.7, 3.4, 90, 90, 90), F=(0.0, 0.0, 0.0), Li=(0.3, 0.3, 0.0)),
    "I4_1/amd": _make(141, (4.0, 4.0, 8.6, 90, 90, 90), F=(0.0, 0.0, 0.0), Li=(0.0, 0.0, 0.25)),
    "R-3m": _make(166, (3.4, 3.4, 9.8, 90, 90, 120), Li=(0.0, 0.0, 0.0), F=(0.0, 0.0, 0.5)),
    "P6_3mc": _make(
        186, (3.5, 3.5, 5.6, 90, 90, 120), Li=(1 / 3, 2 / 3, 0.0), F=(1 / 3, 2 / 3, 0.38)
    ),
    "Pm-3m": _make(221, (3.3, 3.3, 3.3, 90, 90, 90), Li=(0.0, 0.0, 0.0), F=(0.5, 0.5, 0.5)),
    "Fm-3m": _make(225, (5.2, 5.2, 5.2, 90, 90, 90), F=(0.0, 0.0, 0.0), Li=(0.25, 0.25, 0.25)),
}
"""By space group; eleven of them, with one and with several mobile ions."""


class Ions(Calculator):
    """Screened charges with hard cores, many structures at once; it counts what it is asked.

    Parameters
    ----------
    scale
        Of all energies.
    at_most
        Structures after which it fails, as a process that is killed.
    """

    implemented_properties = ("energy", "forces")
    reach_A = 4.5

    def __init__(self, scale: float = 2.0, at_most: int | None = None) -> None:
        super().__init__()
        self.scale, self.at_most, self.n_asked = scale, at_most, 0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Collection[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = self.calculate_many([self.atoms], properties)[0]

    def calculate_many(
        self, structures: Sequence[Atoms], properties: Collection[str]
    ) -> list[dict[str, Any]]:
        self.n_asked += len(structures)
        if self.at_most is not None and self.n_asked > self.at_most:
            raise KeyboardInterrupt
        first = structures[0]
        cell = first.cell.array
        around = np.ceil(self.reach_A * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int)
        images = np.array(list(product(*(range(-n - 1, n + 2) for n in around)))) @ cell
        charge = np.where(first.numbers == 3, 1.0, -1.0)
        positions = np.array([one.positions for one in structures])
        apart = positions[:, None, :, :] - positions[:, :, None, :]
        fractions = apart @ np.linalg.inv(cell)
        apart = (fractions - np.floor(fractions)) @ cell
        r = np.linalg.norm(apart[..., None, :] + images, axis=-1)
        r[(r < 1e-6) | (r > self.reach_A)] = np.inf
        inner = 1 - np.where(np.isfinite(r), r, self.reach_A) / self.reach_A
        pairs = charge[:, None, None] * charge[None, :, None] * 14.4 * np.exp(-r / 2.0) / r
        pairs = pairs + 600.0 * np.exp(-r / 0.32)
        energies = 0.5 * self.scale * (pairs * inner**2).sum(axis=(1, 2, 3))
        none = np.zeros((len(first), 3))  # where atoms are in their places by symmetry
        return [{"energy": float(energy), "forces": none} for energy in energies]
