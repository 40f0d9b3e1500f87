"""Reports without a browser: the same bytes, nothing from outside, numbers as people read them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from comparison_contents import content

from mlmd.digits import number, value_of, with_interval
from mlmd.errors import InputError, MissingExtraError
from mlmd.report import Compared, write_comparison_report
from mlmd.report.comparison.report import comparison_page
from mlmd.report.comparison.verdict_rows import PROPERTIES, THRESHOLDS, limit_in_words
from mlmd.report.page import page as page_module

pytest.importorskip("jinja2", reason="needs the report extra")


@pytest.fixture(scope="module")
def html() -> str:
    """A page with two surrogates."""
    return comparison_page([Compared("good", content()), Compared("bad", content(shift=0.05))])


def test_the_same_contents_give_the_same_bytes(html):
    again = comparison_page([Compared("good", content()), Compared("bad", content(shift=0.05))])
    assert again == html


def test_every_id_is_there_once_and_every_reference_has_its_target(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) > 100
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"', html) + re.findall(r"url\(#([^)]+)\)", html)
    assert used
    assert set(used) <= set(ids)


def test_nothing_points_outside(html):
    addresses = re.findall(r'(?:src|href|action|data|poster)="([^"]*)"', html)
    assert {one[:5] for one in addresses if not one.startswith("#")} == {"data:"}
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not places
    assert set(re.findall(r"https?://[^\"'\s<)]+", html)) <= names
    assert "@import" not in html


def test_a_label_is_never_markup():
    evil = "<script>alert(1)</script>"
    one = content(composition=evil)
    html = comparison_page([Compared(evil, one), Compared("b", None, f"it said {evil}")])
    assert evil not in html
    assert html.count("<script") == 2
    assert "&lt;script&gt;" in html


def test_a_dollar_in_a_label_is_no_formula():
    comparison_page([Compared("costs $5 or \\frac{$", content())])  # mathtext would raise


def test_many_systems_show_the_worst_and_say_so():
    one = content()
    first = one["rdf"]["systems"][0]
    labels = [f"X{i}" for i in range(9)]
    one["rdf"]["systems"] = [
        {**first, "label": label, "r2_pooled": 0.9 + 0.01 * i} for i, label in enumerate(labels)
    ]
    curve = next(iter(one["rdf"]["curves"].values()))
    one["rdf"]["curves"] = dict.fromkeys(reversed(labels), curve)
    html = comparison_page([Compared("a", one)])
    titles = re.findall(r"<b>Radial distribution functions, (\w+)\.</b>", html)
    assert titles == ["X0", "X1", "X2", "X3"]
    assert "the 4 systems of 9 with the lowest R²" in html
    assert "<b>R² of g(r) over the systems, a.</b>" in html  # of those that are not shown, too


def test_what_was_not_computed_is_left_out_and_not_made_up():
    one = content()
    one["diffusivity"] = {"points": [], "activation_energy": [], "log10_mae": None}
    one["rdf"] = {"systems": [], "curves": {}, "settings": {}}
    del one["verdict"]["diffusivity"], one["verdict"]["rdf"]
    html = comparison_page([Compared("a", one)])
    assert "Diffusivities" not in html
    assert "None" not in re.sub(r"(?s)<script.*?</script>", "", html)


def test_an_unbounded_motion_shows_its_bound():
    one = content()
    side = one["diffusivity"]["points"][0]["surrogate"]
    side |= {"D_cm2_s": None, "D_interval68_cm2_s": None, "D_upper_bound_cm2_s": 3.4e-7}
    one["diffusivity"]["points"][0] |= {"log10_ratio": None, "log10_ratio_interval68": None}
    assert "&lt; 3.40 × 10⁻⁷" in comparison_page([Compared("a", one)])


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path):
    with pytest.raises(InputError, match="no does not exist"):
        write_comparison_report(tmp_path / "no" / "r.html", [Compared("a", content())])
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="nothing is overwritten"):
        write_comparison_report(tmp_path / "notes.txt", [Compared("a", content())])


def test_without_jinja_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mlmd\[report\]"):
        comparison_page([Compared("a", content())])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.2111868e-4, "2.21 × 10⁻⁴"),
        (9.999e-5, "1.00 × 10⁻⁴"),
        (0.99771, "0.998"),
        (0.0, "0"),
        (-0.0982, "\N{MINUS SIGN}0.0982"),
        (123456.0, "1.23 × 10⁵"),
        (2000, "2000"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "interval", "text"),
    [
        (2.211e-4, (1.9e-4, 2.5e-4), "2.21 [1.90, 2.50] × 10⁻⁴"),
        (0.21, (0.14, 0.28), "0.210 [0.140, 0.280]"),
        (0.798, (0.733, 0.868), "0.798 [0.733, 0.868]"),
        (13.04, (11.2, 14.9), "13.0 [11.2, 14.9]"),
        (5e-6, (-1e-6, 11e-6), "0.50 [\N{MINUS SIGN}0.10, 1.10] × 10⁻⁵"),
        (1.0, None, "1.00"),
    ],
)
def test_intervals_have_two_digits_of_their_width(value, interval, text):
    assert with_interval(value, interval) == text


def test_all_digits_go_into_the_csv():
    assert float(value_of(0.1 + 0.2)) == 0.1 + 0.2
    assert value_of(None) == value_of(float("inf")) == ""


def test_every_limit_and_property_of_a_comparison_has_words():
    from mlmd.comparison import Thresholds

    assert set(THRESHOLDS) == set(Thresholds.__dataclass_fields__)
    assert limit_in_words("coordination_relative", 0.05) == "within 5 %"
    assert limit_in_words("share", 0.925) == "in 92.5 % of the systems"
    assert len({name for name, _, _ in PROPERTIES.values()}) == len(PROPERTIES)


def test_many_diffusivities_are_drawn_against_the_reference():
    one = content()
    (first, *_) = one["diffusivity"]["points"]
    one["diffusivity"]["points"] = [
        {**first, "label": f"X{i}", "composition": f"X{i}"} for i in range(20)
    ]
    html = comparison_page([Compared("a", one)])
    assert "<b>Diffusivities, a.</b>" in html
    assert "The band is a factor of 2." in html
