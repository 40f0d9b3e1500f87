"""Draw docs/images/diffusivity-calibration.png: coverage of the 68 % intervals, counted.

    python docs/make_calibration.py [--trials 1000] [--liquids 400]

Left: free walkers with some vibration, 8 of them, 0.5 ps between frames, runs of 2 to 20 windows of
15 ps. Right: an ordinary liquid, pieces of 4 to 100 ps. Nothing is left out by a gate.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from matplotlib.pyplot import subplots  # noqa: E402
from real_motion import as_trajectory, ordinary_liquid  # noqa: E402
from synthetic_motion import trajectory_of, walk  # noqa: E402

from mlmd.analysis import diffusivity, mean_squared_displacement  # noqa: E402
from mlmd.numerics.displacement import all_origins_msd_axes  # noqa: E402
from mlmd.numerics.weighted_line import weighted_line  # noqa: E402
from mlmd.plot.calibration import Coverage, plot_calibration  # noqa: E402

WINDOWS = np.array([2, 3, 5, 10, 20])
LENGTHS_PS, PIECES = (4, 10, 20, 40, 100), 10
ATOMS, INTERVAL_FS, FRAMES_PER_WINDOW = 8, 500.0, 30
TRUE_CM2_S = 0.5 / 0.5 * 1e-4  # half a unit of length squared every half ps


def covered(trajectory) -> tuple[bool, bool, bool]:
    """Whether gls, windowed, and a least-squares line with its own error hold the truth."""
    found = []
    for estimator in ("gls", "windowed"):
        low, high = diffusivity(
            trajectory, "Li", estimator=estimator, drift="none"
        ).D_interval68_cm2_s
        found.append(low < TRUE_CM2_S < high)
    msd = mean_squared_displacement(trajectory, "Li", drift="none", max_lag_ps=15.0)
    fitted = slice(2, 31)
    line = weighted_line(msd.lag_ps[fitted], msd.msd_A2[fitted])
    error = np.sqrt(line.covariance[1, 1] * line.chi2 / (len(msd.lag_ps[fitted]) - 2))
    found.append(abs(line.slope / 6 * 1e-4 - TRUE_CM2_S) < error / 6 * 1e-4)
    return tuple(found)


def on_a_liquid(trials: int) -> dict[str, Coverage]:
    """Coverage on pieces of long runs of a Lennard-Jones liquid of 100 atoms (0.84, T* 1.1)."""
    held = {label: np.zeros(len(LENGTHS_PS)) for label in ("gls", "windowed, five windows")}
    counted = np.zeros(len(LENGTHS_PS))
    slopes, parts = [], []
    for seed in range(trials // PIECES):
        liquid = ordinary_liquid(seed, density=0.84, temperature=1.1)
        for place, length in enumerate(LENGTHS_PS):
            frames, _ = liquid.move(1.1, PIECES * float(length), every_fs=40.0)
            msd = all_origins_msd_axes(frames, max_lag=75).sum(axis=1)
            slopes.append(((msd[75] - msd[25]) / 2.0 / 6.0 * 1e-4, PIECES * length))
            for start in range(PIECES):
                first = start * length * 25
                part = as_trajectory(frames[first : first + length * 25 + 1], liquid, 40.0)
                window = length / 5
                fit = {"window_ps": window, "fit_ps": (min(1.0, window / 5), window)}
                both = (diffusivity(part, "Na", **how).D_interval68_cm2_s for how in ({}, fit))
                parts.append((place, *both))
                counted[place] += 1
    values, weights = np.array(slopes).T
    true = float(np.average(values, weights=weights))
    for place, *both in parts:
        for label, (low, high) in zip(held, both, strict=True):
            held[label][place] += low < true < high
    for label, found in held.items():
        logging.info("liquid, %s: %s of %s", label, found, counted)
    return {
        label: Coverage(np.array(LENGTHS_PS), found / counted, int(counted[0]))
        for label, found in held.items()
    }


def main() -> None:
    """Count, and draw."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=1000)
    options.add_argument("--liquids", type=int, default=400, help="pieces of each length")
    options.add_argument("--out", default=str(HERE / "images" / "diffusivity-calibration.png"))
    given = options.parse_args()
    rows = []
    for windows in WINDOWS:
        rng = np.random.default_rng(int(windows))
        frames = FRAMES_PER_WINDOW * int(windows) + 1
        counted = [
            covered(trajectory_of(walk(rng, frames, ATOMS, noise=0.5), INTERVAL_FS))
            for _ in range(given.trials)
        ]
        rows.append(np.mean(counted, axis=0))
        logging.info("%d windows: gls %.3f, windowed %.3f, line's own %.3f", windows, *rows[-1])
    labels = ("gls", "windowed", "line's own standard error")
    coverages = {
        label: Coverage(WINDOWS, column, given.trials)
        for label, column in zip(labels, np.array(rows).T, strict=True)
    }
    figure, (left, right) = subplots(1, 2, figsize=(9.0, 3.6), layout="constrained", sharey=True)
    plot_calibration(coverages, left).set_title("Random walks, 8 atoms", fontsize=10)
    plot_calibration(on_a_liquid(given.liquids), right, xlabel="Length of the run (ps)")
    right.set_title("A Lennard-Jones liquid, 100 atoms", fontsize=10)
    right.set_ylabel("")
    figure.savefig(given.out, dpi=150)


if __name__ == "__main__":
    main()
