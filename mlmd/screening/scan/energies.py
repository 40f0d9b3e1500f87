"""Energies of an ion at points of its grid: asked for once, kept on the disk as they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.calculators.evaluation import evaluate_many

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.screening.scan.sites import Site

BATCH = 32
"""Structures that a calculator is asked about at once."""
_RECORD = np.dtype([("point", "<i8"), ("energy_eV", "<f8")])
Report = Callable[[int], None]
"""Called with the number of energies that have just become known."""


class SiteEnergies:
    """Energies of an ion on its grid, as far as they are known.

    Parameters
    ----------
    atoms : ase.Atoms
        The crystal, with a calculator.
    site
        The ion and its grid.
    kept
        A file of what has been computed, which is added to after each batch; what it holds is not
        computed again. A record that a killed process left half written is dropped.
    batch
        Structures that the calculator is asked about at once.
    report
        Called after each batch.
    """

    def __init__(
        self,
        atoms: Atoms,
        site: Site,
        kept: Path | None = None,
        batch: int = BATCH,
        report: Report | None = None,
    ) -> None:
        self.site = site
        self.cell_A: FloatArray = atoms.cell.array.copy()
        self._atoms, self._kept, self._batch, self._report = atoms, kept, batch, report
        self._values = np.full(site.n_points, np.nan)
        self._values[site.closed] = np.inf
        self.n_evaluations = 0
        if kept is not None and kept.exists():
            self._recall(kept)

    def _recall(self, kept: Path) -> None:
        whole = kept.stat().st_size // _RECORD.itemsize
        with kept.open("r+b") as file:
            file.truncate(whole * _RECORD.itemsize)
            records = np.frombuffer(file.read(), _RECORD)
        self._values[records["point"]] = records["energy_eV"]
        self.n_evaluations = whole
        if self._report is not None:
            self._report(whole)

    def of(self, points: IntArray) -> FloatArray:
        """Return energies in eV of points by their flat index, computing those not known."""
        first = self.site.orbit[points]
        unknown = np.unique(first[np.isnan(self._values[first])])
        for low in range(0, len(unknown), self._batch):
            self._compute(unknown[low : low + self._batch])
        found: FloatArray = self._values[first]
        return found

    def _compute(self, points: IntArray) -> None:
        ion = self.site.ion
        structures = []
        for away_A in self.site.displacements_A(points, self.cell_A):
            moved = self._atoms.copy()
            moved.positions[ion] += away_A
            moved.calc = self._atoms.calc
            structures.append(moved)
        found = evaluate_many(structures, ("energy",))
        energies = np.array([one.energy_eV for one in found], dtype=float)
        # What a potential cannot say of so close a contact is no place for an ion.
        energies[~np.isfinite(energies)] = np.inf
        self._values[points] = energies
        self.n_evaluations += len(points)
        if self._kept is not None:
            records = np.empty(len(points), _RECORD)
            records["point"], records["energy_eV"] = points, energies
            with self._kept.open("ab") as file:
                file.write(records.tobytes())
        if self._report is not None:
            self._report(len(points))

    @property
    def unknown(self) -> float:
        """Return the part of the points that nobody has asked about."""
        return float(np.isnan(self._values[self.site.orbit]).mean())

    def on_grid(self, unknown: float = np.inf) -> FloatArray:
        """Return the energies of all points, with a value for those that are not known."""
        values = self._values[self.site.orbit].reshape(self.site.shape)
        values[np.isnan(values)] = unknown
        grid: FloatArray = values
        return grid
