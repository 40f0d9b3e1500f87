"""Activation energies: exact laws, errors that cover, and the published fits."""

import re
from pathlib import Path

import numpy as np
import pytest

from mlmd.analysis.activation.arrhenius import arrhenius
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
