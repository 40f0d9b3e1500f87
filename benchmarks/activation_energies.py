"""What an activation energy and its error are worth: Student errors, bounds, and curvature.

    python benchmarks/activation_energies.py [--trials 200] [--runs FOLDER] [PART ...]

Parts: errors, selection, hopping, curvature, supercooled (all if not given). Each line says how
E_a over its true value comes out in mean and median, how often the 68 % interval holds it, and the
same if bounds are dropped. ``supercooled`` keeps its long runs of the Kob-Andersen liquid in a
folder: half a minute of computing for each of them, once.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from synthetic_motion import JUMP_A, caged_hopping, trajectory_of

from mlmd.analysis import (
    Diffusivity,
    activation_energy_bound,
    arrhenius,
    diffusivity,
    vogel_fulcher_tammann,
)
from mlmd.errors import InputError

KB_EV_K = 8.617333262e-5


@dataclass
class Sample:
    """Points of one replicate, as `arrhenius` takes them."""

    T_K: np.ndarray
    D: list[float | None]
    stderr: list[float | None]
    df: list[float]
    upper: list[float | None]

    @classmethod
    def of(cls, T_K: np.ndarray, results: list[Diffusivity]) -> Sample:
        return cls(
            T_K,
            [r.D_cm2_s for r in results],
            [r.D_stderr_cm2_s for r in results],
            [r.df or np.inf for r in results],
            [r.D_upper_bound_cm2_s for r in results],
        )

    def chosen(self, keep: np.ndarray) -> Sample:
        def some(values: list) -> list:
            return [v for v, k in zip(values, keep, strict=True) if k]

        parts = (self.D, self.stderr, self.df, self.upper)
        return Sample(self.T_K[keep], *map(some, parts))

    @property
    def measured(self) -> np.ndarray:
        return np.array([D is not None for D in self.D], dtype=bool)

    @property
    def bounded(self) -> np.ndarray:
        bounds = [u is not None and D is None for D, u in zip(self.D, self.upper, strict=True)]
        return np.array(bounds, dtype=bool)

    def keywords(self) -> dict:
        return {"df": self.df, "D_upper_bound_cm2_s": self.upper}


@dataclass
class Outcome:
    E_over_truth: float
    held: bool
    p_value: float | None


def law_of(sample: Sample, truth_eV: float) -> Outcome | None:
    if len(set(sample.T_K[sample.measured])) < 2:
        return None
    try:
        law = arrhenius(sample.T_K, sample.D, sample.stderr, **sample.keywords())
    except InputError:
        return None
    low, high = law.E_a_interval68_eV
    return Outcome(law.E_a_eV / truth_eV, low <= truth_eV <= high, law.p_value)


def say(name: str, samples: list[Sample], truths: list[float]) -> None:
    """Print what laws of the samples are worth, with their bounds and without."""
    usable = [s.chosen(s.measured | s.bounded) for s in samples]
    line = f"{name:<44}"
    for some in (usable, [s.chosen(s.measured) for s in usable]):
        found = [law_of(s, truth) for s, truth in zip(some, truths, strict=True)]
        laws = [f for f in found if f is not None]
        if not laws:
            line += "   no law"
            continue
        ratio = [f.E_over_truth for f in laws]
        p = [f.p_value for f in laws if f.p_value is not None]
        held = 100 * np.mean([f.held for f in laws])
        line += f" {np.mean(ratio):6.3f} {np.median(ratio):6.3f} {held:5.1f}%"
        line += f" {100 * np.mean(np.array(p) < 0.05):5.1f}%" if p else "     -"
    bounds = []
    for s, truth in zip(usable, truths, strict=True):
        if len(set(s.T_K[s.measured])) == 1 and s.bounded.any():
            low = activation_energy_bound(
                s.T_K, s.D, s.stderr, df=s.df, D_upper_bound_cm2_s=s.upper
            )
            if low is not None:
                bounds.append(low <= truth)
    n = len(samples)
    line += f"   bounds in {sum(s.bounded.any() for s in usable)} of {n}"
    if bounds:
        line += f"; one-sided holds in {sum(bounds)} of {len(bounds)}"
    print(line, flush=True)


def head(what: str) -> None:
    print(f"\n{what}\n{'':<44} E_a/true  median   held  p<.05 | without bounds: the same")


def exact(T_K: np.ndarray, E_a_eV: float, at_K: float = 1300.0) -> np.ndarray:
    """D in units of that at one temperature."""
    return np.exp(-E_a_eV / KB_EV_K * (1 / T_K - 1 / at_K))


Draw = Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def windows(number: int, shape: float) -> Draw:
    """Mean and error of so many windows, each with a relative error of 1 / sqrt(shape)."""

    def draw(rng, D):
        each = D[:, None] * rng.gamma(shape, 1 / shape, (len(D), number))
        return each.mean(1), each.std(1, ddof=1) / np.sqrt(number), np.full(len(D), number - 1.0)

    return draw


def proportional(relative: float, df: float) -> Draw:
    """An error in proportion to the D that was found, as `gls` has it."""

    def draw(rng, D):
        found = D * rng.gamma(relative**-2, relative**2, len(D))
        scale = 1.0 if np.isinf(df) else np.sqrt(rng.chisquare(df, len(D)) / df)
        return found, relative * found * scale, np.full(len(D), df)

    return draw


def drawn(
    rng, T_K: np.ndarray, D: np.ndarray, how: Draw, gate: float = 0.0, blur: float = 0.0,
    excess: float = 0.0,
) -> Sample:  # fmt: skip
    """Draw estimates of D; those below a gate are bounds.

    ``blur`` is the scatter of ln(gate). ``excess``, in units of the gate, is what cages add to the
    estimates of runs that do not pass.
    """
    found, sigma, df = how(rng, D)
    passed = found > gate * np.exp(blur * rng.normal(size=len(D)))
    raw = found + excess * gate * rng.uniform(0.5, 1.5, len(D))
    upper = raw + stdtrit(df, 0.95) * sigma
    return Sample(
        T_K,
        [x if ok else None for x, ok in zip(found, passed, strict=True)],
        list(sigma),
        list(df),
        [None if ok else x for x, ok in zip(upper, passed, strict=True)],
    )


def errors(n: int) -> None:
    """Errors that rest on few windows."""
    head("errors from few windows, E_a = 0.25 eV, 1000 to 1800 K")
    for temperatures in (2, 3, 4, 6):
        T = np.linspace(1000, 1800, temperatures)
        for name, how in {
            "three windows": windows(3, 6),
            "five windows": windows(5, 4),
            "eleven windows": windows(11, 2),
            "proportional, df 8": proportional(0.2, 8),
            "proportional, known": proportional(0.15, np.inf),
        }.items():
            rng = np.random.default_rng(temperatures)
            samples = [drawn(rng, T, exact(T, 0.25), how) for _ in range(n)]
            say(f"{temperatures} temperatures, {name}", samples, [0.25] * n)


def selection(n: int) -> None:
    """Estimates that pass a gate where they are high enough."""
    head("a gate on the estimate itself, at the D of 1000 K; E_a = 0.35 eV")
    few, many = np.array([900.0, 1050.0, 1300.0, 1800.0]), np.linspace(800, 1800, 6)
    rough, fine = proportional(0.3, 4), proportional(0.12, 10)
    for name, (T, how, more) in {
        "four temperatures": (few, rough, {}),
        "six temperatures": (many, rough, {}),
        "four, three windows": (few, windows(3, 4), {}),
        "four, small errors": (few, fine, {}),
        "six, small errors": (many, fine, {}),
        "four, a blurred gate": (few, rough, {"blur": 0.5}),
        "four, cages below the gate": (few, rough, {"excess": 0.5}),
        "six, cages below the gate": (many, rough, {"excess": 0.5}),
        "three near the gate": (np.array([920.0, 1000.0, 1100.0]), rough, {}),
    }.items():
        rng = np.random.default_rng(len(T))
        gate = float(exact(np.array([1000.0]), 0.35)[0])
        samples = [drawn(rng, T, exact(T, 0.35), how, gate, **more) for _ in range(n)]
        say(name, samples, [0.35] * n)


def hopping(n: int) -> None:
    """Caged hopping whose rate follows an Arrhenius law, through the whole analysis."""
    head("caged hopping, E_a = 0.35 eV, the coldest at the gate")
    for atoms, duration_ps, cold_per_ps in ((20, 20.0, 0.05), (20, 40.0, 0.03), (60, 20.0, 0.05)):
        rng = np.random.default_rng((atoms, int(duration_ps)))
        T = np.array([800.0, 900.0, 1050.0, 1300.0])
        rates = cold_per_ps * exact(T, 0.35, at_K=800.0)
        samples = []
        for _ in range(n):
            results = [
                diffusivity(
                    trajectory_of(caged_hopping(rng, round(10 * duration_ps) + 1, atoms, rate)),
                    "Li",
                    drift="none",
                )
                for rate in rates
            ]
            samples.append(Sample.of(T, results))
        coldest = cold_per_ps * JUMP_A**2 * duration_ps
        name = f"{atoms} atoms, {duration_ps:g} ps, MSD {coldest:.1f} A2 at 800 K"
        say(name, samples, [0.35] * n)


def curvature(n: int) -> None:
    """How often a third parameter is asked for, of straight and of bent points."""
    print("\ncurvature: p < 0.05 for a Vogel-Fulcher-Tammann law, six temperatures")
    T = np.array([600.0, 700.0, 800.0, 950.0, 1150.0, 1400.0])
    laws = {
        "Arrhenius, 0.3 eV": np.exp(-0.3 / (KB_EV_K * T)),
        "T0 = 300 K, B = 1200 K": np.exp(-1200.0 / (T - 300.0)),
        "T0 = 400 K, B = 900 K": np.exp(-900.0 / (T - 400.0)),
    }
    for how_name, how in {
        "three windows, 10 %": windows(3, 33),
        "df 8, 10 %": proportional(0.1, 8),
        "known, 10 %": proportional(0.1, np.inf),
        "df 8, 20 %": proportional(0.2, 8),
    }.items():
        for name, D in laws.items():
            line = f"{how_name}, {name}"
            for gate, gated in ((0.0, "all measured"), (1.3 * D[0], "the coldest mostly a bound")):
                rng = np.random.default_rng(7)
                asked = []
                for _ in range(n):
                    s = drawn(rng, T, D, how, gate)
                    try:
                        found = vogel_fulcher_tammann(T, s.D, s.stderr, **s.keywords())
                    except InputError:
                        continue
                    asked.append(found.is_better)
                line += f"; {gated} {100 * np.mean(asked):.1f} % of {len(asked)}"
            print(line, flush=True)


def long_runs(folder: Path, seeds: range) -> dict[float, list[np.ndarray]]:
    """Long runs of the Kob-Andersen liquid by reduced temperature, a frame each 100 fs."""
    from real_motion import kob_andersen

    folder.mkdir(parents=True, exist_ok=True)
    runs: dict[float, list[np.ndarray]] = {}
    for temperature in (0.6, 0.7, 0.85, 1.0):
        for seed in seeds:
            path = folder / f"ka{temperature:g}_{seed}.npz"
            if not path.exists():
                liquid = kob_andersen(seed, temperature)
                frames, _ = liquid.move(temperature, 3000.0, every_fs=100.0)
                np.savez(path, x=frames, L=liquid.edge_A)
            runs.setdefault(temperature, []).append(np.load(path)["x"])
    return runs


def pieces(runs: list[np.ndarray], species: str, duration_ps: float) -> Iterator[Diffusivity]:
    from real_motion import as_trajectory, kob_andersen

    liquid = kob_andersen(0, 3.0, equilibration_ps=0.1)  # for its cell and species alone
    frames = round(10 * duration_ps)
    for run in runs:
        for start in range(0, len(run) - frames, frames):
            yield diffusivity(
                as_trajectory(run[start : start + frames + 1], liquid, 100.0), species
            )


def supercooled(n: int, folder: Path, most: int) -> None:
    """Pieces of long runs of a supercooled liquid, drawn at random for each replicate."""
    from real_motion import EPSILON_EV

    head("Kob-Andersen, T* = 0.6, 0.7, 0.85, 1.0")
    runs = long_runs(folder, range(1, 2))
    T = np.array([t * EPSILON_EV / KB_EV_K for t in runs])
    for species, atoms in (("Li", slice(80, 100)), ("Na", slice(0, 80))):
        true = np.array([long_time_D(each, atoms) for each in runs.values()])
        for duration_ps in (20.0, 50.0, 100.0):
            found = [list(pieces(each, species, duration_ps))[:most] for each in runs.values()]
            rng = np.random.default_rng(int(duration_ps))
            samples, truths = [], []
            for _ in range(n):
                results = [each[rng.integers(len(each))] for each in found]
                samples.append(Sample.of(T, results))
                # The law is not quite straight: its slope depends on what each point counts.
                relative = [r.D_stderr_cm2_s / max(r.D_raw_cm2_s, 1e-9) for r in results]
                truths.append(arrhenius(T, true, relative * true, fit="log").E_a_eV)
            passed = [f"{np.mean([r.is_diffusive for r in each]):.2f}" for each in found]
            say(f"{species}, {duration_ps:g} ps, pass {' '.join(passed)}", samples, truths)


def long_time_D(runs: list[np.ndarray], atoms: slice) -> float:
    """Slope of the mean squared displacement between 30 and 120 ps of long runs, in cm2/s."""
    slopes = []
    for run in runs:
        x = run[:, atoms].astype(float) - run.mean(axis=1, dtype=float)[:, None]
        msd = [((x[lag:] - x[:-lag]) ** 2).sum(axis=2).mean() for lag in (300, 1200)]
        slopes.append((msd[1] - msd[0]) / 90.0 / 6.0 * 1e-4)
    return float(np.mean(slopes))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=200)
    options.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "mlmd-ka-runs")
    options.add_argument("--pieces", type=int, default=60, help="of each temperature, at most")
    options.add_argument("parts", nargs="*", metavar="PART")
    given = options.parse_args()
    n = given.trials
    parts: dict[str, Callable[[], None]] = {
        "errors": lambda: errors(n),
        "selection": lambda: selection(n),
        "hopping": lambda: hopping(n),
        "curvature": lambda: curvature(n),
        "supercooled": lambda: supercooled(n, given.runs, given.pieces),
    }
    unknown = set(given.parts) - set(parts)
    if unknown:
        options.error(f"no part {', '.join(sorted(unknown))}; expected {', '.join(parts)}")
    for name in given.parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()
