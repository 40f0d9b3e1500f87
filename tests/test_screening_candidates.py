"""Which crystals are scanned: filters, ordered stand-ins of disordered ones, a random control."""

from __future__ import annotations

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from crystals import CRYSTALS

from mlmd.cli.app import run_command_line
from mlmd.errors import InputError
from mlmd.screening.candidates import Properties, Selection, candidates, read_candidates
from mlmd.screening.descriptors import Descriptors
from mlmd.screening.ordering import orderings
from mlmd.screening.ranking import Ranking, Screened
from mlmd.screening.scan.scan import ScanSettings

pytest.importorskip("pymatgen", reason="needs the screening extra")
pytest.importorskip("spglib", reason="needs the screening extra")

DISORDERED = """data_x
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 6.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
_symmetry_Int_Tables_number 1
loop_
_symmetry_equiv_pos_as_xyz
'x,y,z'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
F1 F 0 0 0 1
Li1 Li 0.5 0 0 {first}
Li2 Li 0.5 0.5 0.5 {second}
"""
"""A site at an anion and one far from it share a lithium."""


def disordered(path: Path, first: float, second: float) -> Path:
    path.write_text(DISORDERED.format(first=first, second=second))
    return path


def test_transition_metals_and_the_limits_of_a_table_leave_out(tmp_path, caplog):
    path = tmp_path / "mp.csv"
    path.write_text(
        "name,band_gap_eV,hull_eV_atom\nmetal,0.49,0.0\ngood,0.5,0.05\nhigh,3,0.051\nblank,,\n"
    )
    salt = Atoms("LiF", cell=[4, 4, 4], pbc=True)
    names = ["dir/metal.cif", "dir/good.cif", "high", "blank.cif", "not_in_it"]
    structures = [(name, salt) for name in names]
    structures += [
        (symbol, Atoms(f"Li{symbol}")) for symbol in ("Sc", "Zn", "La", "Hg", "Ga", "Ce")
    ]
    error = InputError("it cannot be read")
    found = dict(candidates([*structures, ("bad", error)], Selection(False, Properties.read(path))))
    assert list(found) == ["dir/good.cif", "blank.cif", "not_in_it", "Ga", "Ce", "bad"]
    assert found["bad"] is error
    assert "6 of 12 structures are no candidates: 4 with transition metals" in caplog.text
    assert len(dict(candidates(structures, Selection()))) == 11


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,band_gap_eV\na,wide\n", "band_gap_eV of a is 'wide'"),
        ("name,band_gap_eV\na,nan\n", "nan"),
        ("name,hull_eV_atom\na,1\na,2\n", "2 rows of 'a'"),
        ("name,gap\na,1\n", "columns gap, name"),
        ("", "columns none"),
    ],
)
def test_tables_that_say_nothing_are_refused(tmp_path, text, said):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        Properties.read(path)


def test_the_ordering_of_lowest_energy_comes_first(tmp_path, caplog):
    """The lithium beside the fluoride: 2.0 A, not 4.1."""
    path = disordered(tmp_path / "d.cif", 0.5, 0.5)
    found = dict(read_candidates([path], 3))
    assert list(found) == [f"{path}#1", f"{path}#2"][: len(found)]
    first = found[f"{path}#1"]
    assert first.get_chemical_formula() == "FLi"
    assert first.get_distance(0, 1, mic=True) == pytest.approx(2.0)
    if len(found) == 2:
        assert found[f"{path}#2"].get_distance(0, 1, mic=True) == pytest.approx(17**0.5)
    assert "partly occupied" in caplog.text
    assert len(dict(read_candidates([path], 1))) == 1


def test_a_cell_is_made_larger_until_it_holds_whole_atoms(tmp_path, caplog):
    """Two formulas of LiF share what a cell has, and no two orderings are the same crystal."""
    text = DISORDERED.replace("F1 F 0 0 0 1", "F1 F 0 0 0 0.5\nCl1 Cl 0 0 0 0.5")
    path = tmp_path / "d.cif"
    path.write_text(text.format(first=1, second=0).replace("Li2 Li 0.5 0.5 0.5 0\n", ""))
    found = orderings(path, 4)
    assert {one.get_chemical_formula() for one in found} == {"ClFLi2"}
    volumes = [one.get_volume() for one in found]
    assert volumes == pytest.approx([192.0] * len(found))
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor

    crystals = [AseAtomsAdaptor.get_structure(one) for one in found]
    assert not any(StructureMatcher().fit(one, other) for one, other in combinations(crystals, 2))
    assert "Cl0.5" in caplog.text or "Cl1" in caplog.text


def test_what_cannot_be_ordered_is_said_in_a_line(tmp_path):
    for first, second, said in ((0.9, 0.9, "oxidation states"), (0.37, 0.13, "whole atoms")):
        path = disordered(tmp_path / "d.cif", first, second)
        ((name, error),) = read_candidates([path], 2)
        assert name == str(path)
        assert isinstance(error, InputError)
        assert said in str(error)
    ((_, refused),) = read_candidates([disordered(tmp_path / "d.cif", 0.5, 0.5)])
    assert "partly occupied" in str(refused)
    write(tmp_path / "whole.cif", CRYSTALS["P-1"])
    assert orderings(tmp_path / "whole.cif", 2) == []


def screened(name: str, xi: float | None) -> Screened:
    found = dict.fromkeys(Descriptors.__dataclass_fields__, 0.0)
    made = None if xi is None else Descriptors(**{**found, "xi": xi})
    return Screened(name, "LiF", made, 1, ScanSettings(), "" if made else "failed")


def test_a_control_is_drawn_whatever_the_rank():
    ranking = Ranking((*(screened(f"s{i}", i / 10) for i in range(10)), screened("bad", None)))
    drawn = [ranking.with_control(3, np.random.default_rng(seed)).control for seed in range(400)]
    assert drawn[5] == ranking.with_control(3, np.random.default_rng(5)).control
    assert all(len(set(one)) == 3 for one in drawn)
    counts = [sum(f"s{i}" in one for one in drawn) for i in range(10)]
    assert sum(counts) == 1200
    assert 80 < min(counts) <= max(counts) < 160  # 120 +- 9 each
    all_of_them = ranking.with_control(99, np.random.default_rng(0))
    assert len(all_of_them.control) == 10
    assert [row["control"] for row in all_of_them.rows()] == [1] * 10 + [0]
    assert ranking.rows()[0]["control"] is None


def test_filters_orderings_and_control_in_the_command(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    write("good.cif", CRYSTALS["P6_3mc"])
    write("iron.cif", Atoms("LiFe", [[0, 0, 0], [2, 2, 2]], cell=[4] * 3, pbc=True))
    disordered(Path("d.cif"), 0.5, 0.5)
    command = ["screen", "good.cif", "iron.cif", "d.cif", "--calculator", "crystals:Ions",
               "--no-relax", "--no-transition-metals", "--orderings", "1", "--control", "1",
               "-o", "r.csv"]  # fmt: skip
    assert run_command_line(command) == 0
    assert "1 of 3 structures are no candidates: 1 with transition metals" in caplog.text
    with Path("r.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["name"] for row in rows) == ["d.cif#1", "good.cif"]
    assert sorted(row["control"] for row in rows) == ["0", "1"]
    capsys.readouterr()
    assert run_command_line([*command[:-2], "--orderings", "-1"]) == 2
    assert "--orderings is -1" in capsys.readouterr().err
