"""Compositions: exact amounts, whole formula units, and what is refused."""

from __future__ import annotations

import pickle
from fractions import Fraction

import pytest

from mlmd.errors import InputError
from mlmd.structure.composition import Composition


@pytest.mark.parametrize(
    ("text", "reduced"),
    [
        ("Li3PS4", {"Li": 3, "P": 1, "S": 4}),
        ("Li0.5Si0.5", {"Li": 1, "Si": 1}),
        ("(Li2S)0.75(P2S5)0.25", {"Li": 3, "S": 4, "P": 1}),
        ("Li7La3Zr2O12", {"Li": 7, "La": 3, "Zr": 2, "O": 12}),
        ("Na3(Zr2(Si[O4])2P{O4})", {"Na": 3, "Zr": 2, "Si": 2, "O": 12, "P": 1}),
        ("Li₃PS₄", {"Li": 3, "P": 1, "S": 4}),
        (" Li2S P2S5 ", {"Li": 1, "S": 3, "P": 1}),
        ("CO", {"C": 1, "O": 1}),
        ("Co", {"Co": 1}),
        ("Si4", {"Si": 1}),
        ("CH3CH2OH", {"C": 2, "H": 6, "O": 1}),
        ("Zr.5Cu.5", {"Zr": 1, "Cu": 1}),
    ],
)
def test_reduced_formula_unit_in_order_of_appearance(text, reduced):
    composition = Composition.parse(text)
    assert list(composition.reduced.items()) == list(reduced.items())
    assert Composition.parse(composition.formula).reduced == reduced


def test_amounts_are_exact():
    amounts = dict(Composition.parse("(Li2S)0.75(P2S5)0.25").amounts)
    assert amounts == {"Li": Fraction(3, 2), "S": Fraction(2), "P": Fraction(1, 2)}
    tenths = dict(Composition.parse("Li0.1S0.7Li0.2").amounts)
    assert tenths == {"Li": Fraction(3, 10), "S": Fraction(7, 10)}  # 0.1 + 0.2 in floats is not


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("Li0.3333Si0.6667", "LiSi2"),
        ("(Li2S)0.6667(P2S5)0.3333", "Li4S7P2"),
        ("Li0.1429Si0.8571", "LiSi6"),
        ("Li2.6667Si", "Li8Si3"),
        ("Li0.35Si0.65", "Li7Si13"),  # no rounded fraction: exact
        ("Li0.3125Si0.6875", "Li5Si11"),  # sixteenths are exact in four places
    ],
)
def test_rounded_thirds_are_thirds_and_other_decimals_are_exact(text, formula):
    assert Composition.parse(text).formula == formula


def test_mass_per_atom_of_lithium_thiophosphate():
    # Standard atomic weights: 3 x 6.94 + 30.974 + 4 x 32.06 = 180.03 g/mol, eight atoms.
    assert Composition.parse("Li3PS4").mass_per_atom_u == pytest.approx(180.03 / 8, rel=1e-4)


@pytest.mark.parametrize(
    ("text", "n_atoms", "counts"),
    [
        ("Li3PS4", 100, {"Li": 39, "P": 13, "S": 52}),  # 12.5 units: the larger
        ("Li0.5Si0.5", 100, {"Li": 50, "Si": 50}),
        ("(Li2S)0.75(P2S5)0.25", 32, {"Li": 12, "S": 16, "P": 4}),
        ("Li3PS4", 99, {"Li": 36, "P": 12, "S": 48}),
        ("LiCl", 1, {"Li": 1, "Cl": 1}),
        ("Li7La3Zr2O12", 10, {"Li": 7, "La": 3, "Zr": 2, "O": 12}),
        ("Li0.333Si0.667", 1000, {"Li": 333, "Si": 667}),
    ],
)
def test_counts_are_the_nearest_whole_formula_units(text, n_atoms, counts):
    assert Composition.parse(text).counts(n_atoms) == counts


def test_counts_stay_near_what_was_asked_for_or_are_refused():
    for unit in range(2, 300):
        composition = Composition.parse(f"Li{unit - 1}S")
        for asked in (20, 60, 100, 150, 500):
            try:
                total = sum(composition.counts(asked).values())
            except InputError:
                assert unit > max(1.5 * asked, 50)
                continue
            assert total % unit == 0
            assert 2 / 3 * asked <= total <= max(1.5 * asked, 50)
            assert abs(total - asked) <= unit / 2 or total == unit


def test_a_formula_unit_far_larger_than_the_cell_says_how_large_it_is():
    with pytest.raises(InputError, match=r"has 1000 atoms, but about 100 .* simpler ratios") as e:
        Composition.parse("Li0.333Si0.667").counts(100)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Xx2O", "unknown element 'Xx'"),
        ("X2O", "unknown element 'X'"),
        ("D2O", "unknown element 'D'"),
        ("", "is empty"),
        ("   ", "is empty"),
        (None, "is empty"),
        ("()", "empty brackets"),
        ("()2Li", "empty brackets"),
        ("Li0S", "amount 0 is not positive"),
        ("Li0.0S", "amount 0.0 is not positive"),
        ("(Li2S)0", "amount 0 is not positive"),
        ("Li-2S", "amounts are positive"),
        ("(Li2S", r"'\)' is missing"),
        ("(Li2S]", "unbalanced bracket"),
        ("Li2S)", "unbalanced bracket"),
        ("2Li", "2 stands before what it counts"),
        ("75Li2S25P2S5", "75 stands before"),
        ("Li3PS4!", "'!' is no element"),
        ("lips", "'l' is no element"),
        ("Li1e5", "'e' is no element"),
        ("Li1.2.3", "stands before what it counts"),
        ("Li" + "9" * 40, "more than 12 digits"),
        ("(" * 200 + "Li" + ")" * 200, "at most 300"),
    ],
)
def test_what_is_no_composition_is_refused_in_one_line(text, message):
    with pytest.raises(InputError, match=message) as error:
        Composition.parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("n_atoms", [0, -5, 10.0, "100", True, None, float("nan")])
def test_number_of_atoms_must_be_a_positive_whole_number(n_atoms):
    with pytest.raises(InputError, match=r"n_atoms is .* whole number of at least 1"):
        Composition.parse("Li3PS4").counts(n_atoms)


def test_composition_is_a_value():
    composition = Composition.parse("Li3PS4")
    assert composition.formula == "Li3PS4"  # also with something cached
    assert pickle.loads(pickle.dumps(composition)) == composition
    assert {composition: 1}[Composition.parse("Li3PS4")] == 1
    with pytest.raises(AttributeError):
        composition.text = "LiCl"
