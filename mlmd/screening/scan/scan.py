"""The scan of a crystal: the landscape of each inequivalent ion, full or as far as it matters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import choice, positive_number
from mlmd.errors import InputError
from mlmd.screening.landscape.free_volumes import THRESHOLDS_EV
from mlmd.screening.landscape.levels import local_minimum
from mlmd.screening.scan.crystal import crystal_of
from mlmd.screening.scan.energies import BATCH, SiteEnergies
from mlmd.screening.scan.flood import Flood, distinct, pockets, rise_together, site_minimum
from mlmd.screening.scan.landscapes import Landscape
from mlmd.screening.scan.sites import SPACING_A, inequivalent_sites
from mlmd.screening.scan.volumes import Volumes, free_volumes

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.screening.scan.crystal import Crystal
    from mlmd.screening.scan.sites import Site

MODES = ("lazy", "thorough", "full")
IONS = ("inequivalent", "all")
XI_ERROR = 0.02
"""Where Xi cannot be larger by more, a lazy scan does not look for what lies apart from the ion."""
POCKET_MARGIN_EV = 0.5
"""Around points of the coarse grid so little above a threshold it is looked whether a pocket lies
between them."""


@dataclass(frozen=True)
class ScanSettings:
    """How a crystal is scanned.

    Attributes
    ----------
    mode
        `full` asks about every inequivalent point. `lazy` asks until the percolation energy of the
        paper is known and Xi to 0.02; `thorough` until those in one, two and three directions are,
        and about what lies below the thresholds apart from the ions, too.
    cell
        See :func:`crystal_of`.
    spacing_A
        Longest step of the grid.
    max_level_eV
        `lazy` and `thorough` do not look for ways that are higher.
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
    known_eV
        Levels up to this one, above the sites, are those of all points; infinite of a full scan.
    missed
        Points below the highest threshold that may have been missed, as a part of the cell.
    n_evaluations
        Energies that a calculator was asked for, over all sessions.
    """

    crystal: Crystal
    sites: list[Site]
    of_sites: list[Landscape]
    settings: ScanSettings
    known_eV: float
    missed: float
    n_evaluations: int

    def landscapes(self) -> Iterator[Landscape]:
        """Give the landscapes of all mobile ions, one after another."""
        for site, own in zip(self.sites, self.of_sites, strict=True):
            n = np.array(site.shape)[:, None]
            points = np.stack([axis.ravel() for axis in np.indices(site.shape)])
            yield own
            for ion, matrix in site.images.items():
                if ion == own.ion:
                    continue
                energies = np.empty_like(own.energies)
                energies[tuple(matrix @ points % n)] = own.energies.ravel()
                n1, n2, n3 = (matrix @ own.start % site.shape).tolist()
                yield Landscape(ion, energies, (n1, n2, n3))

    @cached_property
    def volumes(self) -> Volumes:
        """The free volumes, united over the ions that the settings name."""
        only = self.settings.ions == "inequivalent"
        landscapes = self.of_sites if only else list(self.landscapes())
        sites = self.crystal.atoms.get_scaled_positions()[[one.ion for one in landscapes]]
        return free_volumes(landscapes, sites, self.settings.thresholds_eV, only, self.missed)


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
    n_evaluations = 0
    most = sum(site.n_inequivalent for site in sites)

    def told(n: int) -> None:
        nonlocal n_evaluations
        n_evaluations += n
        if report is not None:
            report(n_evaluations, most)

    every = [
        SiteEnergies(asked, site, _file(kept, crystal, site), settings.batch, told)
        for site in sites
    ]

    def found(known_eV: float, missed: list[float]) -> Scan:
        copies = [len(site.images) if settings.ions == "all" else 1 for site in sites]
        return Scan(
            crystal,
            sites,
            [Landscape(e.site.ion, e.on_grid(), at) for e, at in zip(every, starts, strict=True)],
            settings,
            known_eV,
            float(np.dot(missed, copies)),
            n_evaluations,
        )

    if settings.mode == "full":
        for one in every:
            one.of(np.arange(one.site.n_points))
        starts = [local_minimum(one.on_grid(), (0, 0, 0)) for one in every]
        return found(np.inf, [0.0] * len(every))
    starts = [site_minimum(one) for one in every]
    floods = [
        Flood(one, start, matrix)
        for one, start in zip(every, starts, strict=True)
        for matrix in distinct(one.site.images.values())
    ]
    highest_eV, dimensions = max(settings.thresholds_eV), 3 if settings.mode == "thorough" else 0
    known_eV = rise_together(floods, highest_eV, settings.max_level_eV, dimensions)
    if settings.mode == "lazy":
        scan = found(known_eV, [one.unknown for one in every])
        if scan.volumes.xi_error <= XI_ERROR:
            return scan
    missed = [
        len(pockets(one, start, highest_eV, POCKET_MARGIN_EV)) / one.site.n_points
        for one, start in zip(every, starts, strict=True)
    ]
    return found(known_eV, missed)


def _file(kept: Path | None, crystal: Crystal, site: Site) -> Path | None:
    """Return the file of an ion; its name holds what points mean: the cell to the last bit."""
    if kept is None:
        return None
    atoms = crystal.atoms
    arrays = (atoms.numbers, atoms.cell.array, atoms.positions, np.array(site.shape))
    digest = hashlib.blake2b(b"".join(one.tobytes() for one in arrays), digest_size=8).hexdigest()
    return kept / f"ion-{site.ion}-{digest}.energies"
