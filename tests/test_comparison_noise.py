"""Noise of a comparison of structures: what two runs of one potential differ by.

Counts over many pairs, held against bands that chance leaves in one of 1000 cases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import real_motion
from scipy.stats import binom, chi2

from mlmd import Trajectory
from mlmd.comparison import Noise, RdfChoice, RdfParity, excess, noise_ceiling
from mlmd.comparison.structure import atom_spread
from mlmd.comparison.structure.coordination import coordination_parity
from mlmd.comparison.structure.rdf_parity import rdf_parity_of_runs
from mlmd.comparison.structure.runs import RdfRuns, rdf_runs
from mlmd.comparison.systems import System
from mlmd.comparison.verdict.judging import judge_coordination, judge_rdf
from mlmd.comparison.verdict.thresholds import Thresholds

LIMITS = Thresholds()
EDGE_A = 12.0


def most(n: int, share: float) -> int:
    """So many of n that more come by chance in one of 1000 cases, where the share is true."""
    return int(binom.ppf(0.999, n, share))


def runs_of(surrogate: Trajectory, *reference: Trajectory) -> RdfRuns:
    return rdf_runs(System("x", None, (surrogate,), reference), RdfChoice())


def parity_of(surrogate: Trajectory, *reference: Trajectory) -> RdfParity:
    return rdf_parity_of_runs(runs_of(surrogate, *reference))


def vibrating(
    rng: np.random.Generator, places_A: np.ndarray, *, width_A: float = 0.1, frames: int = 24
) -> Trajectory:
    """Atoms of two species that vibrate about places that never change."""
    positions = places_A + rng.normal(0.0, width_A, (frames, *places_A.shape))
    numbers = np.repeat([11, 3], [len(places_A) - 20, 20])
    return Trajectory(positions, np.eye(3) * EDGE_A, numbers, np.arange(frames) * 100.0)


def places(rng: np.random.Generator, n: int = 80, apart_A: float = 2.2) -> np.ndarray:
    """Hard spheres put at random one after the other."""
    found = [EDGE_A * rng.random(3)]
    while len(found) < n:
        new = EDGE_A * rng.random(3)
        vectors = np.array(found) - new
        vectors -= EDGE_A * np.rint(vectors / EDGE_A)
        if (np.einsum("nk,nk->n", vectors, vectors) > apart_A**2).all():
            found.append(new)
    return np.array(found)


@pytest.fixture(scope="module")
def glasses() -> list[RdfParity]:
    """Pairs of glasses, none like another."""
    rng = np.random.default_rng(0)
    return [parity_of(vibrating(rng, places(rng)), vibrating(rng, places(rng))) for _ in range(24)]


def test_two_glasses_differ_by_the_noise_that_their_atoms_tell(glasses: list[RdfParity]) -> None:
    ratios = np.array([one.times_noise() for one in glasses])
    # Of twenty independent values or more each.
    assert abs(ratios.mean() - 1.0) < 3.3 * np.sqrt(2 / 20 / len(ratios))
    excesses = np.array([one.excess for one in glasses])
    assert abs(excesses.mean() - 1.0) < 3.3 * np.sqrt(2 / 10 / len(excesses))
    no = sum(judge_rdf(one, LIMITS).answer == "no" for one in glasses)
    assert no <= most(len(glasses), 0.01)


def test_blocks_of_time_alone_would_tell_all_glasses_apart(glasses: list[RdfParity]) -> None:
    assert np.mean([one.times_noise(in_time=True) > 2.0 for one in glasses]) > 0.9
    assert max(one.noise.in_time_share for one in glasses) < 0.5
    judged = [judge_rdf(one, LIMITS) for one in glasses]
    answers = Counter(one.answer for one in judged)
    assert answers["inconclusive"] >= 0.9 * len(glasses)
    # Longer than the runs, and said so.
    needs = [one.needs_ps for one in judged if one.answer == "inconclusive"]
    assert min(needs) >= 2.3
    (reason,) = {one.reason for one in judged if one.needs_ps == max(needs)}
    assert f"longer than {float(f'{max(needs):.2g}'):g} ps needed" in reason


def test_a_glass_that_both_sides_share_is_no_noise() -> None:
    """The same places on both sides: what vibrates is all that can differ, and a stretch shows."""
    rng = np.random.default_rng(1)
    right, wrong = [], []
    for _ in range(8):
        shared = places(rng)
        reference = vibrating(rng, shared, frames=120)
        right.append(parity_of(vibrating(rng, shared, frames=120), reference))
        wrong.append(parity_of(vibrating(rng, shared, width_A=0.25, frames=120), reference))
    assert abs(np.mean([one.times_noise() for one in right]) - 1.0) < 0.25
    assert np.median([one.noise.in_time_share for one in right]) > 0.8
    assert {judge_rdf(one, LIMITS).answer for one in right} == {"yes"}
    found = [judge_rdf(one, LIMITS).answer for one in wrong]
    assert found.count("no") >= 0.9 * len(wrong), (found, [one.times_noise() for one in wrong])


def test_a_crystal_gets_answers_though_it_never_relaxes() -> None:
    """However its atoms are numbered: their surroundings are the same."""
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = grid * (EDGE_A / 4)
    sites = np.concatenate([sites[grid.sum(axis=1) % 2 == k] for k in (0, 1)])
    numbers = np.repeat([11, 17], 32)

    def run(width_A: float, order: np.ndarray) -> Trajectory:
        positions = sites[order] + rng.normal(0.0, width_A, (40, 64, 3))
        return Trajectory(positions, np.eye(3) * EDGE_A, numbers, np.arange(40) * 20.0)

    same = np.arange(64)
    for _ in range(2):
        mixed = np.concatenate([rng.permutation(32), 32 + rng.permutation(32)])
        for order in (same, mixed):
            assert judge_rdf(parity_of(run(0.2, order), run(0.2, same)), LIMITS).answer == "yes"
            assert judge_rdf(parity_of(run(0.25, order), run(0.2, same)), LIMITS).answer == "no"


def test_sides_of_other_sizes_have_the_noise_of_both() -> None:
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(25):
        large = vibrating(rng, places(rng))
        small = vibrating(rng, places(rng, 40))
        small = Trajectory(
            small.positions_A, small.cell_A, np.repeat([11, 3], [30, 10]), small.time_fs
        )
        ratios.append(parity_of(small, large).times_noise())
    assert abs(np.mean(ratios) - 1.0) < 0.3


def test_some_of_many_atoms_tell_the_noise_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    pairs = [[vibrating(rng, places(rng)) for _ in range(2)] for _ in range(4)]
    all_of_them = [runs_of(*pair).noise() for pair in pairs]
    monkeypatch.setattr(atom_spread, "_MOST_DISTANCES", 1.0)
    monkeypatch.setattr(atom_spread, "_ENOUGH_CENTRES", 15)
    some = [runs_of(*pair) for pair in pairs]
    assert some[0].atoms["Na", "Na"][0][0].counts.shape[1] == 15
    for one, other in zip(some, all_of_them, strict=True):
        noise = one.noise()
        assert noise.variance == pytest.approx(other.variance, rel=0.5)


def test_runs_of_the_reference_that_differ_by_more_than_atoms_tell_are_the_noise() -> None:
    """Three crystals, each stretched: atoms cannot know what is common to all of them."""
    rng = np.random.default_rng(4)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)

    def run(width_A: float) -> Trajectory:
        positions = grid * 3.0 + rng.normal(0.0, width_A, (60, 64, 3))
        return Trajectory(positions, np.eye(3) * EDGE_A, np.full(64, 11), np.arange(60) * 20.0)

    reference = [run(width) for width in (0.15, 0.2, 0.25)]
    several, two = parity_of(run(0.24), *reference), parity_of(run(0.24), *reference[:2])
    assert (several.ceiling_from, two.ceiling_from) == ("seeds", "atoms")
    assert several.times_noise() < LIMITS.excess_max < two.times_noise()


def test_limit_of_the_ratio_is_that_of_chi_squared() -> None:
    one = np.ones(1)
    noise = Noise(one, one, 20 * one, one > 0, None, "atoms")
    assert noise.largest_ratio() == pytest.approx(chi2.ppf(0.995, 20) / 20)
    # Two curves of twenty values each: the mean of both has forty.
    two = np.ones(2)
    pair = Noise(two, two, 20 * two, two > 0, None, "atoms")
    assert pair.largest_ratio() == pytest.approx(chi2.ppf(0.995, 40) / 40)
    curves = np.array([[1.0, 0.0], [2.0, 0.0]])
    assert pair.ratio(curves, np.zeros((2, 2))) == pytest.approx(2.5)
    assert noise_ceiling(0.5, np.array([1.0, 3.0])) == pytest.approx(0.75)
    assert excess(0.75, 0.5) == pytest.approx(0.5)
    assert excess(1.0, 0.5) == 0.0
    assert excess(None, 0.5) is None


def pieces(
    liquid: real_motion.Liquid,
    temperature: float,
    n: int,
    ps: float,
    gap_ps: float,
    every_fs: float,
) -> Iterator[Trajectory]:
    for _ in range(n):
        liquid.move(temperature, gap_ps)
        yield liquid.trajectory(temperature, ps, every_fs)


needs_compiler = pytest.mark.skipif(not real_motion.HAS_COMPILER, reason="needs a C compiler")


def counted(pairs: Iterator[tuple[Trajectory, Trajectory]]) -> tuple[Counter[str], Counter[str]]:
    structure: Counter[str] = Counter()
    coordination: Counter[str] = Counter()
    for surrogate, reference in pairs:
        runs = runs_of(surrogate, reference)
        structure[judge_rdf(rdf_parity_of_runs(runs), LIMITS).answer] += 1
        coordination[judge_coordination(coordination_parity(runs), LIMITS).answer] += 1
    return structure, coordination


@needs_compiler
def test_an_ordinary_liquid_of_twenty_ps_gets_a_yes() -> None:
    """And one at another temperature a no."""
    liquid = real_motion.ordinary_liquid(5)
    runs = list(pieces(liquid, 1.0, 10, 20.0, 2.0, 50.0))
    for found in counted(zip(runs[:5], runs[5:], strict=True)):
        assert found["yes"] >= 5 - most(5, 0.02), found
    hot = pieces(liquid, 1.2, 3, 20.0, 4.0, 50.0)
    structure, _ = counted(zip(hot, runs, strict=False))
    assert structure["no"] >= 2, structure


@needs_compiler
@pytest.mark.slow
def test_a_supercooled_liquid_is_not_told_from_itself() -> None:
    """Runs of 20 ps, a tenth of the time of relaxation; a wrong potential is caught."""
    liquid = real_motion.kob_andersen(6, 0.55, equilibration_ps=150.0)
    runs = list(pieces(liquid, 0.55, 30, 20.0, 30.0, 100.0))
    for found in counted(zip(runs[:15], runs[15:], strict=True)):
        assert found["no"] <= most(15, 0.05), found
    liquid.epsilon = tuple(tuple(0.7 * one for one in row) for row in liquid.epsilon)
    soft = pieces(liquid, 0.55, 8, 20.0, 5.0, 100.0)
    structure, _ = counted(zip(soft, runs, strict=False))
    assert structure["no"] >= 6, structure
