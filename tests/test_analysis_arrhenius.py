"""Activation energies: exact laws, errors that cover, and the published fits."""

import json
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtri, stdtr, stdtrit
from scipy.stats import binom

from mlmd.analysis.activation.arrhenius import activation_energy_bound, arrhenius
from mlmd.analysis.activation.points import normal_score
from mlmd.errors import InputError

KB_EV_K = 1.380649e-23 / 1.602176634e-19
PAPER = Path(__file__).parents[2] / "shared/papers/maevskiy2025_pes_descriptors.txt"


def law(T, E_a_eV=0.25, D0_cm2_s=1e-3):
    return D0_cm2_s * np.exp(-E_a_eV / (KB_EV_K * np.asarray(T, dtype=float)))


@pytest.mark.parametrize("fit", ["linear", "log"])
@pytest.mark.parametrize("E_a", [0.05, 0.25, 1.2])
def test_exact_law_is_recovered(fit, E_a):
    T = [417, 500, 667, 1000, 300]
    D = law(T, E_a, 4e-3)
    result = arrhenius(T, D, 0.1 * D, fit=fit)
    assert result.E_a_eV == pytest.approx(E_a, rel=1e-9)
    assert result.D0_cm2_s == pytest.approx(4e-3, rel=1e-8)
    assert result.chi2_per_df == pytest.approx(0.0, abs=1e-12)
    assert result.p_value == pytest.approx(1.0)
    assert result.at(800).D_cm2_s == pytest.approx(law(800, E_a, 4e-3), rel=1e-8)


@pytest.mark.parametrize("fit", ["linear", "log"])
def test_two_points_by_hand(fit):
    T1, T2, D1, D2 = 500.0, 1000.0, 2e-6, 9e-5
    s1, s2 = 0.3e-6, 2e-5
    result = arrhenius([T1, T2], [D1, D2], [s1, s2], fit=fit)
    span = (1 / T1 - 1 / T2) / KB_EV_K
    assert result.E_a_eV == pytest.approx(np.log(D2 / D1) / span)
    assert result.E_a_stderr_eV == pytest.approx(np.hypot(s1 / D1, s2 / D2) / span)
    b1, b2 = 1 / (KB_EV_K * T1), 1 / (KB_EV_K * T2)
    log_D0_error = np.hypot(b2 * s1 / D1, b1 * s2 / D2) / span
    assert result.D0_stderr_cm2_s == pytest.approx(result.D0_cm2_s * log_D0_error)
    assert (result.chi2_per_df, result.p_value, result.df, result.error_scale) == (None, None, 0, 1)
    # On the points the law is as uncertain as they are.
    for T, D, s in ((T1, D1, s1), (T2, D2, s2)):
        value = result.at(T)
        assert value.D_cm2_s == pytest.approx(D)
        assert value.D_stderr_cm2_s == pytest.approx(s)
        assert value.D_interval68_cm2_s == pytest.approx((D * np.exp(-s / D), D * np.exp(s / D)))


@pytest.mark.parametrize("fit", ["linear", "log"])
def test_interval_covers_the_true_energy_at_the_nominal_rate(fit):
    rng = np.random.default_rng(1)
    T = np.array([500, 667, 800, 1000])
    sigma = 0.12 * law(T)
    results = [
        arrhenius(T, law(T) + sigma * rng.normal(size=4), sigma, fit=fit, error_scaling="never")
        for _ in range(800)
    ]
    covered = np.mean([abs(r.E_a_eV - 0.25) < r.E_a_stderr_eV for r in results])
    assert covered == pytest.approx(0.683, abs=0.05)
    at_300 = [r.at(300).D_interval68_cm2_s for r in results]
    assert np.mean([lo < law(300) < hi for lo, hi in at_300]) == pytest.approx(0.683, abs=0.05)
    if fit == "linear":  # normal errors in D: chi-squared and p are what they say
        assert np.mean([r.chi2_per_df for r in results]) == pytest.approx(1.0, abs=0.1)
        assert np.mean([r.p_value < 0.3 for r in results]) == pytest.approx(0.3, abs=0.05)


