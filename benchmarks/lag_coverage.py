"""How often the error of the estimator ``lag`` holds, on walks and in Lennard-Jones liquids.

    python benchmarks/lag_coverage.py [--trials 500] [--runs 40]

The truth of a liquid is the slope of the MSD of all its runs together.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from real_motion import SIGMA_A, Liquid, ordinary_liquid
from synthetic_motion import caged_hopping, in_groups, trajectory_of, walk

from mlmd import Trajectory
from mlmd.analysis import Diffusivity, diffusivity, mean_squared_displacement
from mlmd.numerics.student import ONE_SIGMA, student_factor

FIT_PS = (5.0, 10.0)
"""Lags of the truth: behind the first picoseconds, far below the length of the long runs."""


def say(what: str, found: Iterable[Diffusivity], true_cm2_s: float) -> None:
    """Print how often intervals of 68 and 95 % hold, and the errors beside the scatter."""
    results = list(found)
    D = np.array([one.D_raw_cm2_s for one in results])
    wide = student_factor(results[0].df, 0.95) / student_factor(results[0].df, ONE_SIGMA)
    below, above = np.abs(np.array([one.D_interval68_cm2_s for one in results]).T - D)
    missed = np.where(true_cm2_s < D, (D - true_cm2_s) / below, (true_cm2_s - D) / above)
    error = np.median([one.D_stderr_cm2_s for one in results])
    together = np.mean([one.details["collective_factor"] for one in results])
    held68, held95 = (100 * (missed < factor).mean() for factor in (1.0, wide))
    print(
        f"{what:<48} {len(D):5d}  {held68:4.1f} {held95:5.1f}"
        f"  {D.mean() / true_cm2_s:5.3f}  {D.std() / true_cm2_s:5.3f} {error / true_cm2_s:5.3f}"
        f"  {together:4.2f}",
        flush=True,
    )


def of_walks(n: int) -> None:
    """Print what holds where D is known exactly."""
    settings = {"estimator": "lag", "drift": "none"}

    def measured(motions: Iterable[np.ndarray]) -> Iterable[Diffusivity]:
        return (diffusivity(trajectory_of(one), "Li", **settings) for one in motions)

    for frames, atoms in ((401, 100), (101, 100), (401, 20), (401, 8)):
        rng = np.random.default_rng((frames, atoms))
        motions = (walk(rng, frames, atoms) for _ in range(n))
        say(f"walk of {atoms} atoms, {frames} frames", measured(motions), 5e-4)
    rng = np.random.default_rng(2)
    motions = (in_groups(rng, 200, 40, 4) for _ in range(n))
    say("walk of 40 atoms in groups of four", measured(motions), 5e-4)
    for rate in (0.4, 0.05):
        motions = (caged_hopping(rng, 400, 30, rate) for _ in range(n))
        say(f"caged hopping, {rate:g} jumps per ps and atom", measured(motions), 1.5e-4 * rate)


def heavy_and_light(seed: int, density: float, temperature: float) -> Liquid:
    """Return a liquid of one potential, half of whose atoms are five times as heavy."""
    edge_A = (100 / density) ** (1 / 3) * SIGMA_A
    liquid = Liquid(
        (50, 50),
        edge_A,
        epsilon=((1.0, 1.0), (1.0, 1.0)),
        sigma=((1.0, 1.0), (1.0, 1.0)),
        masses=(1.0, 5.0),
        seed=seed,
    )
    liquid.draw(4 * temperature)
    liquid.move(4 * temperature, 5.0)
    liquid.move(temperature, 20.0)
    return liquid


def of_liquids(runs: int) -> None:
    """Print what holds in liquids of 100 atoms."""
    for make, density, temperature in (
        (ordinary_liquid, 0.8, 1.0),
        (ordinary_liquid, 0.9, 1.2),
        (ordinary_liquid, 0.7, 0.8),
        (heavy_and_light, 0.8, 1.0),
    ):
        long: list[Trajectory] = [
            make(seed, density, temperature).trajectory(temperature, 100.0, 40.0)
            for seed in range(runs)
        ]
        slopes = []
        for run in long:
            msd = mean_squared_displacement(run, "Na", max_lag_ps=FIT_PS[1])
            ends = np.searchsorted(msd.lag_ps, np.array(FIT_PS) - 1e-6)
            slopes.append(np.diff(msd.msd_A2[ends])[0] / (FIT_PS[1] - FIT_PS[0]))
        true_cm2_s = float(np.mean(slopes)) / 6.0 * 1e-4
        for length_ps, pieces in ((4.0, 10), (10.0, 6), (20.0, 4), (100.0, 1)):
            frames = round(length_ps * 25)
            found = (
                diffusivity(run.part(k * frames, (k + 1) * frames + 1), "Na", estimator="lag")
                for run in long
                for k in range(pieces)
            )
            what = "light of a mixture" if make is heavy_and_light else "liquid"
            what = f"{what}, density {density:g}, T* {temperature:g}, {length_ps:g} ps"
            say(what, found, true_cm2_s)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=500, help="walks of each kind")
    options.add_argument("--runs", type=int, default=40, help="long runs of each liquid")
    given = options.parse_args()
    print(f"{'motion':<48} {'n':>5}  68 %  95 %   D/D0   scatter error  factor")
    of_walks(given.trials)
    of_liquids(given.runs)


if __name__ == "__main__":
    main()
