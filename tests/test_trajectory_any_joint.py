"""A known run cut, shortened, repeated, renumbered and folded in any way: the same, or refused."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from synthetic_motion import caged_hopping

from mlmd import Trajectory, diffusivity
from mlmd.errors import InputError
from mlmd.trajectory.frame_block import FrameBlock
from mlmd.trajectory.joining.clock import GivenTimes
from mlmd.trajectory.joining.join import join

FRAMES, ATOMS, SIDE_A, INTERVAL_FS = 240, 24, 14.0, 100.0
CELL = np.array([[SIDE_A, 0, 0], [3.0, SIDE_A, 0], [-2.0, 1.0, SIDE_A]])
COUNTS = ("none", "anew", "going on", "all over again")


def walk(seed: int, hopping: float = 1.0) -> np.ndarray:
    """Atoms that vibrate and jump; each frame is 100 fs after the one before."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.0, SIDE_A, (1, ATOMS, 3))
    return start + caged_hopping(rng, FRAMES, ATOMS, hopping, INTERVAL_FS / 1000.0)


def files_of(
    positions: np.ndarray,
    parts: list[np.ndarray],
    counts: str,
    fold: float | None,
    spacing: int = 1,
) -> list[FrameBlock]:
    """Return a file for each part, whose frames are told by their numbers."""
    blocks, written = [], 0
    for frames in parts:
        scaled = positions[frames] @ np.linalg.inv(CELL)
        if fold is not None:
            scaled -= np.floor(scaled - fold)
        step = {
            "none": None,
            "anew": spacing * np.arange(1, len(frames) + 1),
            "going on": spacing * frames,
            # As tools do that write a file again.
            "all over again": spacing * (written + np.arange(1, len(frames) + 1)),
        }[counts]
        cells = np.broadcast_to(CELL, (len(frames), 3, 3))
        wrapped = None if fold is None else True
        blocks.append(FrameBlock(np.full(ATOMS, 3), scaled @ cells, cells, wrapped, step=step))
        written += len(frames)
    return blocks


def read(files: list[FrameBlock], in_one: bool, pieces: bool = False) -> list[Trajectory]:
    def opened():
        cut = [[one.part(slice(i, i + 50)) for i in range(0, len(one), 50)] for one in files]
        if in_one:
            return iter([("file", iter([block for blocks in cut for block in blocks]))])
        return ((f"file{i}", iter(blocks)) for i, blocks in enumerate(cut))

    made = join(opened, "files", GivenTimes(INTERVAL_FS), slice(None), pieces=pieces)
    return [Trajectory(**one) for one in made]


def attempt(files: list[FrameBlock], in_one: bool, refused: str, **how) -> list[Trajectory] | None:
    """Read, or be refused for such a reason."""
    try:
        return read(files, in_one, **how)
    except InputError as error:
        if re.search(refused, str(error)) is None:
            raise
        return None


def moved(back: np.ndarray) -> np.ndarray:
    return np.asarray(back - back[0])


