"""Plots of a comparison: what is drawn is what was found."""

from __future__ import annotations

import numpy as np
import pytest

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
from mlmd.trajectory import Trajectory


def legend(ax: object) -> str:
    box = ax.get_legend()
    return "\n".join([box.get_title().get_text(), *(t.get_text() for t in box.get_texts())])


def test_rdf_parity_says_r2_and_its_ceiling() -> None:
    r_A = np.linspace(0, 8, 200)
    g = {"Li-Li": 1 + np.sin(r_A), "Li-O": 1 + np.cos(r_A)}
    reference = PairCurves(r_A, g, {}, "reference")
    surrogate = PairCurves(r_A, {p: v + 0.05 * np.sin(9 * r_A) for p, v in g.items()}, {}, "s")
    noise = Noise(
        np.array([reference.stacked(list(g)) + e for e in (0.03, -0.03)]), 0.5, 1, "halves"
    )
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
