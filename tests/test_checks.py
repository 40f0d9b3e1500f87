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


def test_numbers_that_no_float_holds_are_refused():
    for value in (10**400, -(10**400), Fraction(10**400)):
        for check in (checks.positive_number, checks.finite_number, checks.fraction):
            with pytest.raises(InputError, match=r"^x is "):
                check("x", value)
    with pytest.raises(InputError, match="at most 9223372036854775807"):
        checks.whole_number("x", 2**64)
    assert checks.number_of_at_least("x", 0, 0) == 0.0
    with pytest.raises(InputError, match="at least 0 ps"):
        checks.number_of_at_least("x", -1, 0, "ps")


@pytest.mark.parametrize("value", ["", "  ", "a\0b", "\udcff", b"x", None, 5])
def test_what_is_no_text_is_refused(value):
    for check in (checks.usable_text, checks.usable_path):
        with pytest.raises(InputError) as caught:
            check("x", value)
        str(caught.value).encode()


def test_paths_that_the_file_system_cannot_look_at(tmp_path):
    (tmp_path / "round").symlink_to("round")
    for name, reason in (("round", "symbolic links"), ("x" * 300, "too long")):
        with pytest.raises(InputError, match=reason):
            checks.usable_path("x", tmp_path / name)
    for name in ("absent", "absent/more"):
        assert checks.usable_path("x", tmp_path / name) == tmp_path / name


def test_a_message_is_one_line_and_no_page():
    with pytest.raises(InputError) as caught:
        checks.truth("x", "a\nb" * 5000)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    assert str(InputError("one\n  two \udcff")) == "one two \\udcff"
    assert len(str(InputError("x" * 5000))) < 1010
