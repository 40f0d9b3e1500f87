"""The scan of a crystal: the landscape of each inequivalent ion, full or as far as it matters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import choice, positive_number
from mlmd.errors import InputError
from mlmd.screening.landscape.free_volumes import THRESHOLDS_EV
from mlmd.screening.landscape.levels import local_minimum
from mlmd.screening.scan.crystal import crystal_of
from mlmd.screening.scan.energies import BATCH, SiteEnergies
from mlmd.screening.scan.flood import flood, pockets, site_minimum
from mlmd.screening.scan.sites import SPACING_A, inequivalent_sites

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.arrays import FloatArray
    from mlmd.screening.landscape.levels import Place
    from mlmd.screening.scan.crystal import Crystal
    from mlmd.screening.scan.sites import Site

MODES = ("lazy", "full")
IONS = ("inequivalent", "all")
POCKET_MARGIN_EV = 0.5
"""Around points of the coarse grid so little above a threshold it is looked whether a pocket lies
between them."""


@dataclass(frozen=True)
class ScanSettings:
    """How a crystal is scanned.

    Attributes
    ----------
    mode
        `full` asks about every inequivalent point. `lazy` asks where the percolation energy
        depends on it, and besides about every other point along each axis.
    cell
        See :func:`crystal_of`.
    spacing_A
        Longest step of the grid.
    max_level_eV
        `lazy` does not look for ways that are higher.
    thresholds
        Of the free volumes, see `THRESHOLDS_EV`.
    ions
        Whose free volumes are united: `inequivalent`, those that are moved, in the box of -1...1
        cells with both its faces; `all`, also those that symmetry makes equal to them, over the
        eight cells of the box, as the code of the paper's authors does.
    batch
        Structures that the calculator is asked about at once.

    Raises
    ------
    InputError
        If a value cannot be used.
    """

    mode: str = "lazy"
    cell: str = "primitive"
    spacing_A: float = SPACING_A
    max_level_eV: float = 1.0
    thresholds: str = "paper"
    ions: str = "inequivalent"
    batch: int = BATCH

    def __post_init__(self) -> None:
        """Check the values."""
        choice("mode", self.mode, MODES)
        choice("thresholds", self.thresholds, THRESHOLDS_EV)
        choice("ions", self.ions, IONS)
        positive_number("spacing_A", self.spacing_A, "A")
        highest = max(self.thresholds_eV)
        if not positive_number("max_level_eV", self.max_level_eV, "eV") >= highest:
            raise InputError(
                f"max_level_eV is {self.max_level_eV:g}; expected at least {highest:g} eV, below "
                "which free volumes are measured"
            )

    @property
    def thresholds_eV(self) -> tuple[float, ...]:
        """Energies above the site below which volumes count."""
        return THRESHOLDS_EV[self.thresholds]


@dataclass(frozen=True, eq=False)
class Landscape:
    """What is known of the energies of an ion, or of one that symmetry makes equal to it.

    Attributes
    ----------
    ion
        Its index among the atoms of the crystal.
    energies : (n1, n2, n3)
        In eV at the points of its grid, the first at its site; infinite where it may not be, and
        where a lazy scan has not looked.
    start
        The minimum at its site, from which energies are counted.
    """

    ion: int
    energies: FloatArray
    start: Place

    @property
    def deeper_eV(self) -> float:
        """How far below its minimum another point was found."""
        return float(self.energies[self.start] - self.energies.min())


@dataclass(frozen=True, eq=False)
class Scan:
    """A crystal with the landscapes of its inequivalent ions.

    Attributes
    ----------
    crystal
        The cell that was scanned.
    sites, of_sites
        The ions that were moved, and their landscapes.
    settings
        How.
    missed
        Points below the highest threshold that may have been missed, as a part of the cell.
    n_evaluations
        Energies that a calculator was asked for, over all sessions.
    """

    crystal: Crystal
    sites: list[Site]
    of_sites: list[Landscape]
    settings: ScanSettings
    missed: float
    n_evaluations: int

    def landscapes(self) -> Iterator[Landscape]:
        """Give the landscapes of all mobile ions, one after another."""
        for site, own in zip(self.sites, self.of_sites, strict=True):
            n = np.array(site.shape)[:, None]
            points = np.stack([axis.ravel() for axis in np.indices(site.shape)])
            for ion, matrix in site.images.items():
                energies = np.empty_like(own.energies)
                energies[tuple(matrix @ points % n)] = own.energies.ravel()
                n1, n2, n3 = (matrix @ own.start % site.shape).tolist()
                yield Landscape(ion, energies, (n1, n2, n3))


def scan_crystal(
    atoms: Atoms,
    calculator: Calculator,
    mobile: str = "Li",
    settings: ScanSettings | None = None,
    *,
    kept: Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Scan:
    """Move each inequivalent ion through the crystal.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic in three directions, relaxed with this calculator.
    calculator
        An ASE calculator; energies are all that it is asked for.
    mobile
        The element that moves.
    settings
        See :class:`ScanSettings`.
    kept
        A folder for what is computed, so that a scan that was killed goes on. It is for this
        calculator alone.
    report
        Called after each batch with the energies known, and the most that it may take.

    Raises
    ------
    InputError
        If the structure is no crystal with ions of that element.
    """
    settings = settings or ScanSettings()
    crystal = crystal_of(atoms, settings.cell)
    sites = inequivalent_sites(crystal, mobile, settings.spacing_A)
    asked = crystal.atoms.copy()
    asked.calc = calculator
    found, missed, n_evaluations = [], 0.0, 0
    most = sum(site.n_inequivalent for site in sites)

    def told(n: int) -> None:
        nonlocal n_evaluations
        n_evaluations += n
        if report is not None:
            report(n_evaluations, most)

    for site in sites:
        energies = SiteEnergies(asked, site, _file(kept, crystal, site), settings.batch, told)
        landscape, missing = _scanned(energies, settings)
        found.append(landscape)
        missed += missing * (len(site.images) if settings.ions == "all" else 1)
    return Scan(crystal, sites, found, settings, missed, n_evaluations)


def _file(kept: Path | None, crystal: Crystal, site: Site) -> Path | None:
    """Return the file of an ion; its name holds what points mean: the cell to the last bit."""
    if kept is None:
        return None
    atoms = crystal.atoms
    arrays = (atoms.numbers, atoms.cell.array, atoms.positions, np.array(site.shape))
    digest = hashlib.blake2b(b"".join(one.tobytes() for one in arrays), digest_size=8).hexdigest()
    return kept / f"ion-{site.ion}-{digest}.energies"


def _scanned(energies: SiteEnergies, settings: ScanSettings) -> tuple[Landscape, float]:
    """Ask for the energies of an ion; return them, and the part that may have been missed."""
    site, missed = energies.site, 0.0
    if settings.mode == "full":
        energies.of(np.arange(site.n_points))
        start = local_minimum(energies.on_grid(), (0, 0, 0))
    else:
        highest = max(settings.thresholds_eV)
        start = site_minimum(energies)
        flood(energies, start, highest, settings.max_level_eV)
        doubtful = pockets(energies, start, highest, POCKET_MARGIN_EV)
        missed = len(doubtful) / site.n_points
    return Landscape(site.ion, energies.on_grid(), start), missed