def test_scaling_of_errors_that_are_too_small():
    rng = np.random.default_rng(2)
    T = np.array([417, 500, 600, 667, 800, 1000])
    covered = {}
    for scaling in ("up", "never"):
        inside = []
        for _ in range(500):
            D = law(T) * (1 + 0.15 * rng.normal(size=6))
            r = arrhenius(T, D, 0.05 * law(T), error_scaling=scaling)  # a third of the truth
            inside.append(abs(r.E_a_eV - 0.25) < r.E_a_stderr_eV)
        covered[scaling] = np.mean(inside)
    assert covered["up"] == pytest.approx(0.66, abs=0.07)
    assert covered["never"] < 0.4


def test_lucky_scatter_does_not_shrink_the_error():
    T = [500, 700, 1000]
    D = law(T) * np.array([1.001, 0.999, 1.001])  # far closer to the law than the errors
    up, always = (arrhenius(T, D, 0.1 * D, error_scaling=s) for s in ("up", "always"))
    never = arrhenius(T, D, 0.1 * D, error_scaling="never")
    assert up.E_a_stderr_eV == never.E_a_stderr_eV
    assert up.error_scale == 1.0
    assert always.E_a_stderr_eV == pytest.approx(
        never.E_a_stderr_eV * np.sqrt(never.chi2_per_df), rel=1e-9
    )


def test_without_errors_the_scatter_is_the_error():
    rng = np.random.default_rng(3)
    T = np.array([500, 700, 1000])
    results = [arrhenius(T, law(T) * np.exp(0.1 * rng.normal(size=3))) for _ in range(800)]
    assert all("unweighted" in r.method and "ln D" in r.method for r in results[:1])
    covered = [r.E_a_interval68_eV[0] < 0.25 < r.E_a_interval68_eV[1] for r in results]
    assert np.mean(covered) == pytest.approx(0.683, abs=0.05)
    plain = [abs(r.E_a_eV - 0.25) < r.E_a_stderr_eV for r in results]
    assert np.mean(plain) < 0.57  # negative control: one degree of freedom
    assert results[0].chi2_per_df is None
    assert results[0].p_value is None
    expected = -np.polyfit(1 / (KB_EV_K * T), np.log(results[0].D_cm2_s), 1)[0]
    assert results[0].E_a_eV == pytest.approx(expected)


def test_one_unknown_error_makes_the_fit_unweighted():
    T = [500, 700, 1000]
    D = law(T) * np.array([1.1, 0.9, 1.0])
    bare = arrhenius(T, D)
    for errors in ([1e-6, None, 1e-6], [1e-6, np.nan, 1e-6]):
        mixed = arrhenius(T, D, errors)
        assert mixed.E_a_eV == bare.E_a_eV
        assert mixed.D_stderr_cm2_s is None
        assert mixed.method == bare.method


def test_two_points_without_errors_have_no_error():
    result = arrhenius([500, 1000], law([500, 1000]))
    assert result.E_a_eV == pytest.approx(0.25)
    assert result.E_a_stderr_eV is result.E_a_interval68_eV is result.D0_stderr_cm2_s is None
    assert result.covariance is None
    assert result.at(700).D_cm2_s == pytest.approx(law(700))
    assert result.at(700).D_stderr_cm2_s is result.at(700).D_interval68_cm2_s is None


def test_negative_point_stays_in():
    T = [1000, 667, 500]
    D = np.array([4e-5, 3e-6, -2e-7])
    sigma = np.array([4e-6, 1e-6, 4e-7])
    kept = arrhenius(T, D, sigma)
    dropped = arrhenius(T[:2], D[:2], sigma[:2])
    assert kept.E_a_eV > dropped.E_a_eV
    with pytest.raises(InputError, match="-2e-07 cm\\^2/s at 500 K and fit 'log' needs ln D"):
        arrhenius(T, D, sigma, fit="log")
    with pytest.raises(InputError, match="give an error for every point"):
        arrhenius(T, D)


