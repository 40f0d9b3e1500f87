"""Plots of a comparison: what is drawn is what was found."""

from __future__ import annotations

import numpy as np
import pytest
from comparison_contents import content
from matplotlib.figure import Figure

from mlmd.comparison import (
    Noise,
    PairCurves,
    R2Distribution,
    diffusivity_parity,
    point_errors,
    rdf_parity,
)
from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint, DiffusivitySide
from mlmd.errors import InputError
from mlmd.plot import (
    plot_diffusivity_parity,
    plot_energy_parity,
    plot_force_parity,
    plot_r2_distribution,
    plot_rdf_parity,
)
from mlmd.plot.style import COLOURS
from mlmd.plot.surrogates import plot_diffusivity_intervals, plot_rdf_curves, plot_spectra
from mlmd.trajectory import Trajectory


def legend(ax: object) -> str:
    box = ax.get_legend()
    return "\n".join([box.get_title().get_text(), *(t.get_text() for t in box.get_texts())])


def test_rdf_parity_says_r2_and_its_ceiling() -> None:
    r_A = np.linspace(0, 8, 200)
    g = {"Li-Li": 1 + np.sin(r_A), "Li-O": 1 + np.cos(r_A)}
    reference = PairCurves(r_A, g, {}, "reference")
    surrogate = PairCurves(r_A, {p: v + 0.05 * np.sin(9 * r_A) for p, v in g.items()}, {}, "s")
    two = np.full(2, 0.3)
    noise = Noise(two, two, 10 * two, two > 0, 20.0, "atoms")
    result = rdf_parity(surrogate, reference, noise=noise)
    ax = plot_rdf_parity(result)
    assert f"pooled $R^2$ {result.r2_pooled:.4f}" in legend(ax)
    assert f"noise ceiling {result.r2_noise_ceiling:.4f}" in legend(ax)
    thin = [line for line in ax.lines if line.get_linewidth() == 1.2]
    assert np.array_equal(thin[1].get_ydata(), surrogate.g["Li-O"])
    with pytest.raises(InputError, match="expected some of Li-Li"):
        plot_rdf_parity(result, pairs=["O-O"])


def test_distribution_says_the_shares() -> None:
    ax = plot_r2_distribution(R2Distribution.of([0.1, 0.86, 0.92, 0.99]))
    assert "75 % above 0.85" in legend(ax)
    assert "1 of them below" in legend(ax)
    x, y = ax.lines[0].get_xdata(), ax.lines[0].get_ydata()
    assert y[x == 0.86][0] == 0.5


def test_diffusivities_are_drawn_where_they_are_and_bounds_open() -> None:
    def side(D: float | None, bound: float | None = None) -> DiffusivitySide:
        interval = None if D is None else (0.5 * D, 2.0 * D)
        return DiffusivitySide(D, D or 0.0, interval, bound, D is not None, "why")

    points = [
        DiffusivityPoint("a", "A", 500.0, "Li", side(1e-5), side(2e-5), {}),
        DiffusivityPoint("a", "A", 900.0, "Na", side(None, 3e-6), side(2e-5), {}),
        DiffusivityPoint("a", "A", None, "Na", side(None), side(2e-5), {}),
    ]
    ax = plot_diffusivity_parity(diffusivity_parity(points))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    drawn = [box.lines[0] for box in ax.containers]
    assert [float(line.get_ydata()[0]) for line in drawn] == [1e-5, 3e-6]
    assert [line.get_markerfacecolor() for line in drawn][1] == "white"
    assert ax.get_xlim() == ax.get_ylim()
    assert "500 K" in legend(ax)
    with pytest.raises(InputError, match="nothing to draw"):
        plot_diffusivity_parity(diffusivity_parity(points[2:]))


