"""Folds: nothing is on both sides, everything is predicted, shuffles differ."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="needs the model extra")

from mlmd.errors import InputError
from mlmd.model.data.folds import (
    chemical_system,
    make_folds,
    reduced_formula,
)

ELEMENTS = st.sampled_from(["O", "S", "P", "Cl", "Si", "B", "Na"])
FORMULAS = st.lists(
    st.lists(st.tuples(ELEMENTS, st.integers(1, 4)), min_size=1, max_size=3),
    min_size=8,
    max_size=60,
).map(lambda many: ["Li2" + "".join(f"{s}{n}" for s, n in one) for one in many])
GROUP_OF = {"formula": reduced_formula, "chemical_system": chemical_system}


@settings(max_examples=60, deadline=None)
@given(FORMULAS, st.sampled_from(sorted(GROUP_OF)), st.integers(2, 5), st.integers(0, 9))
def test_a_group_is_never_on_both_sides(formulas, name, n_splits, seed):
    group = GROUP_OF[name]
    if len({group(f) for f in formulas}) < n_splits:
        with pytest.raises(InputError, match=r"fewer folds|other folds"):
            make_folds(name, formulas, n_splits, seed=seed)
        return
    folds = make_folds(name, formulas, n_splits, n_repeats=2, seed=seed).folds
    assert len(folds) == 2 * n_splits
    for fold in folds:
        learnt = {group(formulas[i]) for i in fold.train}
        assert learnt.isdisjoint(group(formulas[i]) for i in fold.test)
        assert sorted([*fold.train, *fold.test]) == list(range(len(formulas)))
    for repeat in (folds[:n_splits], folds[n_splits:]):
        predicted = np.concatenate([fold.test for fold in repeat])
        assert sorted(predicted) == list(range(len(formulas)))


@settings(max_examples=30, deadline=None)
@given(FORMULAS)
def test_an_element_that_is_predicted_was_never_seen(formulas):
    many = [*formulas, *(f"Li{n}Br" for n in range(1, 6)), *(f"Li{n}I" for n in range(1, 6))]
    folds = make_folds("element", many).folds
    assert {"Br", "I"} <= {fold.held_out for fold in folds}
    for fold in folds:
        assert fold.held_out != "Li"
        assert all(fold.held_out in chemical_system(many[i]).split("-") for i in fold.test)
        assert not any(fold.held_out in chemical_system(many[i]).split("-") for i in fold.train)


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 100))
def test_rows_held_out_are_in_no_published_fold(n_rows):
    split = make_folds("published", ["Li2O"] * n_rows)
    for fold in split.folds:
        assert set(split.test).isdisjoint([*fold.train, *fold.test])
    assert len(split.test) + len(split.train) == n_rows


def test_formulas_are_the_same_however_they_are_written():
    assert reduced_formula("Li4Si2O6") == reduced_formula("O3SiLi2") == "Li2O3Si1"
    assert chemical_system("Li4Si2O6") == "Li-O-Si"


def test_shuffles_differ_and_come_again():
    formulas = [f"Li{n}O7" for n in range(1, 30)]
    first = make_folds("formula", formulas, n_repeats=2, seed=3).folds
    again = make_folds("formula", formulas, n_repeats=2, seed=3).folds
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert first[0].test.tolist() != first[5].test.tolist()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("scaffold", {}, "no folds"),
        ("formula", {"n_splits": 1}, "at least 2"),
        ("published", {}, "20"),
    ],
)
def test_what_cannot_be_is_said(name, options, says):
    with pytest.raises(InputError, match=says):
        make_folds(name, ["Li2O", "Li2S"], **options)