def test_order_and_repeated_temperatures():
    T = np.array([600, 600, 800, 1000, 1000])
    D, sigma = law(T) * np.array([1.2, 0.9, 1.0, 0.8, 1.1]), 0.2 * law(T)
    forward, backward = arrhenius(T, D, sigma), arrhenius(T[::-1], D[::-1], sigma[::-1])
    assert forward.E_a_eV == pytest.approx(backward.E_a_eV)
    assert forward.df == 3


@pytest.mark.parametrize(
    ("T", "D", "errors", "message"),
    [
        ([500], [1e-6], None, "needs two or more"),
        ([500, 500], [1e-6, 2e-6], None, "1 different temperature"),
        ([500, 0], [1e-6, 2e-6], None, "expected positive"),
        ([500, -3], [1e-6, 2e-6], None, "expected positive"),
        ([500, np.nan], [1e-6, 2e-6], None, "expected positive"),
        ([500, 600], [-1e-6, -2e-6], [1e-6, 1e-6], "at least one of them positive"),
        ([500, 600], [1e-6, np.inf], [1e-6, 1e-6], "finite"),
        ([500, 600], [1e-6], None, "one of each per point"),
        ([500, 600], [1e-6, 2e-6], [1e-7], "errors of shape .* one of each per point"),
        ([500, 600], [1e-6, 2e-6], [1e-7, 0.0], "expected positive, finite"),
        ([500, 1000], [-1e-7, 1e-5], [1e-7, 1e-6], "do not determine"),
    ],
)
def test_bad_points_are_refused(T, D, errors, message):
    with pytest.raises(InputError, match=message) as caught:
        arrhenius(T, D, errors)
    assert "\n" not in str(caught.value)


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="expected linear or log"):
        arrhenius([500, 600], [1e-6, 2e-6], fit="cubic")
    with pytest.raises(InputError, match="expected up or always or never"):
        arrhenius([500, 600], [1e-6, 2e-6], error_scaling="down")
    with pytest.raises(InputError, match="expected positive"):
        arrhenius([500, 600], [1e-6, 2e-6]).at(-1)


def published() -> dict[str, dict]:
    """Conductivities and activation energies of Table I, read from the paper's text."""
    start = re.compile(r"^\d+\t(mp-\d+)\t")
    point = re.compile(r"\t(\d+)\t[\d.]+\t\$([\d.]+) \\pm ([\d.]+)\$\t")
    energy = re.compile(r"\t\$(\d+) \\pm (\d+)\$\t([\d.]+) \(([\d.]+)\)")
    rows, name = {}, None
    for line in PAPER.read_text().splitlines():
        if start.match(line):
            name = start.match(line)[1]
            rows[name] = {"points": []}
            if energy.search(line):
                rows[name]["published"] = [float(x) for x in energy.search(line).groups()]
        elif line.startswith("TABLE I."):
            break
        if name and point.search(line):
            rows[name]["points"].append([float(x) for x in point.search(line).groups()])
    return {name: row for name, row in rows.items() if "published" in row}


@pytest.mark.skipif(not PAPER.exists(), reason="the paper's text is not part of the repository")
def test_published_activation_energies_from_their_printed_points():
    rows = published()
    assert len(rows) == 4
    for row in rows.values():
        T, conductivity, error = np.array(row["points"]).T
        assert len(T) == 4  # a point marked with a star in the table is not in its fit
        # sigma T is proportional to D; the factor is nothing to E_a.
        result = arrhenius(T, conductivity * T, error * T, error_scaling="always")
        E_a_meV, stderr_meV, p, chi2_per_df = row["published"]
        assert result.E_a_eV * 1e3 == pytest.approx(E_a_meV, abs=2.2)
        assert result.E_a_stderr_eV * 1e3 == pytest.approx(stderr_meV, rel=0.12)
        assert result.p_value == pytest.approx(p, abs=0.06)
        assert result.chi2_per_df == pytest.approx(chi2_per_df, rel=0.2)


