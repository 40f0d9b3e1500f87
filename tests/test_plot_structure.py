"""Plots of structure show the numbers of their results, with units, and touch no global state."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from mlmd import rdf
from mlmd.analysis.structure import (
    bond_angles,
    coordination,
    direct_structure_factor,
    structure_factor,
    vibrational_density,
)
from mlmd.errors import InputError
from mlmd.plot import (
    plot_angles,
    plot_coordination,
    plot_rdf,
    plot_structure_factor,
    plot_vdos,
)
from mlmd.trajectory.trajectory import Trajectory


@pytest.fixture(scope="module")
def gas() -> Trajectory:
    x = np.random.default_rng(0).random((40, 30, 3)) * 12.0
    return Trajectory(x, np.eye(3) * 12, np.array([3] * 10 + [17] * 20), np.arange(40) * 2.0)


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


def curve(ax, label) -> np.ndarray:
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return np.column_stack(line.get_data())


def band_at(ax, x) -> list[float]:
    """Lower and upper border of the first band at a point of its curve."""
    vertices = ax.collections[0].get_paths()[0].vertices
    return sorted({float(y) for at, y in vertices if abs(at - x) < 1e-9})


def test_rdf_shows_every_pair_its_error_and_the_total(gas):
    result = rdf(gas)
    ax = plot_rdf(result)
    assert texts(ax) == ["Li-Li", "Li-Cl", "Cl-Cl", "total"]
    for name, distribution in (("Li-Cl", result.of("Li", "Cl")), ("total", result.total)):
        assert curve(ax, name) == pytest.approx(np.column_stack([result.r_A, distribution.g]))
    like = result.of("Li", "Li")
    at = int(np.argmax(like.g - 2 * like.stderr))
    expected = [like.g[at] - 2 * like.stderr[at], like.g[at] + 2 * like.stderr[at]]
    assert band_at(ax, result.r_A[at]) == pytest.approx(expected)
    assert "AA" in ax.get_xlabel()
    assert "g(r)" in ax.get_ylabel()


def test_rdf_of_several_results_on_the_same_axes(gas):
    ax = Figure().add_subplot()
    result = rdf(gas)
    assert plot_rdf(result, ax, pairs=[("Cl", "Li")], label="melt") is ax
    plot_rdf(result, ax, pairs=[("Cl", "Li")], label="glass")
    assert texts(ax) == ["melt Cl-Li", "glass Cl-Li"]
    colours = [line.get_color() for line in ax.get_lines() if line.get_label()[0] != "_"]
    assert len(set(colours)) == 2
    with pytest.raises(InputError, match="no pair"):
        plot_rdf(result, pairs=[])


def test_ten_pairs_are_told_apart():
    x = np.random.default_rng(0).random((3, 12, 3)) * 9.0
    four = Trajectory(x, np.eye(3) * 9, np.resize([3, 15, 16, 17], 12), np.arange(3) * 2.0)
    result = rdf(four)
    panels = plot_rdf(result).figure.axes
    assert [panel.get_title() for panel in panels] == ["-".join(pair) for pair in result.partials]
    assert len(panels) == 10
    for panel, (pair, one) in zip(panels, result.partials.items(), strict=True):
        drawn = curve(panel, "-".join(pair))
        assert drawn == pytest.approx(np.column_stack([result.r_A, one.g]))
        total = [line for line in panel.get_lines() if line.get_linestyle() == "--"]
        assert total[0].get_ydata() == pytest.approx(result.total.g)
        high = one.g + 2 * one.stderr
        at = int(np.argmax(high))
        assert band_at(panel, result.r_A[at])[-1] == pytest.approx(high[at])
    (legend,) = panels[0].figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ["pair", "two standard errors", "all atoms (total)"]
    panels[0].figure.draw_without_rendering()
    boxes = [panel.get_tightbbox() for panel in panels] + [legend.get_window_extent()]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    # On the axes of others all are told apart by colour and dash, and the legend stands beside.
    ax = plot_rdf(result, Figure(layout="constrained").add_subplot())
    lines = [line for line in ax.get_lines() if line.get_label()[0] != "_"]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 11
    ax.figure.draw_without_rendering()
    assert not ax.get_legend().get_window_extent().overlaps(ax.bbox)


def test_one_frame_has_no_band(gas):
    one = Trajectory(gas.positions_A[:1], gas.cell_A, gas.numbers, gas.time_fs[:1])
    assert not plot_rdf(rdf(one)).collections
    assert len(plot_coordination(coordination(one, "Li", "Cl", 3.0)).patches) > 0


def test_coordination_bars_are_the_fractions(gas):
    result = coordination(gas, "Li", "Cl", 3.0)
    ax = plot_coordination(result)
    heights = [patch.get_height() for patch in ax.patches]
    assert heights == pytest.approx(result.fraction)
    assert "Cl about Li" in texts(ax)[0]
    assert "3.00" in texts(ax)[0]
    assert len(plot_coordination([result, result]).patches) == 2 * len(heights)
    with pytest.raises(InputError, match="at least one"):
        plot_coordination([])


@pytest.mark.parametrize("relative", [False, True])
def test_angles_show_density_or_what_is_left_without_the_sine(gas, relative):
    result = bond_angles(gas, "Li", ("Cl", "Cl"), cutoff_A=4.0)
    ax = plot_angles(result, relative=relative)
    expected = result.relative if relative else result.density_1_deg
    assert curve(ax, "Cl-Li-Cl") == pytest.approx(np.column_stack([result.angle_deg, expected]))
    assert "degrees" in ax.get_xlabel()
    assert ("random" if relative else "1/degree") in ax.get_ylabel()
    with pytest.raises(InputError, match="at least one"):
        plot_angles([])


def test_structure_factor_leaves_out_what_means_nothing(gas):
    result = structure_factor(rdf(gas), q_max_1_A=5.0)
    ax = plot_structure_factor(result, show=("total", "partials"))
    assert texts(ax) == ["atoms as points", "Li-Li", "Li-Cl", "Cl-Cl"]
    points = curve(ax, "atoms as points")
    meant = result.q_1_A >= result.q_min_1_A
    assert points == pytest.approx(np.column_stack([result.q_1_A, result.total.s])[meant])
    assert points[0, 0] > 0.5
    direct = direct_structure_factor(gas, q_max_1_A=3.0)
    plot_structure_factor(direct, ax, label="direct")
    assert len(ax.containers) == 1  # points with error bars
    assert texts(ax)[-1] == "direct atoms as points"
    with pytest.raises(InputError, match="expected total"):
        plot_structure_factor(result, show="electrons")


def test_structure_factor_as_radiation_sees_it(gas):
    pytest.importorskip("periodictable")
    result = structure_factor(rdf(gas), q_max_1_A=5.0)
    ax = plot_structure_factor(result, show=("neutron", "xray"))
    assert texts(ax) == ["neutrons", "X-rays"]
    meant = result.q_1_A >= result.q_min_1_A
    assert curve(ax, "X-rays")[:, 1] == pytest.approx(result.weighted("xray").s[meant])


def test_vdos_has_both_units():
    walk = np.cumsum(np.random.default_rng(0).normal(0, 0.01, (500, 6, 3)), axis=0)
    moving = Trajectory(walk, np.eye(3) * 30, np.array([3, 3, 3, 8, 8, 8]), np.arange(500) * 2.0)
    result = vibrational_density(moving, max_lag_ps=0.2)
    ax = plot_vdos(result, max_frequency_THz=60.0)
    assert texts(ax) == ["Li", "O", "total"]
    expected = np.column_stack([result.frequency_THz, result.total])
    assert curve(ax, "total") == pytest.approx(expected)
    assert "THz" in ax.get_xlabel()
    (top,) = ax.child_axes
    ax.figure.draw_without_rendering()
    assert top.get_xlim()[1] == pytest.approx(60 * 33.3564, rel=1e-4)
    assert "cm" in top.get_xlabel()
    assert "resolution" in ax.get_legend().get_title().get_text()


def test_importing_is_light_and_pyplot_is_never_touched():
    code = (
        "import sys, mlmd.plot, mlmd.analysis.structure, mlmd.cli.rdf, numpy as np\n"
        "heavy = {'matplotlib', 'scipy', 'pandas', 'torch', 'periodictable'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "t = mlmd.Trajectory(np.random.default_rng(0).random((3, 9, 3)) * 6, np.eye(3) * 6,\n"
        "    np.full(9, 3), np.arange(3.0))\n"
        "mlmd.plot.plot_rdf(mlmd.rdf(t))\n"
        "assert 'matplotlib' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
