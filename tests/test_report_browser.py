"""Reports in a real browser without a network: what a reader sees is what was computed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, browser, needs_chromium
from comparison_contents import content

from mlmd.report import Compared, write_comparison_report
from mlmd.report.page.elements import Group

pytestmark = needs_chromium
pytest.importorskip("jinja2", reason="needs the report extra")

EVIL = '<script>document.title="hacked"</script><img src=x onerror=alert(1)>'
LONG = "a-very-long-label-of-a-potential-" * 6


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """One browser for all tests here."""
    with browser() as tab:
        yield tab


@pytest.fixture(scope="module")
def contents() -> dict[str, dict]:
    """Two surrogates that differ in every number."""
    return {"good": content(), "bad": content(shift=0.05, D_factor=2.3, answer="no")}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, dict]) -> Path:
    """A report with everything on it."""
    surrogates = [Compared(label, one) for label, one in contents.items()]
    surrogates.append(Compared("third", None, "stage 'production' failed: atom 7 left"))
    path = tmp_path_factory.mktemp("report") / "report.html"
    settings = [Group("Runs", (("file", "/a/path/" + "that-is-long-" * 20),))]
    return write_comparison_report(path, surrogates, settings=settings, ranking="Best first.")


def test_nothing_is_asked_of_the_network_and_the_console_is_silent(page, report):
    page.open(report)
    assert page.evaluate("document.querySelectorAll('figure svg').length") == 3
    assert page.complaints() == []
    assert [one for one in page.requests() if not one.startswith("data:")] == [report.as_uri()]


def test_the_numbers_on_the_page_are_those_of_the_json(page, report, contents):
    page.open(report)
    embedded = page.evaluate("document.getElementById('content').textContent")
    assert [one["comparison"] for one in json.loads(embedded)["surrogates"]] == [
        *json.loads(json.dumps(list(contents.values()))),
        None,
    ]
    rows = page.evaluate("""[...document.querySelectorAll('tr[data-property]')].map(row => [
        row.dataset.surrogate, row.dataset.property, row.dataset.temperature, row.dataset.answer,
        row.querySelector('.mark b').textContent,
        Number(row.querySelector('data').value)])""")
    expected = []
    for label, one in contents.items():
        for key, verdict in one["verdict"].items():
            parts = {"": verdict, **verdict["by_temperature"]}
            expected += [
                [label, key, T, part["answer"], part["answer"], part["value"]]
                for T, part in parts.items()
            ]
    assert rows == expected
    seen = page.evaluate("[...document.querySelectorAll('table data')].map(one => +one.value)")
    for one in contents.values():
        for point in one["diffusivity"]["points"]:
            assert point["surrogate"]["D_cm2_s"] in seen
            assert point["reference"]["D_cm2_s"] in seen
        for system in one["rdf"]["systems"]:
            assert {system["r2_pooled"], system["r2_noise_ceiling"], system["excess"]} <= set(seen)


def test_what_is_shown_is_the_number_behind_it(page, report):
    page.open(report)
    pairs = page.evaluate("""[...document.querySelectorAll('table data')].map(
        one => [one.textContent.trim(), +one.value])""")
    assert len(pairs) > 30
    for text, value in pairs:
        number = text.replace("\N{MINUS SIGN}", "-")
        for word in ("R² ", "off by ", "overlap ", "log₁₀ ratio "):
            number = number.removeprefix(word)
        head, _, power = number.partition(" × 10")
        digits = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        shown = float(head.split()[0]) * 10.0 ** int(digits or 0)
        assert shown == pytest.approx(value, rel=0.06, abs=1e-9), text


@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_no_width_needs_scrolling_sideways(page, report, width):
    page.open(report, width=width, mobile=width < 500)
    page_width = page.evaluate("document.documentElement.scrollWidth")
    assert page_width <= page.evaluate("document.documentElement.clientWidth") == width


def test_a_long_label_neither_breaks_a_phone_nor_a_desk(page, tmp_path):
    path = write_comparison_report(tmp_path / "report.html", [Compared(LONG, content())])
    for width in (360, 1200):
        page.open(path, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_names_from_outside_stay_text(page, tmp_path):
    one = content(composition=EVIL)
    one["warnings"] = one["missing"][EVIL] = EVIL
    one["warnings"] = [EVIL, "</script><script>document.title='hacked'</script>"]
    surrogates = [Compared(EVIL, one), Compared(f"{EVIL} $x^2$", None, EVIL)]
    settings = [Group(EVIL, ((EVIL, EVIL),))]
    path = write_comparison_report(tmp_path / "report.html", surrogates, settings=settings)
    page.open(path)
    assert EVIL in page.evaluate("document.title")
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert page.evaluate("document.querySelectorAll('script').length") == 2  # data and our own
    assert page.complaints() == []


def test_even_a_script_that_got_in_would_not_run(page, report, tmp_path):
    broken = tmp_path / "broken.html"
    text = report.read_text(encoding="utf-8")
    broken.write_text(text.replace("<main>", "<main><script>document.title='hacked'</script>"))
    page.open(broken)
    assert page.evaluate("document.title") != "hacked"
    assert any("Content Security Policy" in one for one in page.complaints())


def test_answers_differ_in_more_than_colour(page, report):
    page.open(report)
    marks = page.evaluate("""[...document.querySelectorAll('.mark')].map(one => [
        one.querySelector('b').textContent, one.querySelector('use').getAttribute('href'),
        getComputedStyle(one).borderTopStyle])""")
    looks = {answer: {(icon, border) for word, icon, border in marks if word == answer}
             for answer in ("yes", "no", "inconclusive")}  # fmt: skip
    assert all(len(look) == 1 for look in looks.values())
    assert len({icon for look in looks.values() for icon, _ in look}) == 3


def test_dark_and_light_follow_the_reader_and_have_contrast(page, report):
    page.open(report)
    papers = set()
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.send("Emulation.setEmulatedMedia", features=features)
        colours = page.evaluate("""['body', '.note', '.mark.yes', '.mark.no', '.mark.inconclusive']
            .map(one => document.querySelector(one)).map(one => { let paper = one;
              while (getComputedStyle(paper).backgroundColor === 'rgba(0, 0, 0, 0)')
                paper = paper.parentElement;
              return [getComputedStyle(one).color, getComputedStyle(paper).backgroundColor]; })""")
        assert all(_contrast(*pair) > 4.5 for pair in colours)  # WCAG 2.2, AA
        papers.add(colours[0][1])
    page.send("Emulation.setEmulatedMedia", features=[])
    assert len(papers) == 2


def test_the_button_copies_the_table(page, report):
    page.open(report)
    page.send("Browser.grantPermissions", permissions=["clipboardReadWrite"])
    page.send("Page.bringToFront")
    page.evaluate("""navigator.clipboard.writeText = text => {
        window.copied = text; return Promise.resolve(); }""")
    page.evaluate("document.querySelector('button[data-copies=csv-numbers]').click()")
    copied = page.evaluate("window.copied")
    assert copied.startswith("surrogate,quantity,system,part,value,low,high\n")
    assert "good,D_cm2_s of the reference,Na 856 K,Na,0.00022111868," in copied
    lines = copied.splitlines()
    assert "bad,coordination of the surrogate,Na 671 K,Na-Na,13.1,," in lines
    assert len(lines) == len(set(lines))  # every number once


def test_it_prints(page, report):
    page.open(report)
    assert len(page.send("Page.printToPDF", preferCSSPageSize=True)["data"]) > 10_000


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours by WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
