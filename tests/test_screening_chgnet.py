"""Real CHGNet energies of three salts, against numbers computed independently of this code.

These count, for one ion alone, the points of the box of -1...1 cells with both of its faces: Xi is
0.81 for Li2Te (percolation at 0.37 eV), 0.30 for LiF and 5e-5 for Li2O. The ranking unites the
volumes of all ions over the eight cells, as the paper and its code do; the paper has 0.971 for
Li2Te with the energies of M3GNet.
"""

from __future__ import annotations

import pytest
from ase.spacegroup import crystal

from mlmd import CalculatorSpec
from mlmd.screening.descriptors import describe
from mlmd.screening.landscape.free_volumes import xi
from mlmd.screening.landscape.percolation import in_box, percolation_box
from mlmd.screening.scan.scan import ScanSettings, scan_crystal

pytest.importorskip("spglib", reason="needs the screening extra")
pytest.importorskip("chgnet", reason="needs the chgnet extra")
pytestmark = pytest.mark.chgnet
FLUORITE, ROCK_SALT = (0.25,) * 3, (0.5,) * 3


@pytest.fixture(scope="module")
def chgnet():
    return CalculatorSpec("chgnet", device="cpu").load()


def salt(anion: str, a_A: float, site: tuple[float, ...]):
    return crystal([anion, "Li"], [(0, 0, 0), site], spacegroup=225, cellpar=[a_A] * 3 + [90] * 3)


@pytest.mark.parametrize(
    ("anion", "a_A", "site", "mpe_eV", "alone", "united"),
    [
        ("Te", 6.517, FLUORITE, 0.37, 0.81, 0.977),
        ("F", 4.03, ROCK_SALT, 0.672, 0.30, 0.364),
        ("O", 4.62, FLUORITE, 1.132, 5e-5, 0.0065),
    ],
)
def test_three_salts(chgnet, anion, a_A, site, mpe_eV, alone, united):
    settings = ScanSettings(mode="full")
    scan = scan_crystal(salt(anion, a_A, site), chgnet, settings=settings)
    found = describe(scan)
    assert found.mpe_eV == pytest.approx(mpe_eV, abs=0.005)
    assert found.xi == pytest.approx(united, rel=0.02)
    ion = scan.of_sites[0]
    box = percolation_box(ion.energies, ion.start)
    above = in_box(ion.energies, ion.start) - ion.energies[ion.start]
    assert xi((box.levels_eV < 0.5).mean(), (above < 0.5).mean()) == pytest.approx(alone, rel=0.02)
    lazy = describe(scan_crystal(salt(anion, a_A, site), chgnet))
    if mpe_eV < 1:
        assert lazy.mpe_eV == pytest.approx(found.mpe_eV, abs=1e-4)
    assert lazy.xi == pytest.approx(found.xi, abs=0.02)
