"""Volumetric files, read back by other readers."""

from __future__ import annotations

import numpy as np
import pytest
from ase.calculators.vasp import VaspChargeDensity
from ase.io.cube import read_cube_data
from crystals import CRYSTALS, Ions

from mlmd.errors import InputError
from mlmd.screening.scan.scan import ScanSettings, scan_crystal
from mlmd.screening.volumetric import HIGHEST_EV, write_volume

pytest.importorskip("spglib", reason="needs the screening extra")


@pytest.fixture(scope="module")
def scan():
    return scan_crystal(CRYSTALS["P6_3mc"], Ions(), settings=ScanSettings("full", spacing_A=0.5))


@pytest.mark.parametrize("quantity", ["energy", "level"])
def test_a_cube_and_a_chgcar_hold_the_landscape(scan, tmp_path, quantity):
    _, other = scan.landscapes()
    write_volume(tmp_path / "a.cube", scan, other, quantity)
    write_volume(tmp_path / "a.vasp", scan, other, quantity)
    data, atoms = read_cube_data(str(tmp_path / "a.cube"))
    times = 1 if quantity == "energy" else 2
    assert data.shape == tuple(times * n for n in other.energies.shape)
    assert np.linalg.norm(atoms.positions, axis=1).min() == pytest.approx(0, abs=1e-5)
    assert data[other.start] == pytest.approx(0, abs=1e-9)
    assert data.max() <= HIGHEST_EV
    if quantity == "energy":
        known = other.energies - other.energies[other.start]
        assert data[known < 5] == pytest.approx(known[known < 5], abs=1e-5)
        # The other ion is where its core pushes this one away.
        (there,) = [p for p, n in zip(atoms.positions, atoms.numbers, strict=True)
                    if n == 3 and np.linalg.norm(p) > 0.1]  # fmt: skip
        place = np.rint(atoms.cell.scaled_positions(there[None])[0] * data.shape).astype(int)
        assert data[tuple(place % data.shape)] == HIGHEST_EV
    density = VaspChargeDensity(str(tmp_path / "a.vasp"))
    assert density.chg[0] == pytest.approx(data, abs=1e-5)
    assert density.atoms[0].cell.volume == pytest.approx(atoms.cell.volume, rel=1e-4)


def test_other_names_and_files_in_the_way_are_refused(scan, tmp_path):
    one, _ = scan.landscapes()
    with pytest.raises(InputError, match="names no format"):
        write_volume(tmp_path / "a.txt", scan, one)
    (tmp_path / "a.cube").write_text("mine")
    with pytest.raises(InputError, match="nothing is overwritten"):
        write_volume(tmp_path / "a.cube", scan, one)