any_way = settings(
    max_examples=12,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
cuts = st.lists(st.integers(1, FRAMES - 1), min_size=1, max_size=3, unique=True).map(sorted)
folds = st.sampled_from([None, 0.0, -0.5, 0.3])
spacings = st.sampled_from([1, 5, 20, 50])


@any_way
@given(cuts, folds, st.sampled_from(COUNTS), st.booleans(), st.integers(0, 30), spacings)
def test_runs_that_follow_each_other_are_one(borders, fold, counts, in_one, overlap, spacing):
    positions = walk(0)
    if in_one and counts in ("none", "all over again"):
        overlap = min(overlap, 1)  # a file that counts nothing does not tell where it begins again
    if counts == "all over again":
        overlap = 0
    edges = [0, *borders, FRAMES]
    parts = [np.arange(max(a - overlap * (a > 0), 0), b) for a, b in pairwise(edges)]
    (back,) = read(files_of(positions, parts, counts, fold, spacing), in_one)
    assert len(back) == FRAMES
    assert back.time_fs - back.time_fs[0] == pytest.approx(INTERVAL_FS * np.arange(FRAMES))
    assert moved(back.positions_A) == pytest.approx(moved(positions), abs=1e-8)


def in_error(truth: Trajectory, back: Trajectory) -> float:
    """By how many standard errors of the truth D is another."""
    one, other = diffusivity(truth, "Li"), diffusivity(back, "Li")
    return abs(one.D_raw_cm2_s - other.D_raw_cm2_s) / one.D_stderr_cm2_s


@any_way
@given(
    st.integers(20, FRAMES - 80),
    st.integers(1, 60),
    folds,
    st.sampled_from(COUNTS),
    st.booleans(),
    st.integers(0, 5),
)
def test_a_gap_is_refused_or_too_short_to_matter(begin, missing, fold, counts, in_one, seed):
    positions = walk(seed)
    parts = [np.arange(begin), np.arange(begin + missing, FRAMES)]
    files = files_of(positions, parts, counts, fold)
    if counts == "going on":
        with pytest.raises(InputError, match="not evenly spaced"):
            read(files, in_one)
    whole = attempt(files, in_one, "does not follow|not evenly spaced|too far to be unwrapped")
    if whole is not None:
        (back,) = whole
        truth = Trajectory(positions, CELL, np.full(ATOMS, 3), INTERVAL_FS * np.arange(FRAMES))
        assert in_error(truth, back) < 1.0
    pieces = attempt(files, in_one, "too far to be unwrapped", pieces=True)
    if pieces is not None:
        lengths = [len(piece) for piece in pieces]
        assert lengths in ([begin, FRAMES - begin - missing], [FRAMES - missing])


@any_way
@given(
    st.integers(10, FRAMES - 10), folds, st.sampled_from(COUNTS), st.booleans(), st.integers(1, 9)
)
def test_independent_runs_are_refused_or_pieces(n, fold, counts, in_one, seed):
    positions = np.concatenate([walk(0)[:n], walk(seed)])
    parts = [np.arange(n), np.arange(n, n + FRAMES)]
    files = files_of(positions, parts, counts, fold)
    with pytest.raises(InputError, match=r"does not follow.*--replicas"):
        read(files, in_one)
    one, other = read(files, in_one, pieces=True)
    assert moved(one.positions_A) == pytest.approx(moved(positions[:n]), abs=1e-8)
    assert moved(other.positions_A) == pytest.approx(moved(positions[n:]), abs=1e-8)
    assert [finding.code for finding in one.findings][:2] == [
        "frames_do_not_follow",
        "cut_into_pieces",
    ]


@any_way
@given(st.integers(20, 180), st.integers(1, 40), folds, st.booleans(), spacings)
def test_of_two_ways_from_one_frame_the_later_is_taken(n, behind, fold, in_one, spacing):
    # A run was killed at frame n and went on from a checkpoint, with other noise.
    first = walk(0)
    back_at = max(n - behind, 1)
    second = first[back_at] + moved(walk(1))
    positions = np.concatenate([first[:n], second])
    parts = [np.arange(n), np.arange(n, n + FRAMES)]
    files = files_of(positions, parts, "anew", fold, spacing)
    steps = spacing * (back_at + 1 + np.arange(FRAMES))
    for counted in ([files[0], replace(files[1], step=steps)], files):
        (back,) = read(counted, in_one)
        truth = np.concatenate([first[:back_at], second])
        assert moved(back.positions_A) == pytest.approx(moved(truth), abs=1e-8)
        assert np.diff(back.time_fs) == pytest.approx(INTERVAL_FS)
        n_left = n - back_at - 1
        codes = [finding.code for finding in back.findings]
        assert ("branch_left_out" in codes) == (n_left > 0)


@any_way
@given(st.integers(5, 100), st.integers(2, 50), st.integers(2, 20), folds, st.booleans())
def test_another_interval_is_refused_or_a_piece(n, every, spacing, fold, anew):
    # NBLOCK, or the dump's every, was changed between two runs.
    positions = walk(0)
    frames = np.arange(n, FRAMES, every) + every - 1
    frames = frames[frames < FRAMES]
    if len(frames) < 3:
        return
    first, second = files_of(positions, [np.arange(n), frames], "going on", fold, spacing)
    first = replace(first, step=first.step + spacing)
    second = replace(second, step=second.step + spacing - (spacing * n if anew else 0))
    with pytest.raises(InputError, match=r"not evenly spaced|too far to be unwrapped"):
        read([first, second], in_one=False)


def test_all_orders_of_three_runs_that_follow():
    positions = walk(3)
    parts = [np.arange(80), np.arange(80, 160), np.arange(160, FRAMES)]
    for counts in ("none", "anew"):
        files = files_of(positions, parts, counts, 0.0)
        for order in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
            with pytest.raises(InputError, match="does not follow"):
                read([files[i] for i in order], in_one=False)
        assert len(read(files, in_one=False)[0]) == FRAMES
