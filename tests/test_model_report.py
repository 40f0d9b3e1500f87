"""The report of a model: its numbers are those that were computed, and a browser can read it."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from browser import browser, needs_chromium
from matplotlib.colors import to_hex

pytest.importorskip("jinja2", reason="needs the report extra")
pytest.importorskip("sklearn", reason="needs the model extra")
pandas = pytest.importorskip("pandas", reason="needs the model extra")

from mlmd.errors import InputError  # noqa: E402
from mlmd.model import TrainingTable, cross_validate  # noqa: E402
from mlmd.model.explaining.importance import permutation_importance  # noqa: E402
from mlmd.model.explaining.learning_curve import arrhenius_scatter, learning_curve  # noqa: E402
from mlmd.model.explaining.loss_curve import loss_curve  # noqa: E402
from mlmd.model.explaining.pearson import pearson_table  # noqa: E402
from mlmd.model.explaining.shapley import shap_values  # noqa: E402
from mlmd.model.validation.cross_validation import OutOfFold  # noqa: E402
from mlmd.plot.coverage import plot_coverage  # noqa: E402
from mlmd.plot.importance import plot_importance, plot_shap_values  # noqa: E402
from mlmd.plot.model_curves import plot_learning_curve, plot_loss_curve  # noqa: E402
from mlmd.plot.prediction_parity import plot_prediction_parity  # noqa: E402
from mlmd.plot.style import COLOURS  # noqa: E402
from mlmd.report.model.report import model_page, write_model_report  # noqa: E402
from mlmd.studies.model_study import ModelStudy  # noqa: E402

EVIL = '<script>document.title="hacked"</script><img src=x onerror=alert(1)>'
PAPER = {"rmse": 0.141, "rmse_std": 0.009, "test_rmse": 0.12, "test_r2": 0.955}


@dataclass(frozen=True, eq=False)
class WithDeviation(OutOfFold):
    """Predictions of a model that says how sure it is."""

    deviation: np.ndarray | None = None


def table() -> TrainingTable:
    """Forty formulas at three temperatures."""
    rng = np.random.default_rng(1)
    others = ["Cl", "F", "O", "S", "Br", "I", "N", "P"]
    pairs = [f"Li{1 + i}{a}" for i in range(5) for a in others]
    temperature_K = np.tile([1000.0, 1500.0, 2500.0], len(pairs))
    columns = {"AAV": (12, 22), "PF": (0.2, 0.8), "density": (1, 4), "LNC": (4, 20)}
    frame = pandas.DataFrame(
        {k: np.repeat(rng.uniform(*ends, len(pairs)), 3) for k, ends in columns.items()}
    )
    ln_D = -9 + 0.1 * frame.AAV.to_numpy() - 0.3 / (8.617333262e-5 * temperature_K)
    ln_D += rng.normal(0, 0.1, len(ln_D))
    return TrainingTable(frame, tuple(np.repeat(pairs, 3)), temperature_K, np.exp(ln_D), "mlmd")


@pytest.fixture(scope="module")
def study() -> ModelStudy:
    """Everything that a page can show."""
    rows = table()
    problem = rows.problem()
    names = ("published", "random", "chemical_system", "element")
    reports = [
        cross_validate(problem, "random_forest", name, n_repeats=2 if "_" in name else 1)
        for name in names
    ]
    for i, one in enumerate(reports):
        out = one.out_of_fold
        sure = WithDeviation(out.row, out.fold, out.true, out.predicted, np.full(len(out.row), 0.2))
        reports[i] = replace(one, out_of_fold=sure)
    return ModelStudy(
        problem,
        tuple(reports),
        rows.temperature_K,
        PAPER,
        permutation_importance(problem, "random_forest"),
        shap_values(problem, "random_forest", method="sampled", n_background=4),
        (pearson_table(rows), pearson_table(rows, 1000.0)),
        loss_curve(problem, "random_forest", "chemical_system"),
        learning_curve(problem, "ridge", shares=(0.5, 1.0)),
        arrhenius_scatter(rows),
        {"seed": "0"},
        {"scikit-learn": "1"},
    )


@pytest.fixture(scope="module")
def html(study) -> str:
    return model_page(study)


def embedded(html: str) -> dict:
    found = re.search(r'(?s)<script type="application/json" id="content">(.*?)</script>', html)
    return json.loads(found[1])


def data_of(html: str) -> list[float]:
    return [float(one) for one in re.findall(r'<data value="([^"]+)"', html)]


def test_the_same_study_gives_the_same_bytes(html, study):
    assert model_page(study) == html


def test_every_id_is_there_once_and_every_reference_has_its_target(html):
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)) > 100
    used = re.findall(r'href="#([^"]+)"', html) + re.findall(r"url\(#([^)]+)\)", html)
    assert set(used) <= set(ids)
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"https?://[^\"'\s<)]+", html)) <= names


def test_the_tables_have_the_numbers_of_the_study(html, study):
    seen = data_of(html)
    for report in study.reports:
        assert {report.rmse, report.mae} <= set(seen)
        if report.folds == "element":
            assert {one.rmse for one in report.by_fold} <= set(seen)
    published = study.reports[0]
    assert {published.test.rmse, published.test.r2, *PAPER.values()} - {0.009} <= set(seen)
    importance = study.shap.importance()
    assert {*study.permutation.mean, *importance.mean} <= set(seen)
    assert {one.r for one in study.pearson[1].rows} <= set(seen)
    out = study.reports[2].out_of_fold
    error = np.abs(out.predicted - out.true)
    cold = study.temperature_K[out.row] == 1000
    assert float(np.sqrt(np.mean(error[cold] ** 2))) in seen
    assert 100 * float(np.mean(error[cold] <= 0.2)) in seen
    assert 100 * float(np.mean(error <= 1.959964 * 0.2)) in seen


def test_the_page_is_about_new_materials_first(html, study):
    rmse = study.reports[2].rmse
    text = f"{rmse:.3f} in ln D, a factor of {np.exp(rmse):.2f} in D, by folds chemical system"
    assert text in html.replace("\n", " ")
    for folds in ("published", "random"):
        assert f"doubt: folds {folds} have formulas or chemical systems on both sides" in html


def test_the_numbers_of_the_figures_are_in_the_page(html, study):
    found = embedded(html)
    assert found["table_sha256"] == study.problem.sha256
    assert set(found["predictions"]) == {"published", "chemical_system"}
    out = study.reports[2].out_of_fold
    assert found["predictions"]["chemical_system"]["predicted"] == out.predicted.tolist()
    assert found["loss"]["left_out"] == study.loss.left_out.tolist()
    assert found["learning"]["n_groups"] == study.learning.n_groups.tolist()
    total = np.sum(list(found["shap"]["values"].values()), axis=0) + found["shap"]["base"]
    assert total == pytest.approx(study.shap.predicted, abs=1e-4)
    blocks = dict(re.findall(r'(?s)<pre id="(csv-\w+)"[^>]*>(.*?)</pre>', html))
    curves = list(csv.DictReader(io.StringIO(blocks["csv-curves"])))
    assert float(curves[-1]["left_out"]) == study.loss.left_out[-1].mean()
    scores = list(csv.DictReader(io.StringIO(blocks["csv-scores"])))
    assert len(scores) == sum(len(one.by_fold) + 1 for one in study.reports) + 1
    features = list(csv.DictReader(io.StringIO(blocks["csv-features"])))
    assert {one["measure"] for one in features} == {"permutation", "shap", "pearson", "spearman"}


def test_what_was_not_computed_is_left_out(study):
    plain = cross_validate(study.problem, "ridge", "chemical_system")
    html = model_page(ModelStudy(study.problem, (plain,)))
    for word in ("SHAP", "Pearson", "Learning curve", "Coverage", "hold (%)", "Versions", "paper"):
        assert word not in html.partition("<script")[0].partition("</style>")[2], word
    assert html.count("<figure>") == 1
    assert "None" not in re.sub(r"(?s)<(script|style).*?</\1>", "", html)
    assert embedded(html)["permutation"] is None


def test_names_from_outside_stay_text(study):
    html = model_page(replace(study, how={EVIL: EVIL}, versions={EVIL: EVIL}))
    assert EVIL not in html
    assert html.count("<script") == 2


def test_parts_that_do_not_belong_together_are_refused(study, tmp_path):
    with pytest.raises(InputError, match="needs a cross-validation"):
        replace(study, reports=())
    with pytest.raises(InputError, match="3 temperatures for 120 rows"):
        replace(study, temperature_K=np.ones(3))
    other = replace(study.reports[0], model="ridge")
    with pytest.raises(InputError, match="not all of one model"):
        replace(study, reports=(study.reports[0], other))
    with pytest.raises(InputError, match="no does not exist"):
        write_model_report(tmp_path / "no" / "r.html", study)


@needs_chromium
def test_a_browser_shows_it_at_any_width_and_prints_it(study, tmp_path):
    path = write_model_report(tmp_path / "model.html", study)
    with browser() as page:
        for width in (320, 768, 1200):
            page.open(path, width=width, mobile=width < 500)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.complaints() == []
        assert [one for one in page.requests() if not one.startswith("data:")] == [path.as_uri()]
        titles = page.evaluate(
            "[...document.querySelectorAll('figcaption b')].map(b => b.innerText)"
        )
        assert len(titles) == 7
        assert len(page.send("Page.printToPDF", preferCSSPageSize=True)["data"]) > 10_000


def test_parity_has_every_point_with_its_error_bar_and_the_scores(study):
    out = study.reports[2].out_of_fold
    T = study.temperature_of(out)
    deviation = np.linspace(0.1, 0.3, len(out.row))
    ax = plot_prediction_parity(out, deviation=deviation, temperature_K=T)
    points = np.concatenate([line.get_xydata() for line in ax.lines[:-1]])
    drawn = {tuple(row) for row in points}
    assert drawn == set(zip(out.true, out.predicted, strict=True))
    bars = [bar for box in ax.containers for bar in box.lines[2][0].get_segments()]
    heights = sorted(float(np.ptp(bar[:, 1])) / 2 for bar in bars)
    assert heights == pytest.approx(sorted(deviation))
    (corner,) = [text.get_text() for text in ax.texts]
    rmse = np.sqrt(np.mean((out.predicted - out.true) ** 2))
    assert f"RMSE {rmse:.3f}" in corner
    assert "120 rows, 2 times each" in corner
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "1000 K", "1500 K", "2500 K"
    ]  # fmt: skip
    many = plot_prediction_parity(out, temperature_K=np.linspace(300, 900, len(out.row)))
    assert "300 to 450 K" in [text.get_text() for text in many.get_legend().get_texts()]
    with pytest.raises(InputError, match="1 values of deviation"):
        plot_prediction_parity(out, deviation=np.ones(1))


def test_coverage_of_normal_errors_lies_on_the_diagonal():
    rng = np.random.default_rng(0)
    deviation = rng.uniform(0.1, 2.0, 20_000)
    error = rng.normal(0, deviation)
    said, held = plot_coverage(error, deviation).lines[1].get_data()
    assert held == pytest.approx(said, abs=1.5)
    narrow = plot_coverage(error, deviation / 2)
    # Half as wide: an interval of 68 % holds 38 %, one of 95 % holds 67 %.
    shown = [text.get_text() for text in narrow.get_legend().get_texts()]
    assert shown[-2:] == ["68 % hold 38 %", "95 % hold 67 %"]
    with pytest.raises(InputError, match="not above zero"):
        plot_coverage(error, 0 * deviation)


def test_bars_and_points_are_the_importances(study):
    ax = plot_importance(study.permutation, n_features=3)
    assert [bar.get_width() for bar in ax.patches] == list(study.permutation.mean[:3])
    assert [text.get_text() for text in ax.get_yticklabels()] == list(
        study.permutation.features[:3]
    )
    assert ax.yaxis_inverted()  # the most important above
    found = plot_shap_values(study.shap, n_features=2)
    first = study.shap.importance().features[0]
    column = list(study.problem.X.columns).index(first)
    x, y = np.asarray(found.collections[0].get_offsets()).T
    assert x == pytest.approx(study.shap.values[:, column])
    assert np.abs(y).max() < 0.5  # stays in its row
    # inverse_kbT: the largest are the coldest, whose ln D is the smallest.
    colour = np.asarray(found.collections[0].get_array())
    assert np.corrcoef(colour, study.shap.values[:, column])[0, 1] < -0.8
    with pytest.raises(InputError, match="n_features is 0"):
        plot_importance(study.permutation, n_features=0)


def test_curves_are_means_over_the_folds(study):
    ax = plot_loss_curve(study.loss)
    by_colour = {to_hex(line.get_color()).upper(): line for line in reversed(ax.lines)}
    assert by_colour[COLOURS[1]].get_ydata() == pytest.approx(study.loss.left_out.mean(axis=1))
    assert by_colour[COLOURS[0]].get_ydata() == pytest.approx(study.loss.learnt.mean(axis=1))
    assert "with 100 trees" in ax.get_legend().get_texts()[-1].get_text()
    learning = plot_learning_curve(study.learning, noise_floor=0.18)
    assert learning.lines[0].get_xdata() == pytest.approx(study.learning.n_groups)
    assert learning.lines[-1].get_ydata() == pytest.approx([0.18, 0.18])
    assert learning.get_xlabel() == "Number of chemical systems learnt from"
