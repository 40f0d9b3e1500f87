"""Scans of crystals: symmetry and laziness change how much is asked, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from ase.spacegroup import crystal
from crystals import CRYSTALS, Ions

from mlmd.errors import InputError
from mlmd.screening.descriptors import describe
from mlmd.screening.scan.crystal import crystal_of
from mlmd.screening.scan.energies import SiteEnergies
from mlmd.screening.scan.flood import Flood, distinct, rise_together, site_minimum
from mlmd.screening.scan.scan import ScanSettings, scan_crystal
from mlmd.screening.scan.sites import Site, grid_shape, inequivalent_sites

pytest.importorskip("spglib")
COARSE = ScanSettings(mode="full", spacing_A=0.45)


@pytest.mark.parametrize("group", CRYSTALS)
def test_what_symmetry_says_of_energies_is_what_a_calculator_says(group):
    """At all points of all ions, each asked about by itself."""
    scan = scan_crystal(CRYSTALS[group], Ions(), settings=replace(COARSE, spacing_A=0.9))
    atoms = scan.crystal.atoms
    assert scan.crystal.space_group == group
    landscapes = list(scan.landscapes())
    assert sorted(one.ion for one in landscapes) == np.flatnonzero(atoms.numbers == 3).tolist()
    for one in landscapes:
        points = np.argwhere(np.isfinite(one.energies))
        structures = []
        for step in points / one.energies.shape @ atoms.cell.array:
            structures.append(atoms.copy())
            structures[-1].positions[one.ion] += step
        asked = Ions().calculate_many(structures, ("energy",))
        direct = np.array([each["energy"] for each in asked])
        known = one.energies[tuple(points.T)]
        assert np.abs(known - direct)[direct < direct.min() + 10].max() < 1e-6
        # And what was left out is too close to another atom.
        closed = np.argwhere(np.isinf(one.energies)) / one.energies.shape @ atoms.cell.array
        for step in closed[::7]:
            moved = atoms.copy()
            moved.positions[one.ion] += step
            apart_A = moved.get_distances(one.ion, range(len(atoms)), mic=True)
            assert np.delete(apart_A, one.ion).min() < 1.2
    n_points = sum(int((~site.closed).sum()) * len(site.images) for site in scan.sites)
    assert scan.n_evaluations <= n_points / (1 if group == "P1" else 1.9)


TWO_SITES = crystal(
    ["Li", "Li", "F", "F"],
    [(0.2, 0.45, 0.25), (0, 0, 0), (0.21, 0.37, 0.8), (0.55, 0.2, 0.35)],
    spacegroup=2,
    cellpar=[4.9, 5.3, 5.8, 82, 97, 105],
)
"""Ions that no symmetry makes equal, of which one is out before the other."""
ENERGIES = ("mpe_eV", "mpe_1d_eV", "mpe_2d_eV", "mpe_3d_eV")


@pytest.mark.parametrize("group", [*CRYSTALS, "two sites"])
def test_lazy_and_thorough_are_full_where_it_matters(group):
    atoms = CRYSTALS.get(group, TWO_SITES)
    full = describe(scan_crystal(atoms, Ions(), settings=COARSE))
    exact = [getattr(full, name) for name in ENERGIES]
    asked = []
    for mode in ("lazy", "thorough"):
        calculator = Ions()
        scan = scan_crystal(atoms, calculator, settings=replace(COARSE, mode=mode))
        found = describe(scan)
        # All ions at their sites are one structure.
        assert 0 <= scan.n_evaluations - calculator.n_asked < len(scan.sites)
        asked.append(scan.n_evaluations)
        # What is known is exact, and what is not is above what is known.
        for name, energy_eV in zip(ENERGIES, exact, strict=True):
            expected = energy_eV if energy_eV <= found.known_eV + 1e-9 else np.inf
            assert getattr(found, name) == pytest.approx(expected, abs=1e-6)
        wanted_eV = exact[0] if mode == "lazy" else exact[3]
        assert found.known_eV >= min(wanted_eV, 1.0) - 1e-9
        assert found.fv_connected == pytest.approx(full.fv_connected, abs=1e-12)
        assert found.xi <= full.xi <= found.xi + 0.02
        assert found.fv_disconnected <= full.fv_disconnected + 1e-12
    assert asked[0] <= asked[1]
    lazy = describe(scan_crystal(atoms, Ions(), settings=replace(COARSE, mode="lazy")))
    if lazy.fv_error > 0.02:  # it has not looked: then the error is a bound
        assert lazy.xi_error <= 0.02
        assert full.fv_disconnected <= lazy.fv_disconnected + lazy.fv_error


def flooded(atoms: Atoms, site: Site) -> tuple[SiteEnergies, Flood]:
    atoms = atoms.copy()
    atoms.calc = Ions()
    energies = SiteEnergies(atoms, site)
    return energies, Flood(energies, site_minimum(energies), np.eye(3, dtype=int))


def way_out_eV(flood: Flood) -> float:
    level_eV = 0.0
    while not flood.is_out:
        level_eV = flood.next_eV
        flood.rise()
    return level_eV


def test_where_one_ion_is_out_the_other_rises_no_higher():
    whole = crystal_of(TWO_SITES)
    sites = inequivalent_sites(whole, "Li", COARSE.spacing_A)
    together = [flooded(whole.atoms, site) for site in sites]
    known_eV = rise_together([flood for _, flood in together], 0.3, 2.0, 0)
    alone = [flooded(whole.atoms, site) for site in sites]
    levels_eV = [way_out_eV(flood) for _, flood in alone]
    first, later = np.argsort(levels_eV)
    assert 0.3 < levels_eV[first] <= known_eV < levels_eV[later]
    assert together[first][0].n_evaluations == alone[first][0].n_evaluations
    assert together[later][0].n_evaluations < 0.7 * alone[later][0].n_evaluations
    assert together[first][1].is_out
    assert not together[later][1].is_out


def test_a_copy_turned_by_symmetry_may_be_out_of_its_box_first():
    """Neither the 26 neighbours nor the box of -1...1 cells around an ion are turned with it."""
    sites = [(0.52, 0.12, 0.62), (0.78, 0.61, 0.92)]
    atoms = crystal(["Li", "F"], sites, spacegroup=143, cellpar=[5.2, 5.2, 4.4, 90, 90, 120])
    scan = scan_crystal(atoms, Ions(), settings=replace(COARSE, spacing_A=0.5))
    boxes_eV = [one.box.percolation_eV for one in scan.landscapes()]
    assert min(boxes_eV) < boxes_eV[0] - 0.05
    (site,) = scan.sites
    energies, _ = flooded(scan.crystal.atoms, site)
    start = site_minimum(energies)
    for one, expected_eV in zip(scan.landscapes(), boxes_eV, strict=True):
        flood = Flood(energies, start, site.images[one.ion])
        assert way_out_eV(flood) == pytest.approx(expected_eV, abs=1e-6)
    lazy = scan_crystal(atoms, Ions(), settings=replace(scan.settings, mode="lazy"))
    assert describe(lazy).mpe_eV == pytest.approx(min(boxes_eV), abs=1e-6)
    assert lazy.known_eV < boxes_eV[0]


def test_faces_of_a_box_are_those_of_the_turned_ion():
    """A blind alley, half a cell along a and back along b: over the longer diagonal of the copy."""
    energies = np.full((8, 8, 8), np.inf)
    for i in range(5):
        energies[i, -i, 0] = energies[min(i + 1, 4), -i, 0] = 0.1 * i
    shape = SimpleNamespace(shape=energies.shape, n_points=energies.size)
    known = SimpleNamespace(site=shape, of=lambda points: energies.ravel()[points])
    third = np.array([[0, -1, 0], [1, -1, 0], [0, 0, 1]])
    out = []
    for matrix in (np.eye(3, dtype=int), third):
        flood = Flood(known, (0, 0, 0), matrix)
        while flood.next_eV < np.inf:
            flood.rise()
        assert flood.dimensions == 0
        out.append(flood.is_out)
    assert out == [False, True]
    assert len(distinct([np.eye(3, dtype=int), -np.eye(3, dtype=int), third])) == 2


def test_lazy_asks_for_less():
    """Where the grid is that of real scans: a third of what symmetry leaves, or less."""
    settings = ScanSettings(mode="lazy")
    scan = scan_crystal(CRYSTALS["P4_2/mnm"], Ions(), settings=settings)
    assert scan.n_evaluations < sum(site.n_inequivalent for site in scan.sites) / 3


@pytest.mark.parametrize("group", ["P-1", "C2/m", "R-3m", "Fm-3m"])
def test_origin_rotation_and_basis_make_no_difference(group):
    atoms = CRYSTALS[group]
    expected = describe(scan_crystal(atoms, Ions(), settings=COARSE))
    moved = atoms.copy()
    moved.positions += (0.37, -1.2, 2.9)
    moved.rotate(33, (1, 2, -1), rotate_cell=True)
    moved.wrap()
    other = make_supercell(moved, [[1, 1, 0], [0, 1, 0], [0, -1, 1]])
    assert abs(other.cell.volume - atoms.cell.volume) < 1e-6
    for one in (moved, other):
        found = describe(scan_crystal(one, Ions(), settings=COARSE))
        assert vars_of(found) == pytest.approx(vars_of(expected), abs=1e-5)


def vars_of(descriptors) -> list[float]:
    return [getattr(descriptors, name) for name in descriptors.__dataclass_fields__]


def test_a_supercell_asks_another_question():
    """Its frozen ions block the way: the paper's numbers are of the cell that is given."""
    atoms = CRYSTALS["Fm-3m"]
    primitive = describe(scan_crystal(atoms, Ions(), settings=COARSE))
    given = describe(scan_crystal(atoms, Ions(), settings=replace(COARSE, cell="given")))
    conventional = replace(COARSE, cell="conventional")
    assert given.mpe_eV > 1.5 * primitive.mpe_eV
    again = describe(scan_crystal(atoms, Ions(), settings=conventional))
    assert again.mpe_eV == pytest.approx(given.mpe_eV, abs=1e-6)
    doubled = crystal_of(atoms, "2x1x1")
    assert len(doubled.atoms) == 2 * len(crystal_of(atoms).atoms) == 6


