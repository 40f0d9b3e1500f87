"""What lengthening runs until D looks known does to its intervals.

    python benchmarks/optional_stopping.py [--runs 400] [--processes 2]

Runs of a Lennard-Jones liquid of 100 atoms and of a mixture of 16 + 16 (each its own melt, 2 to
100 ps), and of a supercooled Kob-Andersen mixture (pieces of 400 ps of long runs) are lengthened by
the rule of campaigns,
``until: {relative_error, max_ps}``. Counted: how often the 68 % interval of the final D holds the
truth, its bias, and, beside it, the intervals of runs of the same lengths that nobody looked at
before: of the next run in line. Target: at least 63 % hold.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from diffusivity_on_liquids import slope_cm2_s
from real_motion import as_trajectory, kob_andersen, ordinary_liquid
from stand_in_demos import settled

from mlmd.analysis import diffusivity
from mlmd.campaign import Until

TARGETS = (0.3, 0.2, 0.1)


def lengthened(frames: np.ndarray, liquid: Any, every_fs: float, first_ps: float, until: Until):
    """Return the final length in frames, D and interval of each species, and how many looks."""
    every_ps, length_ps, looks = every_fs / 1000.0, first_ps, 0
    while True:
        part = as_trajectory(frames[: round(length_ps / every_ps) + 1], liquid, every_fs)
        looks += 1
        longer_ps = until.next_ps(part, length_ps, every_ps, {})
        if longer_ps is None or length_ps >= until.max_ps:
            return round(length_ps / every_ps), measured(part), looks
        length_ps = longer_ps


def measured(part: Any) -> dict[str, tuple[float, float, float]]:
    """Return D and the ends of its interval, by species that diffuse."""
    found = {}
    for symbol in part.species:
        one = diffusivity(part, symbol)
        if one.is_diffusive and one.D_interval68_cm2_s is not None:
            found[symbol] = (one.D_raw_cm2_s, *one.D_interval68_cm2_s)
    return found


def one_liquid(seed: int) -> Any:
    warnings.simplefilter("ignore")
    liquid = ordinary_liquid(seed, 0.8, 1.0)
    frames, _ = liquid.move(1.0, 200.0, every_fs=20.0)
    assert frames is not None
    truth = {"Na": slope_cm2_s(frames, 50, 500, 0.02)}
    return truth, [frames], liquid, 20.0


def one_supercooled(seed: int) -> Any:
    warnings.simplefilter("ignore")
    liquid = kob_andersen(1000 + seed, 0.7, masses=(1.0, 1.0))
    frames, _ = liquid.move(0.7, 4000.0, every_fs=100.0)
    assert frames is not None
    large = liquid.numbers[0]
    truth = {
        "Na": slope_cm2_s(frames[:, :large], 100, 500, 0.1),
        "Li": slope_cm2_s(frames[:, large:], 100, 500, 0.1),
    }
    pieces = [frames[n * 4000 : (n + 1) * 4000 + 1] for n in range(10)]
    return truth, pieces, liquid, 100.0


def one_mixture(seed: int) -> Any:
    warnings.simplefilter("ignore")
    liquid = settled(seed, 1.26, 2.0)
    frames, _ = liquid.move(1.26, 200.0, every_fs=20.0)
    assert frames is not None
    half = liquid.numbers[0]
    truth = {
        "Li": slope_cm2_s(frames[:, :half], 50, 500, 0.02),
        "Cl": slope_cm2_s(frames[:, half:], 50, 500, 0.02),
    }
    return truth, [frames], liquid, 20.0


def stopped(
    make: Any, targets: tuple[float, ...], first_ps: float, max_ps: float, seed: int
) -> Any:
    """Lengthen each run by each rule; measure the next run at the same length."""
    warnings.simplefilter("ignore")
    truth, runs, liquid, every_fs = make(seed)
    rows = []
    for target in targets:
        until = Until(target, max_ps)
        for number, frames in enumerate(runs):
            n_frames, found, looks = lengthened(frames, liquid, every_fs, first_ps, until)
            other = runs[number - 1][: n_frames + 1] if len(runs) > 1 else frames[-n_frames - 1 :]
            unseen = measured(as_trajectory(other, liquid, every_fs))
            at_limit = n_frames * every_fs / 1000.0 >= max_ps - 1e-6
            rows.append((target, at_limit, n_frames * every_fs / 1000.0, looks, found, unseen))
    return truth, rows


def summary(found: list[tuple[float, float, float]], truths: list[float]) -> str:
    if not found:
        return "none"
    values, truth = np.array(found), np.array(truths)
    held = (values[:, 1] <= truth) & (truth <= values[:, 2])
    mean = (values[:, 0] / truth).mean()
    return f"{100 * held.mean():3.0f} % of {len(held)} held, mean D {mean:.3f}"


def main() -> None:
    """Count both kinds of liquids."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    # With 100 atoms alike D is known to 5 % after 2 ps.
    kinds: dict[str, Any] = {
        "LJ liquid, 2 to 100 ps": (one_liquid, (0.05, 0.03, 0.02), 2.0, 100.0, options.runs),
        "mixture of 16 + 16 atoms, 2 to 100 ps": (one_mixture, TARGETS, 2.0, 100.0, options.runs),
        "Kob-Andersen, T* 0.7, 20 to 400 ps": (
            one_supercooled,
            TARGETS,
            20.0,
            400.0,
            options.runs // 13,
        ),
    }
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for name, (make, targets, first_ps, max_ps, n_seeds) in kinds.items():
            runs = list(pool.map(partial(stopped, make, targets, first_ps, max_ps), range(n_seeds)))
            # One truth for all: the mean over the long runs.
            truth = {s: float(np.mean([one[0][s] for one in runs])) for s in runs[0][0]}
            print(name, {s: f"{D:.3g} cm2/s" for s, D in truth.items()})
            for target in targets:
                rows = [row for _, each in runs for row in each if row[0] == target]
                n_limit = sum(row[1] for row in rows)
                lengths = np.median([row[2] for row in rows])
                looks = np.mean([row[3] for row in rows])
                for symbol, D in truth.items():
                    seen = [row[4][symbol] for row in rows if symbol in row[4]]
                    unseen = [row[5][symbol] for row in rows if symbol in row[5]]
                    print(
                        f"  to {target:4.2f}  {symbol}: {summary(seen, [D] * len(seen))} "
                        f"(nobody looked: {summary(unseen, [D] * len(unseen))}); median "
                        f"{lengths:.0f} ps, {looks:.1f} looks, {n_limit} of {len(rows)} at the "
                        "limit",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
