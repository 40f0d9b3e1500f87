"""How often intervals and bounds of D hold on real correlated motion, by estimator.

    python benchmarks/diffusivity_on_liquids.py [--runs 400] [--seeds 4] [--processes 2] [--only ka]

Lennard-Jones liquids of 100 atoms at several densities and temperatures (each run has its own
melt), and supercooled Kob-Andersen mixtures (pieces of runs of 3 ns). The truth is the mean slope
over all runs of the liquid, and of the long run, at lags at which it is constant. Prints the rows
of the tables of docs/physics.md.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from real_motion import as_trajectory, kob_andersen, ordinary_liquid

from mlmd.analysis import Diffusivity, diffusivity
from mlmd.analysis.diffusion.estimators.interval import diffusion_interval
from mlmd.numerics.displacement import all_origins_msd_axes

LIQUIDS = {"LJ 0.8, T* 1": (0.8, 1.0), "LJ 0.9, T* 1": (0.9, 1.0), "LJ 0.7, T* 1.2": (0.7, 1.2)}
LENGTHS_PS = (4, 10, 20, 100)
SUPERCOOLED = {
    0.6: (1.0, 1.0),
    0.7: (1.0, 1.0),
    0.85: (1.0, 1.0),
    1.0: (1.0, 1.0),
    0.65: (1.0, 4.0),
}
"""Reduced temperatures, and masses of the two species."""
PIECES_PS = (20, 50, 100, 200, 400)
LONG_PS = 3000


@dataclass(frozen=True)
class Found:
    """What one run says."""

    D: float
    low68: float
    high68: float
    low95: float
    high95: float
    verdict: str
    upper: float
    relaxations: float

    @classmethod
    def of(cls, result: Diffusivity, n_atoms: int, duration_ps: float) -> Found:
        stderr = result.D_stderr_cm2_s
        low, high = result.D_interval68_cm2_s or (np.nan, np.nan)
        wide = (np.nan, np.nan)
        if stderr is not None:
            wide = diffusion_interval(
                result.D_raw_cm2_s, stderr**2, 0.0, df=result.df, probability=0.95
            )
        relaxed = result.motion.relaxation
        return cls(
            result.D_raw_cm2_s,
            low,
            high,
            *wide,
            result.verdict,
            np.nan if result.D_upper_bound_cm2_s is None else result.D_upper_bound_cm2_s,
            np.nan if relaxed is None else relaxed.relaxations,
        )


def settings_of(name: str, length_ps: float) -> dict[str, Any]:
    if name == "windowed, 5":
        window = length_ps / 5
        return {"window_ps": window, "fit_ps": (min(1.0, window / 5), window)}
    return {"estimator": name}


def measured(trajectory: Any, species: str, names: tuple[str, ...]) -> dict[str, Found]:
    found = {}
    for name in names:
        result = diffusivity(trajectory, species, **settings_of(name, trajectory.duration_ps))
        found[name] = Found.of(result, result.n_atoms, result.duration_ps)
    return found


def slope_cm2_s(positions: np.ndarray, first: int, last: int, interval_ps: float) -> float:
    msd = all_origins_msd_axes(positions, max_lag=last).sum(axis=1)
    return float(msd[last] - msd[first]) / ((last - first) * interval_ps) / 6.0 * 1e-4


def one_liquid(names: tuple[str, ...], density: float, temperature: float, seed: int) -> Any:
    warnings.simplefilter("ignore")
    liquid = ordinary_liquid(seed, density, temperature)
    frames, _ = liquid.move(temperature, float(max(LENGTHS_PS)), every_fs=20.0)
    assert frames is not None
    parts = {n: as_trajectory(frames[: n * 50 + 1], liquid, 20.0) for n in LENGTHS_PS}
    found = {length: measured(part, "Na", names) for length, part in parts.items()}
    return slope_cm2_s(frames, 50, 500, 0.02), found


def one_supercooled(
    names: tuple[str, ...], temperature: float, masses: tuple[float, float], seed: int
) -> Any:
    warnings.simplefilter("ignore")
    liquid = kob_andersen(1000 + seed, temperature, masses=masses)
    frames, _ = liquid.move(temperature, LONG_PS, every_fs=100.0)
    assert frames is not None
    large = liquid.numbers[0]
    found: dict[tuple[str, int], list[dict[str, Found]]] = {}
    for length in PIECES_PS:
        for start in range(0, len(frames) - length * 10, length * 10):
            part = as_trajectory(frames[start : start + length * 10 + 1], liquid, 100.0)
            for species in liquid.symbols:
                found.setdefault((species, length), []).append(measured(part, species, names))
    first, last = (300, 1500) if temperature < 0.68 else (100, 500)
    truth = {
        "Na": slope_cm2_s(frames[:, :large], first, last, 0.1),
        "Li": slope_cm2_s(frames[:, large:], first, last, 0.1),
    }
    return truth, found


def row(what: str, name: str, found: list[Found], truths: list[float]) -> str:
    D = np.array([one.D for one in found]) / truths
    truth = np.array(truths)

    def hold(low: str, high: str, among: Any) -> str:
        ends = np.array([(getattr(one, low), getattr(one, high)) for one in found])[among]
        if not len(ends) or np.isnan(ends).all():
            return "-"
        return f"{100 * np.mean((ends[:, 0] <= truth[among]) & (truth[among] <= ends[:, 1])):.0f}"

    moving = np.array([one.verdict == "diffusive" for one in found])
    every, bound = np.ones(len(found), bool), np.array([one.upper for one in found])
    lives = np.nanmedian([one.relaxations for one in found])
    cells = [
        what, name, str(len(found)), f"{lives:.0f}", f"{D.mean():.2f}", f"{D.std():.3f}",
        hold("low68", "high68", every), hold("low95", "high95", every),
        f"{100 * moving.mean():.0f}",
        f"{D[moving].mean():.2f}" if moving.any() else "-", hold("low68", "high68", moving),
    ]  # fmt: skip
    if moving.all():
        cells += ["-", "-"]
    else:
        cells += [
            f"{100 * np.mean(bound[~moving] >= truth[~moving]):.0f}",
            f"{np.nanmedian(bound[~moving] / truth[~moving]):.1f}",
        ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| motion | estimator | n | run/tau | D/true | std | 68 % | 95 % | diffusive % "
    "| of those D/true | 68 % | else: bounds hold % | median bound/true |\n|" + "---|" * 13
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=400)
    options.add_argument("--seeds", type=int, default=4)
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--only", choices=("lj", "ka"))
    options.add_argument("--estimators", nargs="+", default=["gls", "windowed, 5", "lag"])
    given = options.parse_args()
    names = tuple(given.estimators)
    print(HEAD, flush=True)
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for what, (density, temperature) in LIQUIDS.items() if given.only != "ka" else ():
            job = partial(one_liquid, names, density, temperature)
            runs = list(pool.map(job, range(given.runs)))
            true = float(np.mean([slope for slope, _ in runs]))
            for length in LENGTHS_PS:
                for name in names:
                    found = [by_length[length][name] for _, by_length in runs]
                    print(row(f"{what}, {length} ps", name, found, [true] * len(found)), flush=True)
        for temperature, masses in SUPERCOOLED.items() if given.only != "lj" else ():
            job = partial(one_supercooled, names, temperature, masses)
            longs = list(pool.map(job, range(given.seeds)))
            for species in ("Na", "Li"):
                for length in PIECES_PS:
                    for name in names:
                        # Each long run is its own truth: liquids of 100 atoms differ for ns.
                        pairs = [
                            (piece[name], truth[species])
                            for truth, found in longs
                            for piece in found[species, length]
                        ]
                        label = f"KA {temperature:g}, {'AB'[species == 'Li']}, {length} ps"
                        print(row(label, name, *map(list, zip(*pairs, strict=True))), flush=True)


if __name__ == "__main__":
    main()
