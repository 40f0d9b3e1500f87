"""Numbers as people read them: value and error with the same decimals, on every face."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mlmd.analysis.diffusion.diffusivity import diffusivity
from mlmd.cli.analyze_text import _line
from mlmd.digits import DASH, MATHTEXT, PAGE, TERMINAL, number, r_squared_text, with_error
from mlmd.model.validation.cross_validation import Scores
from mlmd.numerics.r_squared import r_squared
from mlmd.trajectory.trajectory import Trajectory


@pytest.mark.parametrize(
    ("value", "error", "terminal", "page"),
    [
        (0.0193, 0.00042, "0.01930 +- 0.00042", "0.01930 ± 0.00042"),
        (1.087, 3.9e-4, "1.08700 +- 0.00039", "1.08700 ± 0.00039"),
        (1.087e-4, 3.9e-6, "(1.087 +- 0.039)e-04", "(1.087 ± 0.039) × 10⁻⁴"),
        (-0.2, 0.0996, "-0.20 +- 0.10", "−0.20 ± 0.10"),
        (2.3e-7, 1.1e-5, "(0.0 +- 1.1)e-05", "(0.0 ± 1.1) × 10⁻⁵"),
        (-2.3e-7, 1.1e-5, "(0.0 +- 1.1)e-05", "(0.0 ± 1.1) × 10⁻⁵"),
        (1234.0, 56.0, "1234 +- 56", "1234 ± 56"),
        (123456.0, 999.9, "(1.235 +- 0.010)e+05", "(1.235 ± 0.010) × 10⁵"),
        (0.25, None, "0.250", "0.250"),
        (0.25, 0.0, "0.250", "0.250"),
        (0.25, float("nan"), "0.250", "0.250"),
        (float("nan"), 0.1, DASH, DASH),
        (None, 0.1, DASH, DASH),
    ],
)
def test_a_value_and_its_error_have_the_same_decimals(value, error, terminal, page):
    assert with_error(value, error, TERMINAL) == terminal
    assert with_error(value, error) == page


@settings(max_examples=300)
@given(
    st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-12),
    st.floats(1e-9, 1e5),
)
def test_two_digits_of_the_error_are_shown_whatever_the_numbers_are(value, error):
    """What is read back is the value to a twentieth of its error, and the error to 5 %."""
    assume(error > 1e-9 * abs(value))  # beyond, there are no such digits
    text = with_error(value, error, TERMINAL)
    found = re.fullmatch(r"\(?(-?[\d.]+) \+- ([\d.]+)(?:\)(e[+-]\d\d))?", text)
    assert found, text
    shown_value, shown_error, power = found.groups()
    decimals = [len(one.partition(".")[2]) for one in (shown_value, shown_error)]
    assert decimals[0] == decimals[1]
    factor = float(f"1{power or ''}")
    assert float(shown_error) * factor == pytest.approx(error, rel=0.051)
    # An error above 99 is written out whole.
    digits = len(shown_error.replace(".", "").lstrip("0"))
    assert digits == 2 or float(shown_error) >= 99.5
    assert abs(float(shown_value) * factor - value) <= 0.051 * error + 1e-12


def test_faces_differ_in_signs_alone():
    assert with_error(-1.5e-5, 2.3e-6, MATHTEXT) == r"$(-1.50 \pm 0.23)\times 10^{-5}$"
    assert number(-1.5e-5, style=PAGE) == "−1.50 × 10⁻⁵"
    assert number(-1.5e-5, style=TERMINAL) == "-1.50e-05"
    assert number(12) == "12"


@pytest.mark.parametrize(
    ("r2", "text"),
    [(1.0, "1"), (0.99912, "0.99912"), (0.998, "0.9980"), (0.95, "0.950"), (0.5, "0.50"),
     (-0.4, "−0.40"), (None, DASH), (float("nan"), DASH)],
)  # fmt: skip
def test_the_distance_of_R2_from_one_shows(r2, text):
    assert r_squared_text(r2) == text


def test_R2_is_one_formula_for_models_and_for_curves():
    rng = np.random.default_rng(0)
    true = rng.normal(size=50)
    predicted = true + 0.3 * rng.normal(size=50)
    assert Scores.of(true, predicted).r2 == r_squared(predicted, true)
    assert r_squared(predicted, true) == pytest.approx(
        1 - np.mean((predicted - true) ** 2) / np.var(true)
    )
    assert r_squared(predicted, np.ones(50)) is None


def test_windows_are_named_by_their_own_length_and_not_by_that_of_the_run():
    steps = np.random.default_rng(0).normal(0, 1.0, (91, 10, 3))
    walk = Trajectory(np.cumsum(steps, axis=0), np.eye(3) * 10, np.full(10, 3), np.arange(91) * 500)
    three = diffusivity(walk, "Li", drift="none", window_ps=15.0)
    one = diffusivity(walk.part(stop=31), "Li", drift="none", window_ps=15.0)
    assert "3 windows of 15 ps in 45 ps" in _line(three)
    assert "1 window of 15 ps in 15 ps" in _line(one)