def band(n, p, probability=0.999):
    """Counts that a binomial distribution stays between with that probability."""
    tail = (1.0 - probability) / 2.0
    return binom.ppf(tail, n, p), binom.ppf(1.0 - tail, n, p)


def windows(rng, D, n_windows, relative):
    """Mean, error and degrees of freedom of a few windows."""
    each = D[:, None] * rng.gamma(relative**-2, relative**2, (len(D), n_windows))
    df = np.full(len(D), n_windows - 1.0)
    return each.mean(1), each.std(1, ddof=1) / np.sqrt(n_windows), df


@pytest.mark.parametrize("n_temperatures", [3, 6])
def test_errors_of_three_windows_hold_and_raise_no_alarms(n_temperatures):
    rng = np.random.default_rng(n_temperatures)
    T, n = np.linspace(1000, 1800, n_temperatures), 100
    laws, plain = [], []
    for _ in range(n):
        D, sigma, df = windows(rng, law(T), 3, 0.3)
        laws.append(arrhenius(T, D, sigma, df=df))
        plain.append(arrhenius(T, D, sigma))
    held = sum(r.E_a_interval68_eV[0] < 0.25 < r.E_a_interval68_eV[1] for r in laws)
    low, high = band(n, 0.68)
    assert low <= held <= high
    assert sum(r.p_value < 0.05 for r in laws) <= band(n, 0.05)[1]
    assert sum(r.p_value < 0.01 for r in laws) <= band(n, 0.01)[1]
    # Negative control: errors of three windows as if they were known; with three temperatures the
    # most precise two always fit.
    assert n_temperatures == 3 or sum(r.p_value < 0.01 for r in plain) > band(n, 0.01)[1]


def test_known_errors_are_the_limit_of_many_degrees_of_freedom():
    rng = np.random.default_rng(4)
    T = np.array([500, 667, 800, 1000])
    D, sigma = law(T) * (1 + 0.12 * rng.normal(size=4)), 0.12 * law(T)
    known = arrhenius(T, D, sigma, fit="log")
    for df in (1e6, 20.0):
        found = arrhenius(T, D, sigma, df=[df] * 4)
        tolerance = 1e-4 if df > 100 else 0.1
        assert found.E_a_eV == pytest.approx(known.E_a_eV, rel=tolerance)
        assert found.E_a_stderr_eV == pytest.approx(known.E_a_stderr_eV, rel=tolerance)
        assert found.chi2_per_df == pytest.approx(known.chi2_per_df, rel=tolerance)
        at, expected = found.at(400), known.at(400)
        assert at.D_cm2_s == pytest.approx(expected.D_cm2_s, rel=tolerance)
        assert at.D_stderr_cm2_s == pytest.approx(expected.D_stderr_cm2_s, rel=3 * tolerance)
    two = arrhenius(T[[0, 3]], D[[0, 3]], sigma[[0, 3]], df=[2, 2])
    one = arrhenius(T[[0, 3]], D[[0, 3]], sigma[[0, 3]], fit="log")
    # Two t of two degrees of freedom: between 1 and 1.32 times the error (Behrens and Fisher).
    assert 1.1 < two.E_a_stderr_eV / one.E_a_stderr_eV < 1.35


def test_normal_score_has_the_probability_of_t():
    for df in (1.0, 2.0, 5.0, 30.0):
        t = np.array([-3.0, -1.0, 0.0, 0.5, 2.0])
        exact = ndtri(stdtr(df, t))
        assert normal_score(t, np.full(5, df)) == pytest.approx(exact, abs=0.05)
    assert normal_score(np.array([3.0]), np.array([np.inf])) == 3.0


