"""The page of a campaign in a real browser: what a reader sees and finds is what was measured."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from browser import Page, browser, needs_chromium

from mlmd.campaign import Campaign, CampaignResults, results_of, state_of
from mlmd.campaign.journal import FAILED, Journal
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError
from mlmd.report import write_campaign_report
from mlmd.report.campaign.contents import page_contents, shown_first
from mlmd.report.campaign.report import campaign_page
from mlmd.report.page.elements import of_diffusivity
from mlmd.report.page.figures import PageFigure

pytest.importorskip("jinja2", reason="needs the report extra")

EVIL = '<script>document.title="hacked"</script><img src=x onerror=alert(1)>'
TABLE = """[...document.querySelectorAll('#table tr.line')].map(row =>
    [...row.cells].map(cell => cell.firstChild ? cell.firstChild.textContent : ''))"""
COUNT = "document.getElementById('count').textContent"


def choose(page: Page, **values: str) -> None:
    """Set filters as a reader does."""
    for name, value in values.items():
        page.evaluate(
            f"document.getElementById('filters').elements.{name}.value = {json.dumps(value)}"
        )
    page.evaluate("document.getElementById('filters').dispatchEvent(new Event('input'))")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """One browser for all tests here."""
    with browser() as tab:
        yield tab


@pytest.fixture(scope="module")
def results(six_cases: Path) -> CampaignResults:
    return results_of(Campaign.load(six_cases))


@pytest.fixture(scope="module")
def report(six_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "six.html"
    assert run_command_line(["campaign", "report", str(six_cases), "-o", str(path)]) == 0
    return path


@needs_chromium
def test_nothing_is_asked_of_the_network_and_the_console_is_silent(page, report):
    for width in (1280, 700):
        page.open(report, width=width)
        page.evaluate("document.querySelector('tr.line').click()")
        assert page.evaluate("document.querySelectorAll('tr.detail svg.law circle').length") > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.complaints() == []
        assert [one for one in page.requests() if not one.startswith("data:")] == [report.as_uri()]


@needs_chromium
def test_lines_are_those_of_the_results(page, report, results):
    page.open(report)
    choose(page, species="")
    assert page.evaluate(COUNT) == "32 of 32 lines"
    expected = [
        [
            row.formula,
            f"{row.temperature_K:g}",
            symbol,
            of_diffusivity(one.D_cm2_s, one.D_interval68_cm2_s, one.D_upper_bound_cm2_s).text,
        ]
        for row in results.rows
        for symbol, one in row.species.items()
    ]
    shown = page.evaluate(TABLE)
    assert [[line[0], line[2], line[3], line[4]] for line in shown] == expected


def test_numbers_in_the_page_have_all_their_digits(six_cases, report, results):
    text = report.read_text().partition('id="content">')[2].partition("</script>")[0]
    found = json.loads(text)
    assert [line[5:9] for line in found["lines"]] == [
        [one.D_cm2_s, *one.D_interval68_cm2_s, one.D_upper_bound_cm2_s]
        for row in results.rows
        for one in row.species.values()
    ]
    assert len(found["owners"]) == 6 + 2


@needs_chromium
def test_filters_and_sorting(page, report, results):
    page.open(report)
    assert shown_first(results) == "Li"
    assert page.evaluate(COUNT) == "16 of 32 lines"
    choose(page, text="LiF")
    assert {line[0] for line in page.evaluate(TABLE)} == {"LiF"}
    choose(page, text="", T="2500", melts="n")
    shown = page.evaluate(TABLE)
    assert len(shown) == 2
    assert all(line[2] == "2500" for line in shown)
    choose(page, T="", melts="", verdict="diffusive")
    shown = page.evaluate(TABLE)
    n = sum(row.species["Li"].verdict == "diffusive" for row in results.rows)
    assert len(shown) == n
    for _ in range(2):  # down
        page.evaluate("document.querySelectorAll('button.sort')[4].click()")
    D = sorted((row.species["Li"].D_cm2_s for row in results.rows if
                row.species["Li"].D_cm2_s is not None), reverse=True)  # fmt: skip
    assert [line[4] for line in page.evaluate(TABLE)] == [
        of_diffusivity(row.species["Li"].D_cm2_s, row.species["Li"].D_interval68_cm2_s, None).text
        for one in D
        for row in results.rows
        if row.species["Li"].D_cm2_s == one
    ]
    choose(page, text="nothing like it")
    assert page.evaluate(COUNT) == "0 of 32 lines"


@needs_chromium
def test_a_composition_is_its_melts_pooled(page, report, results):
    page.open(report)
    choose(page, view="laws")
    shown = page.evaluate(TABLE)
    pooled = {row.formula: row for row in results.rows if row.n_melts == 3}
    assert [line[0] for line in shown] == list(pooled)
    for line in shown:
        E_a = pooled[line[0]].laws["Li"]["E_a_eV"]
        assert (E_a is None) or line[2].startswith(f"{E_a:.2f}"[:-1])
    assert page.evaluate("document.querySelectorAll('svg.spark circle, svg.spark path').length") > 0
    page.evaluate("document.querySelector('tr.line').click()")
    assert page.evaluate("document.querySelectorAll('tr.detail a').length") == 3


@needs_chromium
def test_links_lead_to_the_runs_from_wherever_the_page_is(page, six_cases, tmp_path):
    shutil.copytree(six_cases.parent, tmp_path / "a b#c?")
    campaign = Campaign.load(tmp_path / "a b#c?" / six_cases.name)
    first = campaign.folder / campaign.cases[0].name
    (first / "report.html").write_text("of the run")
    for place in (tmp_path / "other.html", None):
        path = write_campaign_report(campaign, place)
        page.open(path)
        choose(page, melts="1")
        for number in (0, 2):
            page.evaluate(f"document.querySelectorAll('tr.line')[{number}].click()")
        links = page.evaluate("[...document.querySelectorAll('tr.detail a')].map(one => one.href)")
        places = [Path(unquote(urlparse(link).path)) for link in links]
        assert places[0] == first / "report.html"
        assert places[1] == campaign.folder / campaign.cases[1].name
        assert all(one.exists() for one in places)
    assert path == campaign.folder / "report.html"


@needs_chromium
def test_markup_in_names_and_messages_is_text(page, six_cases, tmp_path, results):
    campaign = replace(Campaign.load(six_cases), name=EVIL)
    rows = [
        replace(row, formula=EVIL, stage=EVIL, flags=(EVIL,), calculator=EVIL)
        for row in results.rows
    ]
    changed = CampaignResults(tuple(rows), {campaign.cases[0].name: EVIL, EVIL: EVIL})
    state = state_of(campaign)
    failed = {campaign.cases[1].name: {"kind": EVIL, "message": EVIL}}
    (tmp_path / "evil.html").write_text(
        campaign_page(campaign, changed, replace(state, failures=failed), tmp_path)
    )
    page.open(tmp_path / "evil.html")
    page.evaluate("document.querySelectorAll('tr.line').forEach(row => row.click())")
    choose(page, view="laws")
    page.evaluate("document.querySelectorAll('tr.line').forEach(row => row.click())")
    assert page.evaluate("document.title") == EVIL
    assert page.evaluate("document.querySelectorAll('main img').length") == 0
    assert page.evaluate("document.scripts.length") == 2
    assert page.evaluate(TABLE)[0][0] == EVIL
    assert page.complaints() == []


@needs_chromium
def test_failures_are_said_by_kind_and_in_the_table(page, six_cases, tmp_path):
    file = tmp_path / six_cases.name
    shutil.copytree(six_cases.parent, tmp_path, dirs_exist_ok=True)
    file.write_text(file.read_text().replace("seeds: 3", "seeds: 5"))
    campaign = Campaign.load(file)
    for case, kind in zip(campaign.cases[6:9], ("unstable", "unstable", "no_volume"), strict=True):
        Journal(campaign.folder).write(case.name, FAILED, kind=kind, message="atom 7 left")
    page.open(write_campaign_report(campaign))
    told = page.evaluate("[...document.querySelectorAll('summary')].map(one => one.textContent)")
    assert told == ["2 unstable", "1 no volume"]
    legend = page.evaluate(
        "[...document.querySelectorAll('.legend li')].map(one => one.textContent)"
    )
    assert legend == ["6 done", "3 failed", "1 waiting"]
    choose(page, state="failed")
    shown = page.evaluate(TABLE)
    assert len(shown) == 3
    assert all("atom 7 left" in line for line in shown)
    choose(page, state="waiting")
    assert len(page.evaluate(TABLE)) == 1


def test_a_page_is_made_anew_and_nobodys_replaced(six_cases, tmp_path, capsys):
    out = tmp_path / "o.html"
    command = ["campaign", "report", str(six_cases), "-o", str(out)]
    assert run_command_line(command) == 0
    assert run_command_line(command) == 0
    out.write_text(out.read_text() + "mine")
    assert run_command_line(command) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert run_command_line([*command, "--force"]) == 0
    assert os.listdir(tmp_path) == [out.name]


def test_what_is_missing_is_said(six_cases, tmp_path, monkeypatch, capsys):
    file = tmp_path / "new.yaml"
    file.write_text(
        six_cases.read_text().replace("liquid.yaml", str(six_cases.parent / "liquid.yaml"))
    )
    with pytest.raises(InputError, match="has not been begun"):
        write_campaign_report(Campaign.load(file))
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "jinja2" else real(name)
    )
    assert run_command_line(["campaign", "report", str(six_cases)]) == 2
    assert "pip install 'mlmd[report]'" in capsys.readouterr().err


def test_other_pictures_can_be_added(six_cases, tmp_path):
    from markupsafe import Markup

    def figures(results: CampaignResults) -> list[PageFigure]:
        return [PageFigure(Markup("<svg id='mine'></svg>"), f"{len(results.rows)} rows", "Seen.")]

    path = write_campaign_report(Campaign.load(six_cases), tmp_path / "o.html", figures=figures)
    assert "<svg id='mine'></svg>" in path.read_text()
    assert "16 rows" in path.read_text()


def test_cases_that_have_nothing_yet_are_lines_too(six_cases, tmp_path, results):
    campaign = Campaign.load(six_cases)
    one = CampaignResults((), {campaign.cases[0].name: "damaged"})
    found = page_contents(campaign, one, state_of(campaign), tmp_path)
    assert found["lines"] == []
    states = [found["texts"][owner[5]] for owner in found["owners"]]
    assert states == ["not measured", *["done"] * 5]


@pytest.mark.slow
@needs_chromium
def test_five_thousand_productions_are_usable(page, repository, tmp_path):
    place = repository / "benchmarks" / "campaign_report.py"
    spec = importlib.util.spec_from_file_location("campaign_report", place)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    campaign, many, state = benchmark.made(5000)
    file = tmp_path / "large.html"
    file.write_text(campaign_page(campaign, many, state, tmp_path))
    page.open(file)
    ready_ms = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert ready_ms < 3000
    took_ms = page.evaluate(
        "(() => { const f = document.getElementById('filters'), t = performance.now(); "
        "f.elements.text.value = 'li2br'; f.dispatchEvent(new Event('input')); "
        "document.body.offsetHeight; return performance.now() - t; })()"
    )
    assert took_ms < 300
    assert page.evaluate("document.querySelectorAll('tr.line').length") <= 50
