"""The estimators by name: published numbers, each other, several runs, the start of the fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from real_motion import HAS_COMPILER, ordinary_liquid
from scipy.stats import binom
from synthetic_motion import caged_hopping, in_groups, trajectory_of, vibration, walk

from mlmd.analysis import (
    BlocksOptions,
    Diffusivity,
    KinisiOptions,
    WeightedOptions,
    combine,
    diffusivity,
    mean_squared_displacement,
    start_sensitivity,
)
from mlmd.analysis.diffusion.estimators import kinisi_posterior
from mlmd.errors import InputError, MissingExtraError
from mlmd.numerics.student import ONE_SIGMA
from mlmd.plot.calibration import Coverage, plot_calibration
from mlmd.plot.msd import plot_msd
from mlmd.plot.start_sensitivity import plot_start_sensitivity
from mlmd.trajectory import Trajectory

DATA = Path(__file__).parents[2] / "shared" / "data"


def shared(*parts: str) -> Path:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def sodium(temperature: str) -> Trajectory:
    return Trajectory.read(shared("liquid_na_aimd", f"XDATCAR_Na_{temperature}.gz"), 2.0)


def lgps() -> Trajectory:
    """Li20Ge2P4S24 at 600 K, frames every 20 fs."""
    given = json.loads(shared("lgps_600K", "DiffusionAnalyzer.json").read_text())
    structure = pytest.importorskip("pymatgen.core").Structure.from_dict(given["structure"])
    moved = np.array(given["displacements"]).transpose(1, 0, 2)
    numbers = np.array([site.specie.Z for site in structure])
    times = np.arange(len(moved)) * 20.0
    return Trajectory(moved + structure.cart_coords, structure.lattice.matrix, numbers, times)


def argyrodite(disorder: str) -> Trajectory:
    """Li6PS5Cl at 500 K, 70 ps in restarted runs, frames every 100 fs."""
    folder = shared("argyrodite_aimd", f"Li6PS5Cl_{disorder}")
    return Trajectory.read(sorted(folder.glob("XDATCAR_run*.gz")), 100.0)


def part(trajectory: Trajectory, first: float, last: float) -> Trajectory:
    """Part of a trajectory, in fractions of its length."""
    frames = slice(int(first * len(trajectory)), int(last * len(trajectory)))
    return Trajectory(
        trajectory.positions_A[frames],
        trajectory.cell_A if trajectory.cell_A.ndim == 2 else trajectory.cell_A[frames],
        trajectory.numbers,
        trajectory.time_fs[frames],
    )


@pytest.mark.parametrize(
    ("temperature", "D", "axes"),
    [
        ("856.0", 2.2111868e-4, (2.1337e-4, 2.4156e-4, 2.0843e-4)),  # printed by the authors
        ("671.0", 1.27193e-4, None),
    ],
)
def test_blocks_gives_mpmorphs_digits_for_liquid_sodium(temperature, D, axes):
    result = diffusivity(
        sodium(temperature),
        "Na",
        estimator="blocks",
        drift="none",
        options=BlocksOptions(corr_t=300, block_l=2, skip_first=250, l_lim=50),
    )
    assert result.D_raw_cm2_s == pytest.approx(D, rel=2e-6)
    if axes is not None:
        assert result.D_axes_cm2_s == pytest.approx(axes, abs=1e-8)
    assert result.n_windows == 4
    assert result.D_stderr_cm2_s is None  # blocks that overlap are not independent
    assert result.to_dict()["settings"]["corr_t"] == 300


def test_blocks_that_do_not_overlap_have_an_error():
    trajectory = trajectory_of(walk(np.random.default_rng(1), 2000, 20))
    options = BlocksOptions(corr_t=100, block_l=1, skip_first=0, l_lim=5)
    result = diffusivity(trajectory, "Li", estimator="blocks", drift="none", options=options)
    assert result.n_windows == 20
    assert result.D_cm2_s == pytest.approx(5e-4, abs=3 * result.D_stderr_cm2_s)


def test_weighted_gives_the_conductivities_of_pymatgen_for_lgps():
    result = diffusivity(
        lgps(), "Li", estimator="weighted", options=WeightedOptions(smoothed="max"), drift="cell"
    )
    # Nernst-Einstein at 600 K, 20 charges in the cell: what the authors' tests print to 1e-4.
    volume_cm3 = abs(np.linalg.det(lgps().cell_A)) * 1e-24
    to_mS_cm = 1000 * 20 / volume_cm3 * 1.602176634e-19**2 / (1.380649e-23 * 600)
    assert result.D_raw_cm2_s * to_mS_cm == pytest.approx(74.165372613735684, abs=2e-4)
    components = result.D_axes_cm2_s * to_mS_cm
    assert components == pytest.approx([45.7903694, 26.1651956, 150.5406140], rel=1e-6)
    assert result.D_raw_cm2_s == pytest.approx(1.1608e-6, rel=1e-3)
    first = diffusivity(lgps(), "Li", estimator="weighted")
    assert first.D_raw_cm2_s == pytest.approx(4.25976905436e-7, rel=1e-6)  # smoothed=False
    few = WeightedOptions(smoothed="constant", avg_nsteps=100)
    constant = diffusivity(lgps(), "Li", estimator="weighted", options=few)
    assert constant.D_raw_cm2_s == pytest.approx(7.4226016496716148e-7, rel=1e-6)
    # The largest MSD is below 4.5 A2: no value, but it and a bound stand there.
    assert result.D_cm2_s is None
    assert result.D_upper_bound_cm2_s > result.D_raw_cm2_s


def test_lag_is_a_line_on_the_upper_half():
    positions = walk(np.random.default_rng(2), 401, 20)
    result = diffusivity(trajectory_of(positions), "Li", estimator="lag", drift="none")
    assert result.settings.fit_ps == (10.0, 20.0)
    lags = np.arange(100, 201)
    msd = [((positions[m:] - positions[:-m]) ** 2).sum(axis=2).mean() for m in lags]
    slope = np.polyfit(lags * 0.1, msd, 1)[0]
    assert result.D_cm2_s == pytest.approx(slope / 6 * 1e-4, rel=1e-9)
    # Its error is the scatter of the atoms, each with its own line, times what they share.
    own = [((positions[m:] - positions[:-m]) ** 2).sum(axis=2).mean(axis=0) for m in lags]
    slopes = np.polyfit(lags * 0.1, own, 1)[0] / 6 * 1e-4
    assert slopes.mean() == pytest.approx(result.D_cm2_s, rel=1e-9)
    shared_by = result.details["collective_factor"]
    alone = slopes.std(ddof=1) / np.sqrt(20)
    assert result.D_stderr_cm2_s == pytest.approx(alone * np.sqrt(shared_by), rel=1e-6)
    squares = ((positions[150:] - positions[:-150]) ** 2).sum(axis=2)  # the middle of the fit
    exact = 20 * squares.mean(axis=1).var() / squares.var(axis=0).mean()
    assert shared_by == pytest.approx(exact, rel=0.1)  # from every ninth origin
    assert result.df == pytest.approx(1 / (1 / 19 + 1 / (1.5 * 400 / 150)))
    assert result.n_windows == 2


def test_lag_has_no_error_where_nothing_tells_it():
    """One atom scatters about nobody; beyond half of the run there is no second interval."""
    positions = walk(np.random.default_rng(2), 401, 20)
    alone = diffusivity(trajectory_of(positions[:, :1]), "Li", estimator="lag", drift="none")
    assert alone.D_stderr_cm2_s is None
    assert alone.df == 0
    far = diffusivity(
        trajectory_of(positions), "Li", estimator="lag", drift="none", fit_ps=(10.0, 35.0)
    )
    assert far.D_interval68_cm2_s is None
    still = np.zeros((401, 4, 3)) + np.arange(4)[:, None]
    held = diffusivity(trajectory_of(still), "Li", estimator="lag", drift="none")
    assert (held.D_raw_cm2_s, held.D_stderr_cm2_s) == (0, 0)


def held_by_lag(results: list[Diffusivity], true_cm2_s: float) -> None:
    """Assert that 68 % of the intervals hold, within the band of 99.9 % of so many."""
    held = [one.D_interval68_cm2_s[0] < true_cm2_s < one.D_interval68_cm2_s[1] for one in results]
    band = 3.29 * np.sqrt(ONE_SIGMA * (1 - ONE_SIGMA) / len(held))
    assert abs(np.mean(held) - ONE_SIGMA) < band


@pytest.mark.parametrize(("atoms", "size"), [(20, 1), (40, 4)])
def test_the_error_of_lag_holds_on_walks(atoms, size):
    """Alone and in rigid groups of four: those scatter as a quarter of the atoms do."""
    rng = np.random.default_rng(size)
    settings = {"estimator": "lag", "drift": "none"}
    motions = (in_groups(rng, 200, atoms, size) for _ in range(300))
    held_by_lag([diffusivity(trajectory_of(one), "Li", **settings) for one in motions], 5e-4)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_COMPILER, reason="needs a C compiler")
def test_the_error_of_lag_holds_in_a_liquid():
    """Atoms push each other: without what they share 52 % hold."""
    results, slopes = [], []
    for seed in range(18):
        run = ordinary_liquid(seed).trajectory(1.0, 56.0, 20.0)
        msd = mean_squared_displacement(run, "Na", max_lag_ps=8.0).msd_A2
        slopes.append((msd[400] - msd[200]) / 4.0)
        parts = (run.part(first, first + 201) for first in range(0, 2800, 200))
        results += [diffusivity(part, "Na", estimator="lag") for part in parts]
    held_by_lag(results, float(np.mean(slopes)) / 6 * 1e-4)


def test_kinisi_on_a_walk():
    pytest.importorskip("kinisi")
    trajectory = trajectory_of(walk(np.random.default_rng(3), 200, 20))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    settings = {"estimator": "kinisi", "drift": "none", "fit_ps": (0.1, 2.0)}
    options = KinisiOptions(n_samples=200)
    result = diffusivity(trajectory, "Li", **settings, options=options)
    assert result.D_cm2_s == pytest.approx(5e-4, abs=3 * result.D_stderr_cm2_s)
    assert 0.01 < result.D_stderr_cm2_s / result.D_cm2_s < 0.1
    again = diffusivity(trajectory, "Li", **settings, options=options)
    assert again.D_cm2_s == result.D_cm2_s
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_absent_kinisi_says_how_to_install(monkeypatch):
    monkeypatch.setattr(kinisi_posterior, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"mlmd\[kinisi\]"):
        diffusivity(trajectory_of(walk(np.random.default_rng(1), 50, 3)), "Li", estimator="kinisi")


@pytest.mark.slow
def test_gls_agrees_with_kinisi_on_real_data():
    pytest.importorskip("kinisi")
    ordered, disordered = argyrodite("0p"), argyrodite("50p")
    fit_ps = (10.0, 30.0)
    cases = [(ordered, "Li", fit_ps), (disordered, "Li", fit_ps)]
    cases += [(part(disordered, *ends), "Li", None) for ends in ((0, 0.5), (0.5, 1), (0.25, 0.75))]
    cases += [(part(ordered, *ends), "Li", (5.0, 17.0)) for ends in ((0, 0.5), (0.5, 1))]
    cases += [(sodium(T), "Na", None) for T in ("856.0", "671.0")]
    cases.append((lgps(), "Li", None))
    off = []
    for trajectory, species, range_ps in cases:
        drift = "cell" if species == "Na" else "framework"
        gls = diffusivity(trajectory, species, drift=drift, fit_ps=range_ps)
        kinisi = diffusivity(
            trajectory,
            species,
            drift=drift,
            fit_ps=range_ps or gls.settings.fit_ps,
            estimator="kinisi",
            options=KinisiOptions(n_samples=200),
        )
        error = np.hypot(gls.D_stderr_cm2_s, kinisi.D_stderr_cm2_s)
        off.append((gls.D_raw_cm2_s - kinisi.D_raw_cm2_s) / error)
    assert len(off) == 10
    assert np.abs(off).max() < 2.0
    assert np.median(np.abs(off)) < 1.0


def test_options_belong_to_their_estimator():
    trajectory = trajectory_of(walk(np.random.default_rng(1), 100, 3))
    with pytest.raises(InputError, match="expected BlocksOptions"):
        diffusivity(trajectory, "Li", estimator="blocks", options=WeightedOptions())
    with pytest.raises(InputError, match="has none of its own"):
        diffusivity(trajectory, "Li", options=WeightedOptions())
    with pytest.raises(InputError, match="asks for 850 frames"):
        diffusivity(trajectory, "Li", estimator="blocks")
    few = WeightedOptions(smoothed="constant")
    with pytest.raises(InputError, match="leaves no lag to fit"):
        diffusivity(trajectory, "Li", estimator="weighted", options=few)
    with pytest.raises(InputError, match="smoothed is 'most'"):
        WeightedOptions(smoothed="most")


@pytest.mark.parametrize("lengths", [(1, 2), (1, 2, 1), (1, 1, 1, 1, 1)])
def test_combined_runs_cover_the_truth(lengths):
    rng, held = np.random.default_rng(4), []
    for _ in range(100):
        runs = [
            diffusivity(trajectory_of(walk(rng, 60 * n, 6)), "Li", drift="none") for n in lengths
        ]
        both = combine(runs)
        low, high = both.D_interval68_cm2_s
        held.append(low < 5e-4 < high)
    assert binom.ppf(0.0005, 100, 0.63) <= sum(held) <= binom.ppf(0.9995, 100, 0.75)
    assert both.details["within_stderr_cm2_s"] > 0
    weights = np.array(lengths) / sum(lengths)
    assert both.D_raw_cm2_s == pytest.approx(weights @ [run.D_raw_cm2_s for run in runs], rel=0.01)


def test_from_three_runs_on_their_spread_is_the_error():
    """Runs in which everything is fast or slow: each by itself cannot know."""
    rng, held, own = np.random.default_rng(14), [], []
    for _ in range(100):
        rates = rng.lognormal(0.0, 0.3, 4) / np.exp(0.3**2 / 2)
        runs = [
            diffusivity(trajectory_of(np.sqrt(rate) * walk(rng, 60, 10)), "Li", drift="none")
            for rate in rates
        ]
        both = combine(runs)
        low, high = both.D_interval68_cm2_s
        held.append(low < 5e-4 < high)
        own.append(abs(both.D_raw_cm2_s - 5e-4) < both.details["within_stderr_cm2_s"])
        assert both.D_stderr_cm2_s == both.details["between_stderr_cm2_s"]
        assert both.df == 3
    assert binom.ppf(0.0005, 100, 0.63) <= sum(held) <= binom.ppf(0.9995, 100, 0.73)
    assert sum(own) < 60  # negative control: what the runs say by themselves holds too rarely
    values = [run.D_raw_cm2_s for run in runs]
    assert both.D_stderr_cm2_s == pytest.approx(np.std(values, ddof=1) / 2)


def test_combined_runs_without_diffusion_have_a_bound():
    rng = np.random.default_rng(5)
    runs = [
        diffusivity(trajectory_of(vibration(rng, 300, 20, 0.1)), "Li", drift="none")
        for _ in range(4)
    ]
    both = combine(runs)
    assert both.D_cm2_s is None
    assert "below 4.5" in both.reason
    # Four runs in which no atom jumps say more than one.
    assert both.D_upper_bound_cm2_s < min(run.D_upper_bound_cm2_s for run in runs)
    with pytest.raises(InputError, match="no diffusivity"):
        combine([])


def test_a_fit_from_zero_overestimates_slow_diffusion():
    positions = caged_hopping(np.random.default_rng(6), 1501, 40, 0.1)
    settings = {"starts_ps": (0.0, 1.0, 1.5), "end_ps": 5.0, "drift": "none"}
    found = start_sensitivity(trajectory_of(positions), "Li", **settings)
    assert found.starts_ps == (0.0, 1.0, 1.5)
    from_0, from_1, from_5 = (result.D_raw_cm2_s for result in found.results)
    true = 0.1 * 9 / 6 * 1e-4
    assert from_0 > 1.1 * true
    error = found.results[1].D_stderr_cm2_s
    assert (from_1, from_5) == pytest.approx((true, true), abs=4 * error)
    assert found.results[2].settings.fit_ps == (1.5, 5.0)
    ax = plot_start_sensitivity(found)
    assert "68 %" in ax.get_ylabel()
    drawn = [float(line.get_ydata()[0]) for line in ax.get_lines() if line.get_marker() == "o"]
    assert drawn == pytest.approx([from_0, from_1, from_5])


def test_plots_of_a_value_and_of_a_bound():
    rng = np.random.default_rng(7)
    moving = diffusivity(trajectory_of(walk(rng, 300, 10)), "Li", drift="none")
    still = diffusivity(trajectory_of(vibration(rng, 300, 10, 0.1)), "Li", drift="none")
    ax = plot_msd({"hot": moving, "cold": still})
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert r"\pm" in texts[0]
    assert "(95 %), not diffusive" in texts[1]
    assert ax.get_xlim()[1] == pytest.approx(14.9, abs=0.2)  # half of the run
    with pytest.raises(InputError, match="no coverage"):
        plot_calibration({})
    drawn = plot_calibration({"gls": Coverage(np.array([2, 10]), np.array([0.7, 0.68]), 100)})
    assert drawn.get_lines()[-1].get_ydata() is not None