def gated(rng, T, E_a_eV, gate):
    """Estimates with 30 % error, and bounds of those below a gate, where cages add to them."""
    df, relative = 8.0, 0.3
    D = law(T, E_a_eV)
    found = D * rng.gamma(relative**-2, relative**2, len(T))
    sigma = relative * found * np.sqrt(rng.chisquare(df, len(T)) / df)
    passed = found > gate
    raw = found + 0.4 * gate * rng.uniform(0.5, 1.5, len(T))
    upper = np.where(passed, np.nan, raw + stdtrit(df, 0.95) * sigma)
    return np.where(passed, found, np.nan), sigma, np.full(len(T), df), upper


def test_bounds_take_the_bias_of_the_gate_out():
    """Left out, the points that the gate drops make the law too flat."""
    rng = np.random.default_rng(11)
    T, E_a, n = np.array([900, 960, 1040, 1200, 1500]), 0.35, 150
    with_bounds, without, held = [], [], 0
    for _ in range(n):
        D, sigma, df, upper = gated(rng, T, E_a, law(1000.0, E_a))
        measured = np.isfinite(D)
        if measured.sum() < 2:
            continue
        found = arrhenius(T, D, sigma, df=df, D_upper_bound_cm2_s=upper)
        with_bounds.append(found.E_a_eV)
        without.append(arrhenius(T[measured], D[measured], sigma[measured], df=df[measured]).E_a_eV)
        held += found.E_a_interval68_eV[0] < E_a < found.E_a_interval68_eV[1]
        assert found.points.censored.sum() == (~measured).sum()
        assert found.df == measured.sum() - 2
    n = len(with_bounds)
    standard_error = np.std(with_bounds) / np.sqrt(n)
    assert np.mean(with_bounds) == pytest.approx(E_a, abs=0.05 * E_a + 3.3 * standard_error)
    steeper = np.subtract(with_bounds, without)
    assert np.mean(steeper) > 3.3 * np.std(steeper) / np.sqrt(n)  # negative control
    assert band(n, 0.60)[0] <= held <= band(n, 0.76)[1]


def test_a_bound_far_above_the_law_says_nothing_and_one_below_pulls():
    T, sigma = np.array([600, 800, 1000, 1300]), 0.1 * law([600, 800, 1000, 1300])
    D, none = law(T), [None] * 3
    plain = arrhenius(T[1:], D[1:], sigma[1:], df=[8] * 3)
    bounded = {
        factor: arrhenius(
            T, [None, *D[1:]], sigma, df=[8] * 4, D_upper_bound_cm2_s=[factor * D[0], *none]
        )
        for factor in (30.0, 1.0, 0.5)
    }
    assert bounded[30.0].E_a_eV == pytest.approx(plain.E_a_eV, abs=1e-4)
    assert bounded[30.0].E_a_interval68_eV == pytest.approx(plain.E_a_interval68_eV, abs=1e-3)
    assert plain.E_a_eV < bounded[1.0].E_a_eV < bounded[0.5].E_a_eV
    low, high = bounded[1.0].E_a_interval68_eV
    assert high - bounded[1.0].E_a_eV > bounded[1.0].E_a_eV - low  # steeper laws keep the bound
    assert "1 bound(s)" in bounded[1.0].method


