"""Folded or not: decided of all frames by the positions, whatever the file says of them."""

from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmd import Trajectory
from mlmd.errors import InputError
from mlmd.trajectory.frame_block import FrameBlock
from mlmd.trajectory.joining.clock import GivenTimes
from mlmd.trajectory.joining.join import join

CELL = np.array([[10.0, 0.0, 0.0], [3.0, 9.5, 0.0], [-2.0, 4.0, 11.0]])
PERIODIC = [(True, True, True), (True, True, False), (False, False, False)]


def motion(step: float, frames: int = 200, atoms: int = 12, seed: int = 0) -> np.ndarray:
    """Free walkers in fractions of the cell; they begin in it."""
    rng = np.random.default_rng(seed)
    moved = rng.normal(0.0, step, (frames, atoms, 3))
    moved[0] = rng.uniform(0.0, 1.0, (atoms, 3))
    return np.cumsum(moved, axis=0)


def block(
    scaled: np.ndarray, wrapped: bool | None = None, pbc=(True, True, True), cells=CELL
) -> FrameBlock:
    each = np.broadcast_to(cells, (len(scaled), 3, 3))
    return FrameBlock(np.full(scaled.shape[1], 3), scaled @ each, each, wrapped, pbc=pbc)


def cut(whole: FrameBlock, *borders: int) -> list[FrameBlock]:
    return [whole.part(slice(a, b)) for a, b in pairwise([0, *borders, len(whole)])]


def joined(*files: list[FrameBlock], long_steps="refuse") -> Trajectory:
    def opened():
        return ((f"file{i}", iter(blocks)) for i, blocks in enumerate(files))

    (one,) = join(opened, "files", GivenTimes(2000.0), slice(None), long_steps)
    return Trajectory(**one)


def assert_moved_as(back: Trajectory, scaled: np.ndarray, cells=CELL) -> None:
    """The same displacements, but for the cells that atoms begin in."""
    found = back.positions_A @ np.linalg.inv(back.cells_A())
    assert found - found[0] == pytest.approx(scaled - scaled[0], abs=1e-8)


def codes(back: Trajectory) -> list[str]:
    return [finding.code for finding in back.findings]


# Ways in which programs fold: each takes and gives fractions.


def to_origin(origin: float):
    return lambda s: s - np.floor(s - origin)


def recentred(s: np.ndarray) -> np.ndarray:
    """As viewers do: into a cell about the centre of each frame, which itself wanders."""
    origin = 0.3 * np.sin(np.arange(len(s)) / 30.0)[:, None, None]
    return s - np.floor(s - origin)


def groups_whole(s: np.ndarray) -> np.ndarray:
    """Threes are folded by their first atom."""
    return s - np.repeat(np.floor(s[:, ::3]), 3, axis=1)


def some_atoms(s: np.ndarray) -> np.ndarray:
    return np.concatenate([s[:, :5] - np.floor(s[:, :5]), s[:, 5:]], axis=1)


def some_axes(s: np.ndarray) -> np.ndarray:
    return np.concatenate([s[..., :2] - np.floor(s[..., :2]), s[..., 2:]], axis=2)


FOLDS = {
    "[0, 1)": to_origin(0.0),
    "[-1/2, 1/2)": to_origin(-0.5),
    "[1.37, 2.37)": to_origin(1.37),
    "recentred": recentred,
    "groups whole": groups_whole,
    "some atoms": some_atoms,
    "some axes": some_axes,
    "not folded": lambda s: s,
}


def grouped(step: float, seed: int = 0) -> np.ndarray:
    """Groups of three atoms, each within a fifth of the cell, that wander together."""
    centres = np.repeat(motion(step, atoms=4, seed=seed), 3, axis=1)
    rng = np.random.default_rng(seed + 100)
    return centres + rng.uniform(-0.1, 0.1, (12, 3)) * (np.arange(12) % 3 > 0)[:, None]


@pytest.mark.parametrize("wrapped", [True, False, None])
@pytest.mark.parametrize("pbc", PERIODIC)
@pytest.mark.parametrize("way", FOLDS)
def test_short_steps_tell_the_motion_whatever_the_file_says(way, pbc, wrapped):
    scaled = grouped(0.03)
    folded = FOLDS[way](scaled)
    for borders in [(), (1, 2, 3), (60, 150)]:
        back = joined(cut(block(folded, wrapped, pbc), *borders))
        assert_moved_as(back, scaled)
        along_open = way != "not folded" and not all(pbc) and not (way == "some axes" and pbc[0])
        assert ("folded_along_open" in codes(back)) == along_open


def test_what_is_folded_is_periodic():
    folded = block(to_origin(0.0)(motion(0.03)), None, (False, False, False))
    assert joined([folded]).pbc == (True, True, True)
    assert joined([block(motion(0.01, 50), None, (True, True, False))]).pbc == (True, True, False)


@settings(max_examples=60, deadline=None)
@given(
    step=st.floats(0.003, 0.085),
    seed=st.integers(0, 10**6),
    way=st.sampled_from(sorted(set(FOLDS) - {"groups whole"})),
    wrapped=st.sampled_from([True, False, None]),
    pbc=st.sampled_from(PERIODIC),
    borders=st.sets(st.integers(1, 199), max_size=4),
    tilt=st.floats(-0.5, 0.5),
)
def test_any_fold_of_any_short_walk_is_undone(step, seed, way, wrapped, pbc, borders, tilt):
    scaled = motion(step, seed=seed)
    cell = CELL + np.outer([0.0, 1.0, 0.0], [10.0 * tilt, 0.0, 0.0])
    back = joined(cut(block(FOLDS[way](scaled), wrapped, pbc, cell), *sorted(borders)))
    assert_moved_as(back, scaled)


@pytest.mark.parametrize("wrapped", [True, False, None])
@pytest.mark.parametrize("step", [0.16, 0.25, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_unfolded_atoms_may_move_by_more_than_half_a_cell(wrapped, step, seed):
    scaled = motion(step, seed=seed)
    back = joined(cut(block(scaled, wrapped), 3, 120))
    assert_moved_as(back, scaled)
    assert codes(back) == ["unfolded"]


@pytest.mark.parametrize("wrapped", [True, False, None])
@pytest.mark.parametrize("step", [0.16, 0.25, 0.6])
@pytest.mark.parametrize("way", ["[0, 1)", "[-1/2, 1/2)", "groups whole", "some atoms"])
def test_folded_atoms_may_not(wrapped, step, way):
    scaled = grouped(step) if way == "groups whole" else motion(step)
    folded = block(FOLDS[way](scaled), wrapped)
    with pytest.raises(InputError, match="--long-steps warn") as caught:
        joined([folded])
    assert "\n" not in str(caught.value)
    assert "long_steps" in codes(joined([folded], long_steps="warn"))
    assert codes(joined([folded], long_steps="accept")) == []
