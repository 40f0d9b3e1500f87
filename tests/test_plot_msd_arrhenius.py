"""Plots show the numbers of their results, with units, and touch no global state."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from mlmd.analysis.activation.arrhenius import arrhenius
from mlmd.analysis.diffusion.diffusivity import diffusivity
from mlmd.errors import InputError
from mlmd.plot import plot_arrhenius, plot_msd
from mlmd.plot.style import COLOURS, with_error
from mlmd.trajectory.trajectory import Trajectory


def result_of(seed: int, windows: int = 3, step_A: float = 0.4):
    steps = np.random.default_rng(seed).normal(0, step_A, (30 * windows + 1, 10, 3))
    times = np.arange(len(steps)) * 500.0
    trajectory = Trajectory(np.cumsum(steps, axis=0), np.eye(3) * 10, np.full(10, 3), times)
    return diffusivity(trajectory, "Li", drift="none", window_ps=15.0)


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def drawn(ax) -> list[np.ndarray]:
    return [np.column_stack(line.get_data()) for line in ax.get_lines() if len(line.get_xdata())]


def overlaps(ax) -> bool:
    """Whether the legend covers a point of a curve."""
    ax.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    points = np.concatenate([ax.transData.transform(curve) for curve in drawn(ax)])
    return bool(((points > box.min) & (points < box.max)).all(axis=1).any())


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("count", [1, 3])
def test_msd_shows_windows_mean_fit_and_D(scale, count):
    results = {f"run-{i}": result_of(i) for i in range(count)}
    ax = plot_msd(results, scale=scale)
    assert len(drawn(ax)) == count * (3 + 1 + 1)  # windows, mean, fit
    first = results["run-0"]
    mean = drawn(ax)[3]
    assert mean[-1] == pytest.approx([15.0, first.msd_A2[-1]])
    fit = drawn(ax)[4]
    assert fit[[0, -1], 0] == pytest.approx([1.0, 15.0])
    slope = np.ptp(fit[:, 1]) / np.ptp(fit[:, 0])
    assert slope / 6 * 1e-4 == pytest.approx(first.D_cm2_s)
    half = (first.D_interval68_cm2_s[1] - first.D_interval68_cm2_s[0]) / 2
    assert with_error(first.D_cm2_s, half) in texts(ax)[0]
    assert "68 %" in ax.get_legend().get_title().get_text()
    assert "(ps)" in ax.get_xlabel()
    assert "AA" in ax.get_ylabel()
    shaded = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    assert [(box.x0, box.x1) for box in shaded] == [pytest.approx((1.0, 15.0))]
    assert not overlaps(ax)


def test_msd_of_one_window_says_that_it_has_no_error():
    ax = plot_msd(result_of(1, windows=1, step_A=1.0))
    assert "no error" in texts(ax)[0]
    assert r"\pm" not in texts(ax)[0]


def test_msd_draws_on_given_axes_and_refuses_nothing():
    ax = Figure().add_subplot()
    assert plot_msd([result_of(1)], ax) is ax
    with pytest.raises(InputError, match="at least one"):
        plot_msd([])
    with pytest.raises(InputError, match="linear or log"):
        plot_msd(result_of(1), scale="cubic")


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_many_stages_have_a_panel_each_with_its_own_fit_range(scale):
    results = {f"production-{i}": result_of(i, step_A=0.1 * (i + 1)) for i in range(7)}
    first = plot_msd(results, scale=scale)
    panels = first.figure.axes
    assert len(panels) == 7
    assert panels[0] is first
    for ax, (name, result) in zip(panels, results.items(), strict=True):
        title = ax.get_title().split("\n")
        assert title[0] == name
        if result.D_cm2_s is None:
            assert title[2] == "not diffusive"
        else:
            half = (result.D_interval68_cm2_s[1] - result.D_interval68_cm2_s[0]) / 2
            assert with_error(result.D_cm2_s, half) in title[1]
        (shade,) = ax.patches
        box = shade.get_extents().transformed(ax.transData.inverted())
        assert (box.x0, box.x1) == pytest.approx(result.settings.fit_ps)
        assert ax.get_ylim()[1] > result.window_msd_A2.max()
    assert "(ps)" in first.figure.get_supxlabel()
    assert "AA" in first.figure.get_supylabel()
    (legend,) = first.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "mean", "each window", "fit", "its range"
    ]  # fmt: skip
    assert "68 %" in legend.get_title().get_text()
    first.figure.draw_without_rendering()
    boxes = [panel.get_tightbbox() for panel in panels] + [legend.get_window_extent()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_ranges_that_differ_are_shaded_in_the_colours_of_their_curves():
    steps = np.random.default_rng(0).normal(0, 0.4, (91, 10, 3))
    walk = Trajectory(np.cumsum(steps, axis=0), np.eye(3) * 10, np.full(10, 3), np.arange(91) * 500)
    results = [
        diffusivity(walk, "Li", drift="none", window_ps=15.0, fit_ps=fit_ps)
        for fit_ps in ((1.0, 15.0), (3.0, 9.0))
    ]
    ax = plot_msd(results)
    shaded = [patch.get_extents().transformed(ax.transData.inverted()) for patch in ax.patches]
    assert [(box.x0, box.x1) for box in shaded] == [pytest.approx((1, 15)), pytest.approx((3, 9))]
    assert [to_hex(patch.get_facecolor()) for patch in ax.patches] == [
        colour.lower() for colour in COLOURS[:2]
    ]
    assert "fit in the range shaded in its colour" in texts(ax)


def law():
    T = np.array([417, 500, 667, 1000])
    D = 1e-3 * np.exp(-0.25 / (8.617333262e-5 * T))
    return arrhenius(T, D * np.array([1.1, 0.9, 1.0, 1.05]), 0.2 * D)


def test_arrhenius_shows_points_law_band_and_energy():
    result = law()
    ax = plot_arrhenius(result, label="Li")
    points, line = drawn(ax)[0], drawn(ax)[-1]
    assert points == pytest.approx(np.column_stack([1000 / result.temperatures_K, result.D_cm2_s]))
    assert line[50, 1] == pytest.approx(result.at(1000 / line[50, 0]).D_cm2_s)
    bands = [path for c in ax.collections for path in c.get_paths() if len(path) > 50]
    low, high = result.at(1000 / line[50, 0]).D_interval68_cm2_s
    at_x = bands[0].vertices[np.isclose(bands[0].vertices[:, 0], line[50, 0]), 1]
    assert sorted(set(at_x)) == pytest.approx([low, high])
    energy = with_error(result.E_a_eV, result.E_a_stderr_eV)
    assert texts(ax) == [rf"Li: $E_\mathrm{{a}}$ = {energy} eV"]
    assert "band" in ax.get_legend().get_title().get_text()
    assert ax.get_yscale() == "log"
    assert "cm" in ax.get_ylabel()
    assert "K$^{-1}$" in ax.get_xlabel()
    assert not overlaps(ax)


def test_top_axis_has_the_temperatures_once_and_apart():
    ax = plot_arrhenius(law())
    plot_arrhenius(arrhenius([300, 600], [1e-8, 1e-6]), ax)
    assert len(ax.child_axes) == 1
    top = ax.child_axes[0]
    assert top.get_xlabel() == "Temperature (K)"
    assert top.get_xticks() == pytest.approx([300, 417, 500, 600, 667, 1000])
    shown = {int(text.get_text()) for text in top.get_xticklabels() if text.get_text()}
    assert {300, 417, 500, 600, 1000} <= shown
    ax.figure.draw_without_rendering()
    boxes = sorted(
        (label.get_window_extent() for label in top.get_xticklabels() if label.get_text()),
        key=lambda box: box.x0,
    )
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    assert "no error known" in texts(ax)[1]


def test_negative_point_is_marked_by_its_upper_bound():
    result = arrhenius([1000, 667, 500], [4e-5, 3e-6, -2e-7], [4e-6, 1e-6, 4e-7])
    ax = plot_arrhenius(result)
    bound = next(line for line in ax.get_lines() if line.get_marker() == "v")
    assert bound.get_xydata() == pytest.approx(np.array([[2.0, 2e-7]]))
    assert ax.get_ylim()[0] < 2e-7
    assert ax.child_axes[0].get_xticks() == pytest.approx([500, 667, 1000])
    assert "$D$ + error, where $D$ is not above 0" in texts(ax)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.943e-4, 3.1e-5, r"$(1.94 \pm 0.31)\times 10^{-4}$"),
        (2.3e-7, 1.1e-5, r"$(0.0 \pm 1.1)\times 10^{-5}$"),
        (-5.04e-6, 1.2e-6, r"$(-5.0 \pm 1.2)\times 10^{-6}$"),
        (0.2512, 0.0183, r"$0.251 \pm 0.018$"),
        (1.0e-4, None, r"$1.00\times 10^{-4}$"),
        (0.25, None, r"$0.250$"),
        (0.0, None, "$0$"),
    ],
)
def test_numbers_with_their_errors(value, error, text):
    assert with_error(value, error) == text


def test_importing_is_light_and_pyplot_is_never_touched():
    code = (
        "import sys, mlmd.plot, mlmd.analysis\n"
        "heavy = {'matplotlib', 'scipy', 'pandas', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "mlmd.plot.plot_arrhenius(mlmd.analysis.arrhenius([500, 900], [1e-6, 1e-5]))\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bounds_are_arrows_down_and_take_no_colour_of_the_next_law():
    T = [700.0, 1000.0, 1400.0, 1800.0]
    D, error = [None, 1e-5, 6e-5, 1.5e-4], [1e-6, 2e-6, 8e-6, 2e-5]
    law = arrhenius(T, D, error, df=[4] * 4, D_upper_bound_cm2_s=[3e-6, None, None, None])
    ax = plot_arrhenius(law, label="Li")
    points, bounds = ax.containers
    assert points.lines[0].get_xdata() == pytest.approx(1000.0 / np.array(T[1:]))
    assert bounds.lines[0].get_xdata() == pytest.approx([1000.0 / 700.0])
    assert bounds.lines[0].get_ydata() == pytest.approx([3e-6])
    assert bounds.lines[1][0].get_marker() == 11  # a caret that points down
    ((low, high),) = [segment[:, 1] for segment in bounds.lines[2][0].get_segments()]
    assert (low, high) == pytest.approx((1.5e-6, 3e-6))
    assert ax.get_xlim()[1] > 1000.0 / 700.0
    assert ax.get_ylim()[0] < 1.5e-6
    assert ax.child_axes[0].get_xticks() == pytest.approx(T)
    assert texts(ax).count("upper bound (95 %)") == 1
    plot_arrhenius(arrhenius(T[1:], D[1:], error[1:]), ax=ax, label="Cl")
    first, _, second = (drawn.lines[0].get_color() for drawn in ax.containers)
    assert (first, second) == tuple(COLOURS[:2])


@pytest.mark.parametrize("count", [4, 6])
def test_long_names_stay_within_the_plot_and_keep_what_is_doubtful(count):
    still = np.random.default_rng(1).normal(0, 0.1, (91, 10, 3))
    site = Trajectory(still, np.eye(3) * 10, np.full(10, 3), np.arange(91) * 500.0)
    bound = diffusivity(site, "Li", drift="none", window_ps=15.0)
    names = [f"/a/long/path/to/runs/of/{i}/t{i}00.xyz:trajectory (doubtful)" for i in range(count)]
    ax = plot_msd({name: bound if i % 2 else result_of(i) for i, name in enumerate(names)})
    ax.figure.draw_without_rendering()
    if count == 4:
        box, frame = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert box.x1 <= frame.x1
        assert not overlaps(ax)
        said = texts(ax)[:4]
    else:
        said = [panel.get_title() for panel in ax.figure.axes]
    for i, text in enumerate(said):
        assert f"t{i}00.xyz:trajectory (doubtful)" in text


@pytest.mark.parametrize("count", [2, 6])
def test_the_legend_of_many_laws_covers_none_of_them(count):
    ax = None
    for i in range(count):
        T = np.array([500, 600, 700, 1000])
        D = 1e-3 * 2.0**i * np.exp(-0.3 / (8.617333262e-5 * T))
        ax = plot_arrhenius(arrhenius(T, D, 0.1 * D), ax=ax, label=f"species {i}")
    assert not overlaps(ax)