def test_one_temperature_and_colder_bounds_tell_what_the_energy_is_above():
    rng = np.random.default_rng(12)
    T, E_a, n = np.array([700, 850, 1300]), 0.35, 100
    held, lowest = 0, []
    for _ in range(n):
        D, sigma, df, upper = gated(rng, T, E_a, 0.5 * law(1300.0, E_a))
        D[2], upper[2] = law(1300.0, E_a) * rng.gamma(11, 1 / 11), np.nan
        D[:2], upper[:2] = np.nan, np.where(np.isnan(upper[:2]), 2 * D[:2], upper[:2])
        lowest.append(activation_energy_bound(T, D, sigma, df=df, D_upper_bound_cm2_s=upper))
        held += lowest[-1] < E_a
    assert held >= band(n, 0.95)[0]
    assert np.median(lowest) > 0.05  # and says something
    with pytest.raises(InputError, match=r"with a D.*activation_energy_bound tells"):
        arrhenius(T, D, sigma, df=df, D_upper_bound_cm2_s=upper)
    hotter = activation_energy_bound(
        T, [1e-6, None, None], [1e-7] * 3, D_upper_bound_cm2_s=[None, 1e-5, 1e-4]
    )
    assert hotter is None  # bounds at hotter temperatures alone


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"df": [2, 2]}, "degrees of freedom of shape .* one of each per point"),
        ({"df": [2, 0, 2]}, "degrees of freedom 2, 0, 2 were given; expected positive"),
        ({"D_upper_bound_cm2_s": [-1e-6, None, None]}, "upper bounds .* expected positive"),
    ],
)
def test_bad_freedom_and_bounds_are_refused(more, message):
    with pytest.raises(InputError, match=message) as caught:
        arrhenius([500, 700, 1000], [1e-6, 5e-6, 2e-5], [1e-7, 5e-7, 2e-6], **more)
    assert "\n" not in str(caught.value)


def test_bounds_are_passed_over_where_no_error_says_what_they_count():
    T, D = [500, 700, 900, 1000], law([500, 700, 900, 1000])
    found = arrhenius(T, [None, *D[1:]], D_upper_bound_cm2_s=[1e-6, None, None, None])
    assert not found.points.censored.any()
    assert found.E_a_eV == pytest.approx(0.25)
    assert "unweighted" in found.method


def test_far_from_the_points_there_is_no_upper_bound_instead_of_an_overflow():
    """Errors a thousand times as large as D: a factor of exp(1800) at 300 K."""
    law = arrhenius([600, 800, 1000], [1e-6, 5e-6, 2e-5], [1e-3, 1e-3, 1e-3])
    value = law.at(300)
    assert value.D_cm2_s == pytest.approx(
        math.exp(math.log(law.D0_cm2_s) - law.E_a_eV / (KB_EV_K * 300))
    )
    low, high = value.D_interval68_cm2_s
    assert (low, high) == (0.0, None)
    json.dumps(vars(value), allow_nan=False)
    with pytest.raises(InputError, match="means nothing; give a temperature nearer"):
        arrhenius([600, 800], [1e-3, 1e-6]).at(1.0)


def test_whatever_the_numbers_are_it_is_a_law_or_one_line():
    rng, n_laws, said = np.random.default_rng(0), 0, []
    for _ in range(150):
        m = int(rng.integers(2, 6))
        T = rng.choice([1e-3, 1, 100, 300, 600, 1000, 1e4], m) * rng.uniform(0.9, 1.1, m)
        D = 10.0 ** rng.uniform(*((-300, 5), (-20, -3), (-20, 200))[int(rng.integers(3))], m)
        errors = D * 10.0 ** rng.uniform(-6, 6, m) if rng.random() < 0.8 else None
        bounds = [D[0], *[None] * (m - 1)] if errors is not None and rng.random() < 0.4 else None
        df = None if errors is None or rng.random() < 0.5 else [2] * m
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                law = arrhenius(T, D, errors, df=df, D_upper_bound_cm2_s=bounds)
                for at_K in (300, 1, 1e-5, 1e8, 1e-310):
                    json.dumps(vars(law.at(at_K)), allow_nan=False)
                json.dumps([law.E_a_eV, law.D0_stderr_cm2_s, law.chi2_per_df], allow_nan=False)
                n_laws += 1
            except InputError as error:
                said.append(str(error))
    assert n_laws > 10
    assert said
    assert not any("\n" in one for one in said)
