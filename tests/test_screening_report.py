"""The page of a ranking: every row, every failure, every doubt, and figures that are drawn."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="needs the report extra")

from mlmd.errors import InputError
from mlmd.plot import plot_free_volumes, plot_profiles
from mlmd.report import write_screening_report
from mlmd.screening.descriptors import Descriptors, Profile
from mlmd.screening.ranking import Ranking, Screened
from mlmd.screening.scan.scan import ScanSettings


def screened(name: str, **changes) -> Screened:
    numbers = dict.fromkeys(Descriptors.__dataclass_fields__, 0.1)
    found = Descriptors(**{**numbers, "deeper_eV": 0.0, "xi_error": 0.0, **changes})
    way = Profile(0, (0.0, 1.0, 2.0), (0.0, 0.4, 0.0)) if np.isfinite(found.mpe_eV) else None
    return Screened(name, "Li2O", found, 321, ScanSettings(), profile=way)


RANKING = Ranking(
    (
        screened("good", xi=0.93),
        screened("shut", xi=0.0, mpe_eV=np.inf, known_eV=1.0, fv_connected=0.0),
        screened("also <shut>", xi=0.0, deeper_eV=0.5),
        Screened("bad & ugly", "", None, 0, ScanSettings(), "it cannot be read"),
    )
)


def test_the_page_shows_all_of_a_ranking(tmp_path):
    path = write_screening_report(tmp_path / "r.html", RANKING, {"cell": "primitive"})
    page = path.read_text("utf-8")
    assert "<shut>" not in page
    text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())
    assert "3 crystals ranked" in text
    assert "963 energies; 1 could not be ranked" in text
    for part in (
        "good",
        "also <shut>",
        "bad & ugly",
        "it cannot be read",
        ">1.00",
        "2=",
        "primitive",
    ):
        assert part in text
    for finding in RANKING.findings:
        assert finding.message.partition(": ")[2] in text
    assert page.count("<figure>") == 2


def test_figures_draw_the_numbers():
    axes = plot_profiles(RANKING)
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.0, 0.4, 0.0]] * 2
    points = [line.get_xydata()[0].tolist() for line in plot_free_volumes(RANKING).lines]
    assert sorted(points) == sorted([[0.1, 0.1], [0.1, 0.1], [0.1, 1e-5]])
    with pytest.raises(InputError, match="no way out"):
        plot_profiles(Ranking((screened("shut", mpe_eV=np.inf),)))


def test_a_ranking_of_failures_alone_has_a_page(tmp_path):
    failed = Ranking(RANKING.screened[3:])
    page = write_screening_report(tmp_path / "r.html", failed, {}).read_text("utf-8")
    assert "0 crystals ranked" in page
    assert "<figure>" not in page
