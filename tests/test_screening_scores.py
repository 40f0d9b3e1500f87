"""Scores of rankings: known answers, chance, ties, and the numbers of the paper."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from mlmd.errors import InputError
from mlmd.screening.scores.average_precision import average_precision
from mlmd.screening.scores.enrichment import enrichment
from mlmd.screening.scores.labels import Labels, smoothed_labels
from mlmd.screening.scores.partial_area import RANDOM, partial_area, ranking_score


def labels(good: list[float], bad: list[float]) -> Labels:
    return Labels(np.array(good, float), np.array(bad, float))


def test_labels_are_integrals_of_a_gaussian():
    found = smoothed_labels([1.0, 5.0, 0.1, 5.0], [0.5, 2.0, 0.0, 0.0], 5.0, 1.0)
    assert found.good == pytest.approx([norm.sf(5.0, 1.0, 0.5), 0.5, 0.0, 0.0])
    assert found.bad == pytest.approx([0.5, norm.cdf(1.0, 5.0, 2.0), 1.0, 0.0])


def test_a_perfect_order_scores_one_and_its_reverse_zero():
    values = np.arange(40.0)
    good = (values >= 30).astype(float)
    assert partial_area(values, good, 1 - good) == 1.0
    assert partial_area(-values, good, 1 - good) == 0.0


def test_ties_and_chance_score_what_chance_does():
    good = np.array([1.0, 0, 0, 1, 0, 0, 0, 1])
    assert partial_area(np.zeros(8), good, 1 - good) == pytest.approx(RANDOM) == 0.05
    rng = np.random.default_rng(3)
    many = (rng.random(3000) < 0.3).astype(float)
    scores = [partial_area(rng.random(3000), many, 1 - many) for _ in range(100)]
    assert np.mean(scores) == pytest.approx(RANDOM, abs=3 * np.std(scores) / 10)


def test_a_curve_by_hand():
    """20 bad ones: one before the first of two good ones, the other last.

    The curve is 0 up to 1/20, 1/2 from there on: half the range at one half.
    """
    values = -np.arange(22.0)
    good = np.zeros(22)
    good[[1, 21]] = 1
    assert partial_area(values, good, 1 - good) == pytest.approx(0.25)


def test_weights_count_as_copies_do():
    rng = np.random.default_rng(0)
    values, good = rng.random(12), rng.integers(0, 2, 12).astype(float)
    times = rng.integers(1, 4, 12)
    repeated = [np.repeat(one, times) for one in (values, good, 1 - good)]
    assert partial_area(values, good * times, (1 - good) * times) == pytest.approx(
        partial_area(*repeated)
    )


def test_the_order_alone_decides_and_infinite_values_are_the_worst():
    rng = np.random.default_rng(1)
    values = rng.random(30)
    good = (values + 0.3 * rng.random(30) > 0.7).astype(float)
    weights = labels(list(good), list(1 - good))
    one = ranking_score(values, weights, np.random.default_rng(5), 50)
    assert one == ranking_score(np.exp(3 * values), weights, np.random.default_rng(5), 50)
    worst = np.where(values == values.min(), -np.inf, values)
    assert one == ranking_score(worst, weights, np.random.default_rng(5), 50)
    assert one.low <= one.value <= one.high
    assert 0 < one.error < 0.5


def test_the_bootstrap_error_is_the_scatter_of_new_sets():
    """Sets drawn anew from one population scatter as the bootstrap of one of them says."""

    def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        good = np.repeat([1.0, 0.0], [40, 200])
        return rng.normal(1.5 * good), good

    scatter = np.std([partial_area(v, g, 1 - g) for v, g in map(drawn, range(300))])
    values, good = drawn(0)
    score = ranking_score(values, Labels(good, 1 - good), np.random.default_rng(0), 300)
    assert score.error == pytest.approx(scatter, rel=0.35)


def test_average_precision_of_perfect_reversed_and_random_orders():
    rng = np.random.default_rng(0)
    values = np.arange(50.0)
    certain = np.zeros(50)
    assert average_precision(values, values, certain, rng) == 1.0
    assert average_precision(-values, values, certain, rng) == 0.0
    # k of 50 in both by chance: the mean of k / 50 over k = 1...5.
    tied = average_precision(np.zeros(50), values, certain, rng, n_samples=4000)
    assert tied == pytest.approx(0.06, abs=0.01)
    assert average_precision(values, values, certain + 20, rng) < 0.7


def test_the_enrichment_of_the_paper():
    """55 of the best 100 conduct, and 2 of 29 at random: about eight times as many."""
    found = enrichment(55, 100, 2, 29, np.random.default_rng(0))
    assert found.ratio == pytest.approx(7.975)
    assert 2 < found.low < 4
    assert 15 < found.high < 60
    none = enrichment(5, 10, 0, 30, np.random.default_rng(0))
    assert none.ratio == np.inf
    assert np.isfinite([none.low, none.high]).all()


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: smoothed_labels([1.0], [-1.0], 2, 1), "at least zero"),
        (lambda: smoothed_labels([1.0], [1.0], 1, 2), "bad_below"),
        (lambda: smoothed_labels([np.nan], [1.0], 2, 1), "finite"),
        (lambda: ranking_score([1.0], labels([1], [0]), np.random.default_rng()), "of both"),
        (lambda: ranking_score([1.0, 2], labels([1], [1]), np.random.default_rng()), "for each"),
        (lambda: enrichment(5, 3, 1, 2, np.random.default_rng()), "at most 3"),
    ],
)
def test_what_cannot_be_scored_is_refused(call, what):
    with pytest.raises(InputError, match=what):
        call()
