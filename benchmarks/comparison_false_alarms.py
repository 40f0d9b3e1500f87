"""How often a comparison says no to the same potential, and how often to one made wrong.

    python benchmarks/comparison_false_alarms.py [--pairs 10] [--temperatures 0.5 0.6 0.7 0.85]
        [--lengths-ps 20]

Runs of 100 atoms of the Kob-Andersen mixture at reduced temperatures, and of an ordinary
Lennard-Jones liquid at 1.0. The surrogate starts where the reference does, with new momenta, and is
equilibrated for a tenth of its length; or it starts from another part of a long run (3 ns, or 60
lengths). Prints yes / no / open of each verdict.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from real_motion import EPSILON_EV, KB_EV_K, Liquid, kob_andersen, ordinary_liquid

from mlmd import Trajectory, compare

WRONG = {
    "same": {},
    "sigma +2 %": {"sigma": 1.02},
    "epsilon -15 %": {"epsilon": 0.85},
    "density +5 %": {"edge": 1.05 ** (-1 / 3)},
    "temperature +10 %": {"temperature": 1.1},
}
ORDINARY = 1.0
ANSWERS = ("yes", "no", "inconclusive")


def liquid_at(temperature: float) -> Liquid:
    return ordinary_liquid(0) if temperature == ORDINARY else kob_andersen(0, temperature)


def references(
    liquid: Liquid, temperature: float, n: int, length_ps: float, every_fs: float
) -> Iterator[tuple[Trajectory, np.ndarray]]:
    """Give parts of a long run, and where each begins (3, atoms)."""
    gap_ps = 2.0 if temperature == ORDINARY else max(0.0, 3000.0 / n - length_ps)
    for _ in range(n):
        liquid.move(temperature, gap_ps)
        begin = liquid.positions.copy()
        yield liquid.trajectory(temperature, length_ps, every_fs), begin


def surrogate(
    like: Liquid,
    begin: np.ndarray,
    temperature: float,
    length_ps: float,
    every_fs: float,
    seed: int,
    wrong: dict[str, float],
) -> Trajectory:
    """Repeat a reference from its first frame with a potential or a state that may be wrong."""
    scale = wrong.get("edge", 1.0)
    temperature *= wrong.get("temperature", 1.0)
    liquid = Liquid(
        like.numbers,
        like.edge_A * scale,
        epsilon=np.array(like.epsilon) * wrong.get("epsilon", 1.0),
        sigma=np.array(like.sigma) * wrong.get("sigma", 1.0),
        seed=seed,
    )
    liquid.positions = np.ascontiguousarray(begin * scale)
    liquid.draw(temperature)
    liquid.move(temperature, max(1.0, 0.1 * length_ps))
    return liquid.trajectory(temperature, length_ps, every_fs)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=10)
    options.add_argument(
        "--temperatures", type=float, nargs="+", default=[1.0, 0.85, 0.7, 0.6, 0.5]
    )
    options.add_argument("--lengths-ps", type=float, nargs="+", default=[20.0])
    given = options.parse_args()
    warnings.simplefilter("ignore")
    n = given.pairs
    for temperature in given.temperatures:
        every_fs = 20.0 if temperature == ORDINARY else 100.0
        liquid = liquid_at(temperature)
        for length_ps in given.lengths_ps:
            runs = list(references(liquid, temperature, n, length_ps, every_fs))
            for name, wrong in WRONG.items():
                for start, shift in (("equal", 0), ("independent", n // 2)):
                    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
                    for k, (reference, _) in enumerate(runs):
                        begin = runs[(k + shift) % n][1]
                        made = surrogate(
                            liquid, begin, temperature, length_ps, every_fs, k + 1000, wrong
                        )
                        result = compare(
                            made, reference, temperature_K=temperature * EPSILON_EV / KB_EV_K
                        )
                        for verdict, judged in result.verdict.items():
                            found[verdict][judged.answer] += 1
                    told = ", ".join(
                        f"{verdict} {' / '.join(str(counts[one]) for one in ANSWERS)}"
                        for verdict, counts in found.items()
                    )
                    print(
                        f"T* {temperature:g}, {length_ps:g} ps, {start} starts, {name}: {told}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