def test_the_grid_is_no_coarser_than_asked_and_no_finer_than_needed():
    assert grid_shape(np.diag([5.0, 5.0000001, 5.1])) == (20, 20, 21)
    site = inequivalent_sites(crystal_of(CRYSTALS["Pm-3m"]), "Li")[0]
    assert site.shape == (14, 14, 14)
    assert site.n_inequivalent < (14**3) / 20  # 48 operations


def test_an_operation_that_does_not_map_the_grid_onto_itself_is_not_used():
    """Half the operations of a face-centred orthorhombic crystal mix steps of two lengths."""
    sites = [(0, 0, 0), (0.5, 0.5, 0.5)]
    atoms = crystal(["F", "Li"], sites, spacegroup=69, cellpar=[4.1, 6.2, 9.1, 90, 90, 90])
    scan = scan_crystal(atoms, Ions(), settings=replace(COARSE, spacing_A=0.5))
    (site,) = scan.sites
    assert len(scan.crystal.rotations) == 8
    assert 2 < site.n_points / len(np.unique(site.orbit)) < 4


def test_a_scan_that_was_killed_goes_on(tmp_path):
    atoms, settings = CRYSTALS["P-1"], replace(COARSE, spacing_A=0.5, batch=16)
    whole = Ions()
    expected = scan_crystal(atoms, whole, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        scan_crystal(atoms, Ions(at_most=100), settings=settings, kept=tmp_path)
    (file,) = tmp_path.iterdir()
    with file.open("ab") as torn:  # killed while it wrote
        torn.write(b"half a reco")
    rest = Ions()
    scan = scan_crystal(atoms, rest, settings=settings, kept=tmp_path)
    assert 0 < rest.n_asked <= whole.n_asked - 96
    assert scan.n_evaluations == expected.n_evaluations == whole.n_asked
    assert np.array_equal(scan.of_sites[0].energies, expected.of_sites[0].energies)


def test_a_deeper_place_is_said_and_energies_are_counted_from_the_site():
    """An ion in a shallow hole beside a deep one."""

    class TwoHoles(Ions):
        def calculate_many(self, structures, properties):
            x = np.array([one.positions[0] / 4.5 for one in structures])
            far = 1 - np.cos(2 * np.pi * x)
            second = np.exp(-(np.sin(np.pi * (x - 0.5)) ** 2).sum(axis=1) * 8)
            return [{"energy": float(e)} for e in 0.2 * far.sum(axis=1) - 1.5 * second]

    atoms = Atoms("Li", cell=[4.5] * 3, pbc=True)
    for mode in ("thorough", "full"):
        found = describe(scan_crystal(atoms, TwoHoles(), settings=replace(COARSE, mode=mode)))
        assert found.deeper_eV > 0.2
        assert found.mpe_eV > 0


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"mode": "quick"}, "lazy or thorough or full"),
        ({"max_level_eV": 0.3}, "0.5"),
        ({"spacing_A": 0.0}, "positive"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, what):
    with pytest.raises(InputError, match=what):
        ScanSettings(**change)


def test_structures_that_cannot_be_scanned_are_refused():
    atoms = CRYSTALS["Pm-3m"]
    with pytest.raises(InputError, match="no Na"):
        scan_crystal(atoms, Ions(), "Na")
    with pytest.raises(InputError, match="2x2x2"):
        scan_crystal(atoms, Ions(), settings=ScanSettings(cell="big"))
    molecule = Atoms("LiF", positions=[[0, 0, 0], [1.6, 0, 0]])
    with pytest.raises(InputError, match="periodic"):
        scan_crystal(molecule, Ions())
