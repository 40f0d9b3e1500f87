"""A hundred stand-ins of ``make demo``: do intervals hold, and how many alarms are false?

    python benchmarks/stand_in_demos.py [--demos 100] [--processes 2]

As the recipe `quickstart` does it, with a Lennard-Jones mixture of 16 + 16 atoms: melted, 1 ps to
settle and 6 ps measured at each of three temperatures, a frame every 20 fs; D and E_a by
``summarize``. The truth is from long runs of as many atoms.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from real_motion import EPSILON_EV, KB_EV_K, SIGMA_A, Liquid

from mlmd.analysis import arrhenius, summarize
from mlmd.numerics.displacement import all_origins_msd_axes

TEMPERATURES = (0.9, 1.26, 1.62)
N_ATOMS, DENSITY, MELT = 32, 0.78, 2.25
LONG_PS, LONG_RUNS = 400.0, 8
TRUE_OF_MELTS = ("framework_moves",)
"""Findings that are no false alarms: the chlorine of a melt does move."""


def melted(seed: int) -> Liquid:
    half = N_ATOMS // 2
    liquid = Liquid(
        (half, half),
        (N_ATOMS / DENSITY) ** (1 / 3) * SIGMA_A,
        symbols=("Li", "Cl"),
        epsilon=((1.0, 1.2), (1.2, 1.0)),
        sigma=((0.9, 0.95), (0.95, 1.05)),
        masses=(0.5, 1.5),
        seed=seed,
    )
    liquid.draw(MELT)
    liquid.move(MELT, 2.0, step_fs=1.0)
    return liquid


def settled(seed: int, temperature: float, duration_ps: float) -> Liquid:
    liquid = melted(seed)
    liquid.draw(temperature)
    liquid.move(temperature, duration_ps)
    return liquid


def kelvin(temperature: float) -> float:
    return temperature * EPSILON_EV / KB_EV_K


def truth(job: tuple[int, float]) -> float:
    """D of the light species in a long run, in cm2/s."""
    seed, temperature = job
    frames, _ = settled(5000 + seed, temperature, 10.0).move(temperature, LONG_PS, every_fs=40.0)
    assert frames is not None
    msd = all_origins_msd_axes(frames[:, : N_ATOMS // 2], max_lag=250).sum(axis=1)
    return float(msd[250] - msd[50]) / 8.0 / 6.0 * 1e-4


def demo(seed: int):
    """One stand-in: D, intervals, E_a, its interval, and what was doubted."""
    warnings.simplefilter("ignore")
    stages = {}
    for number, temperature in enumerate(TEMPERATURES):
        liquid = settled(100 * seed + number, temperature, 1.0)
        trajectory = liquid.trajectory(temperature, 6.0, 20.0)
        stages[f"production-{number}"] = (trajectory, kelvin(temperature))
    found = summarize(stages, species="Li")
    points = [stage.species["Li"] for stage in found.stages.values()]
    law = found.arrhenius["Li"]
    doubts = [
        finding.code
        for finding in found.findings
        if finding.severity in ("doubt", "invalid") and finding.code not in TRUE_OF_MELTS
    ]
    ends = [point.D_interval68_cm2_s for point in points]
    values = [point.D_raw_cm2_s for point in points]
    energy = None if law is None else (law.E_a_eV, law.E_a_interval68_eV)
    return values, ends, energy, doubts


def main() -> None:
    """Count and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--demos", type=int, default=100)
    options.add_argument("--processes", type=int, default=2)
    given = options.parse_args()
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        jobs = [(seed, T) for T in TEMPERATURES for seed in range(LONG_RUNS)]
        slopes = np.array(list(pool.map(truth, jobs))).reshape(len(TEMPERATURES), LONG_RUNS)
        demos = list(pool.map(demo, range(given.demos)))
    true = slopes.mean(axis=1)
    error = slopes.std(axis=1, ddof=1) / np.sqrt(LONG_RUNS)
    law = arrhenius([kelvin(T) for T in TEMPERATURES], true, error)
    print(f"true D {true} +- {error} cm2/s; E_a {law.E_a_eV:.4f} +- {law.E_a_stderr_eV:.4f} eV")
    for number, temperature in enumerate(TEMPERATURES):
        D = np.array([values[number] for values, *_ in demos]) / true[number]
        held = [ends[number][0] <= true[number] <= ends[number][1] for _, ends, *_ in demos]
        print(
            f"T* = {temperature}: D/true {D.mean():.3f}, std {D.std():.3f}; "
            f"{100 * np.mean(held):.0f} % held"
        )
    known = [energy for _, _, energy, _ in demos if energy is not None]
    values = np.array([energy for energy, _ in known])
    held = [ends is not None and ends[0] <= law.E_a_eV <= ends[1] for _, ends in known]
    print(
        f"E_a in {len(known)} of {len(demos)}: {values.mean():.4f}, std {values.std():.4f} eV; "
        f"{100 * np.mean(held):.0f} % held"
    )
    counted = Counter(code for *_, doubts in demos for code in set(doubts))
    doubted = sum(bool(doubts) for *_, doubts in demos)
    print(f"demos with a false alarm: {doubted} of {len(demos)}; {dict(counted)}")


if __name__ == "__main__":
    main()
