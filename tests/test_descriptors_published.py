"""What the published table proves of the structural definitions, without its structures."""

from __future__ import annotations

import numpy as np
import pytest
from ase.data import atomic_numbers, covalent_radii
from published_features import cell_of, needs_published, published, reduced

from mlmd.descriptors.composition import ElementalAverages
from mlmd.descriptors.elements import package_elements
from mlmd.descriptors.snapshot import POLAR

pytestmark = needs_published

ELECTRONEGATIVITY = package_elements().columns["electronegativity"]
IONIC_A = package_elements().columns["ionic_radius_A"]


def x(symbol: str) -> float:
    return float(ELECTRONEGATIVITY[atomic_numbers[symbol]])


def sphere_A3(radius_A: float) -> float:
    return 4 / 3 * np.pi * float(radius_A) ** 3


def binaries():
    """Rows of two elements: their other element, and the cell."""
    for row in published().itertuples():
        if len(reduced(row.formula)) == 2:
            (other,) = set(reduced(row.formula)) - {"Li"}
            yield row, other, cell_of(row)


def is_whole(value: float, tolerance: float) -> bool:
    return abs(value - round(value)) < tolerance


def test_ratios_are_ratios_in_all_rows():
    table = published()
    assert np.abs(table.LNC / table.SNC - table.RNC).max() < 1e-8
    assert np.abs(table.LBI / table.SBI - table.RBI).max() < 1e-8
    assert np.abs(table.ENS - table.avg_X_wiout_Li).max() < 1e-9


def test_anion_is_the_element_last_in_the_alphabet_in_all_rows_not_the_most_electronegative():
    agree = {"last": 0, "electronegative": 0}
    for row in published().itertuples():
        cell = reduced(row.formula)
        volume_A3 = row.AAV * sum(cell.values())
        others = sorted(set(cell) - {"Li"})
        for name, anion in {"last": others[-1], "electronegative": max(others, key=x)}.items():
            agree[name] += abs(volume_A3 / cell[anion] - row.VPA) < 1e-6
    assert agree["last"] == 792
    assert 0.5 * 792 < agree["electronegative"] < 0.65 * 792


def test_spheres_are_covalent_or_a_whole_number_of_polar_atoms_is_ionic():
    covalent_throughout = dict.fromkeys(published().formula, True)
    not_whole = []
    for row in published().itertuples():
        cell = cell_of(row)
        volume_A3 = row.AAV * sum(cell.values())
        parts = {"Li": row.PF - row.SPF, "rest": row.SPF}
        for part, filled in parts.items():
            symbols = [s for s in cell if (s == "Li") == (part == "Li")]
            radii = {s: covalent_radii[atomic_numbers[s]] for s in symbols}
            missing_A3 = filled * volume_A3 - sum(cell[s] * sphere_A3(radii[s]) for s in symbols)
            if abs(missing_A3) < 1e-6 * volume_A3:
                continue
            covalent_throughout[row.formula] = False
            # One element of the part can be polar: F or O among the rest, else lithium.
            polar = [s for s in symbols if max(abs(x(s) - x(t)) for t in cell) > POLAR]
            changed_A3 = {
                s: sphere_A3(IONIC_A[atomic_numbers[s]]) - sphere_A3(radii[s])
                for s in polar
                if s in ("Li", "O", "F")
            }
            numbers = {s: missing_A3 / change for s, change in changed_A3.items()}
            if not any(is_whole(n, 2e-3) and 0 < round(n) <= cell[s] for s, n in numbers.items()):
                not_whole.append((row.formula, row.temperature, numbers))
    assert sum(covalent_throughout.values()) == 191
    assert len(covalent_throughout) == 207
    # 4/3 of 20 lithium atoms: 1 of 15, the cell has 75 atoms.
    assert [row[:2] for row in not_whole] == [("LiIO3", 1500)]
    assert not_whole[0][2]["Li"] == pytest.approx(4 / 3, abs=1e-6)


def test_bond_ionicities_of_binaries_follow_from_the_neighbour_counts():
    # In LiX every Li-X bond has the same ionicity d, and there are n (LNC - LLB) of them.
    agree = {"LBI": 0, "LBI, n": 0, "SBI": 0, "SDLI": 0}
    rows = list(binaries())
    for row, other, cell in rows:
        n, d = cell["Li"], abs(x(other) - x("Li"))
        bonds, mixed = n * row.LNC, n * (row.LNC - row.LLB)
        mean = mixed * d / bonds
        variance = (mixed * d**2 - bonds * mean**2) / (bonds - 1)
        agree["LBI"] += abs(mixed * d / (bonds - 1) - row.LBI) < 1e-6
        agree["LBI, n"] += abs(mean - row.LBI) < 1e-6
        agree["SBI"] += abs(mixed * d / (cell[other] * row.SNC) - row.SBI) < 1e-6
        agree["SDLI"] += abs(variance**0.5 - row.SDLI) < 1e-6
    assert len(rows) == 123
    assert agree == {"LBI": 121, "LBI, n": 0, "SBI": 123, "SDLI": 117}


def test_neighbour_counts_are_whole_and_their_deviation_is_over_n_not_n_minus_one():
    whole = {0: 0, 1: 0}
    for row in published().itertuples():
        n = cell_of(row)["Li"]
        for ddof in whole:
            squares = row.SDLC**2 * (n - ddof) + n * row.LNC**2
            whole[ddof] += is_whole(squares, 1e-3)
    assert whole[0] == 789
    assert whole[1] < 0.1 * 792


def test_anion_coordination_is_a_whole_number_over_the_anions():
    whole = 0
    for row in published().itertuples():
        cell = cell_of(row)
        whole += is_whole(row.AFC * cell[max(set(cell) - {"Li"})], 1e-4 * cell["Li"])
    assert whole >= 789


def test_path_electronegativity_belongs_to_the_atom_whose_surface_is_nearest():
    # SLPE tells how many paths (f of n) end their width at the other element. Were it that of
    # the nearest centre, SLPW_pp - SLPW would be at least the mean radius of those atoms.
    known, below, equal = 0, 0, 0
    for row, other, cell in binaries():
        n = cell["Li"]
        f = (row.SLPE - x("Li")) / (x(other) - x("Li")) * n
        if not is_whole(f, 1e-3):
            continue
        known += 1
        radius_A = {s: float(covalent_radii[atomic_numbers[s]]) for s in (other, "Li")}
        mean_A = (f * radius_A[other] + (n - f) * radius_A["Li"]) / n
        difference_A = row.SLPW_pp - row.SLPW - mean_A
        below += difference_A < 1e-6
        equal += abs(difference_A) < 1e-6
    assert known == 121
    assert below == known
    assert equal >= 2  # the same atom in all paths: the radii are the covalent ones


def test_first_row_by_hand():
    row = published().iloc[0]
    averages = ElementalAverages.of_formula(row.formula)
    assert row.formula == "Li2Si2Os"
    assert averages.mean("electronegativity", with_mobile=False) == pytest.approx(row.ENS)
    assert pytest.approx(row.VPA) == row.AAV * 5 / 2  # silicon is last in the alphabet
