"""What a user gave is checked by one rule for each kind of value."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from mlmd import checks
from mlmd.errors import InputError

NUMBERS = [1, 0.5, np.float32(0.25), np.int64(3), Fraction(1, 4)]
NO_NUMBERS = [True, False, "1", None, [1], 1j, np.array([1.0, 2.0])]


@pytest.mark.parametrize("value", NUMBERS)
def test_numbers_are_numbers_whoever_made_them(value):
    assert checks.is_number(value)
    assert checks.positive_number("x", value, "K") == float(value)
    assert type(checks.positive_number("x", value)) is float
    assert checks.is_whole(value) == (value in (1, 3))


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_only_looks_like_a_number_is_refused(value):
    assert not checks.is_number(value)
    assert not checks.is_whole(value)
    for check in (checks.positive_number, checks.finite_number, checks.fraction):
        with pytest.raises(InputError, match=r"x is .*; expected a"):
            check("x", value)
    with pytest.raises(InputError, match=r"expected a whole number of at least 1"):
        checks.whole_number("x", value)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.positive_number, [1e-300, 5], [0, -1.0, math.inf, math.nan]),
        (checks.finite_number, [-1.0, 0], [math.inf, -math.inf, math.nan]),
        (checks.fraction, [0.5, 1e-9], [0, 1, 1.5, -0.1, math.nan]),
        (checks.whole_number, [1, np.int32(7)], [0, -3, 2.0]),
    ],
)
def test_the_limits(check, good, bad):
    for value in good:
        assert check("x", value) == value
    for value in bad:
        with pytest.raises(InputError, match=r"^x is "):
            check("x", value)


def test_messages_say_name_value_and_unit():
    with pytest.raises(InputError, match=r"^edge_A is -2; expected a positive number in A$"):
        checks.positive_number("edge_A", -2, "A")
    with pytest.raises(InputError, match=r"^mode is 'fast'; expected slow or exact$"):
        checks.choice("mode", "fast", ("slow", "exact"))
    with pytest.raises(InputError, match=r"^save is 1; expected true or false$"):
        checks.truth("save", 1)
    with pytest.raises(InputError, match=r"^stage 'melt' has no colour; it has name, time_ps$"):
        checks.known_keys("stage 'melt'", {"colour": 1, "name": 2}, ("time_ps", "name"))