def test_forces_and_energies() -> None:
    rng = np.random.default_rng(0)
    common = {
        "positions_A": np.zeros((6, 3, 3)),
        "cell_A": np.eye(3),
        "numbers": np.array([3, 3, 8]),
        "time_fs": np.arange(6.0),
    }
    forces, energies = rng.normal(size=(6, 3, 3)), rng.normal(size=6)
    reference = Trajectory(**common, forces_eV_A=forces, energies_eV=energies)
    surrogate = Trajectory(**common, forces_eV_A=0.8 * forces, energies_eV=energies + 0.3)
    result = point_errors(surrogate, reference)
    ax = plot_force_parity(result)
    assert "slope 0.800" in legend(ax)
    assert ax.get_xlim() == ax.get_ylim()
    line = plot_energy_parity(result).lines[1]
    assert line.get_ydata() == pytest.approx(line.get_xdata())
    bare = point_errors(Trajectory(**common, energies_eV=energies[:6]), reference)
    with pytest.raises(InputError, match="no forces"):
        plot_force_parity(bare)


def figure_legend(ax: object) -> list[str]:
    return [text.get_text() for text in ax.figure.legends[0].get_texts()]


def drawn(ax: object, colour: str) -> list[np.ndarray]:
    return [line.get_ydata() for line in ax.lines if line.get_color() == colour]


def test_surrogates_stand_on_the_axes_of_their_reference() -> None:
    contents = {"good": content(), "costs $5": content(shift=0.05)}
    curves = {name: one["rdf"]["curves"]["Na 671 K"] for name, one in contents.items()}
    ax = plot_rdf_curves(curves, ["Na-Na"])
    assert figure_legend(ax) == ["reference", "good", r"costs \$5"]
    (reference,) = drawn(ax, "black")
    assert reference == pytest.approx(curves["good"]["reference"]["Na-Na"])
    surrogate, below = drawn(ax, COLOURS[1])
    assert surrogate == pytest.approx(curves["costs $5"]["surrogate"]["Na-Na"])
    assert np.diff(below) == pytest.approx(np.diff(surrogate - reference))
    for one in curves.values():
        for side in ("surrogate", "reference"):
            one[side]["Na-O"] = one[side]["Na-Na"]
    stacked = plot_rdf_curves(curves, ["Na-Na", "Na-O"], Figure().add_subplot())
    lower, upper = drawn(stacked, "black")
    assert np.ptp(upper - lower) == pytest.approx(0.0, abs=1e-12)
    assert (upper - lower)[0] > lower.max()


def test_a_density_of_states_is_drawn_up_to_its_end() -> None:
    frequency = np.linspace(0, 50, 501)
    density = np.where(frequency < 10, 0.1, 0.0)
    both = {"reference": density, "surrogate": 0.9 * density}
    ax = plot_spectra({"one": {"frequency_THz": frequency, **both}}, "vdos")
    assert drawn(ax, COLOURS[0])[0] == pytest.approx(0.9 * density)
    assert ax.get_xlim() == pytest.approx((0.0, 11.0), abs=0.2)
    assert "THz" in ax.get_xlabel()
    factor = plot_spectra({"one": {"q_1_A": frequency, **both}}, "sq")
    assert factor.get_xlim() == (0.0, 50.0)


def test_intervals_and_bounds_stand_below_their_reference() -> None:
    side = {"D_cm2_s": 1e-5, "D_interval68_cm2_s": [8e-6, 1.2e-5], "D_upper_bound_cm2_s": None}
    bound = {"D_cm2_s": None, "D_interval68_cm2_s": None, "D_upper_bound_cm2_s": 4e-6}
    rows = {"Na in\nX": [(None, side), ("one", {**side, "D_cm2_s": 9e-6}), ("two", bound)]}
    ax = plot_diffusivity_intervals(rows, ["one", "two"])
    assert figure_legend(ax) == ["reference", "one", "two"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Na in\nX"]
    assert ax.yaxis_inverted()  # the first above
    lines = {c: [line.get_xydata().tolist() for line in ax.lines if line.get_color() == c]
             for c in ("black", *COLOURS[:2])}  # fmt: skip
    assert lines["black"] == [[[8e-6, 0], [1.2e-5, 0]], [[1e-5, 0]]]
    assert lines[COLOURS[0]][1] == [[9e-6, 1]]
    assert [4e-6, 2] in lines[COLOURS[1]][0]
    assert min(x for line in lines[COLOURS[1]] for x, _ in line) == 2e-6
