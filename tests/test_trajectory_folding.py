"""Folded or not: decided of all frames by the positions, whatever the file says of them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmd import Trajectory
from mlmd.analysis.diffusion.cell_motion import without_cell_motion
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
    back = joined(cut(block(folded, wrapped, pbc), 1, 2, 60, 150))
    assert_moved_as(back, scaled)
    along_open = way != "not folded" and not all(pbc) and not (way == "some axes" and pbc[0])
    assert ("folded_along_open" in codes(back)) == along_open


def test_what_is_folded_is_periodic():
    folded = block(to_origin(0.0)(motion(0.03)), None, (False, False, False))
    assert joined([folded]).pbc == (True, True, True)
    assert joined([block(motion(0.01, 50), None, (True, True, False))]).pbc == (True, True, False)


@settings(max_examples=15, deadline=None)
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
@pytest.mark.parametrize("seed", range(2))
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


@pytest.mark.parametrize("folded_too", [False, True])
def test_what_does_not_follow_is_refused(folded_too):
    """Whole cell vectors lost in the middle of long steps: neither hypothesis holds."""
    scaled = motion(0.16, atoms=40)
    scaled[100:] -= np.floor(scaled[100]) + (1.0 if folded_too else 0.0)
    broken = scaled.copy()
    broken[50:, :20] += 1.0
    with pytest.raises(InputError, match="too far to be unwrapped"):
        joined([block(broken, None)])
    independent = np.random.default_rng(5).uniform(0.0, 1.0, (20, 12, 3))
    for wrapped in (True, False, None):
        with pytest.raises(InputError, match="too far to be unwrapped"):
            joined([block(independent, wrapped)])


@pytest.mark.parametrize("frames", [2, 3, 4])
def test_a_jump_over_the_border_in_a_run_of_few_frames(frames):
    """Where the format folds; such runs are left by jobs that die."""
    scaled = 0.3 + motion(0.01, frames, 12) * 0.05
    scaled[1:, 3, 2] += 0.26 - scaled[0, 3, 2] + 0.9
    scaled[0, 3, 2] = 0.9
    folded = scaled - np.floor(scaled)
    assert_moved_as(joined([block(folded, True)]), scaled)


def test_a_single_step_unlike_all_others_is_not_taken_for_its_image():
    """Atoms that stay in the cell, where nothing else shows whether they are folded."""
    scaled = 0.15 + motion(0.01, 60, 6) * 0.05
    one, two = scaled.copy(), scaled.copy()
    one[45:, 2, 0] += 0.66
    two[30:, 2, 0] += 0.33
    two[45:, 2, 0] -= 0.33
    two[50:, 2, 0] += 0.66
    for wrapped in (True, None):
        with pytest.raises(InputError, match="as neither folded atoms"):
            joined([block(one, wrapped)])
        # Steps of a third have been seen: in a folded cell 0.66 is likely another one.
        assert joined([block(two, wrapped)]).findings == ()
    for unfolded in (one, two):
        assert_moved_as(joined([block(unfolded, False)]), unfolded)


def test_images_lost_in_a_run_of_short_steps_are_found_again():
    scaled = motion(0.03)
    lost = scaled.copy()
    lost[80:, 3] -= [2.0, 0.0, 1.0]
    lost[120:, 7] += [0.0, 1.0, 0.0]
    for wrapped in (True, False, None):
        back = joined(cut(block(lost, wrapped), 33))
        assert_moved_as(back, scaled)
        assert codes(back) == ["folded_in_part"]


@pytest.mark.parametrize("wrapped", [True, False, None])
def test_a_restart_may_fold_again_and_go_on_unfolded(wrapped):
    scaled = motion(0.2, atoms=12)
    # The step at the joint itself has to be short: there it cannot be told from its image.
    scaled[100:] += scaled[99] - scaled[100] + 0.01
    first, second = scaled[:100], scaled[100:] - np.floor(scaled[100])
    assert_moved_as(joined([block(first, wrapped)], [block(second, wrapped)]), scaled)
    # Each run by itself: one is folded, one is not.
    mixed = motion(0.03)
    files = [block(mixed[:90] - np.floor(mixed[:90]), True)], [block(mixed[90:], False)]
    assert_moved_as(joined(*files), mixed)


def test_what_is_not_periodic_stays_as_it_is():
    rng = np.random.default_rng(3)
    cluster = 0.5 + np.cumsum(rng.normal(0.0, 0.01, (300, 8, 3)), axis=0)
    gas = rng.uniform(0.0, 0.999, (100, 30, 3))  # between walls, frames far apart
    for scaled in (cluster, gas):
        for wrapped in (None, False):
            back = joined([block(scaled, wrapped, (False, False, False))])
            assert (back.positions_A == scaled @ CELL).all()
            assert back.findings == ()


def test_a_slab_without_a_third_vector_is_unwrapped_along_the_two():
    cell = np.array([[8.0, 0.0, 0.0], [2.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
    full = cell + np.diag([0.0, 0.0, 1.0])
    scaled = motion(0.03) * [1.0, 1.0, 20.0]
    folded = scaled - np.floor(scaled) * [1.0, 1.0, 0.0]
    each = np.broadcast_to(cell, (len(scaled), 3, 3))
    slab = FrameBlock(np.full(12, 3), folded @ full, each, None, pbc=(True, True, False))
    found = joined([slab]).positions_A @ np.linalg.inv(full)
    assert found - found[0] == pytest.approx(scaled - scaled[0], abs=1e-8)


# Cells that become another basis of the same lattice


def flipping(frames: int = 300) -> np.ndarray:
    """Cells that are sheared until a tilt exceeds half an edge, as LAMMPS flips them."""
    edges = np.array([9.0, 10.0, 11.0])
    cells = np.zeros((frames, 3, 3))
    time = np.arange(frames)
    for number, cell in enumerate(cells):
        np.fill_diagonal(cell, edges * (1.0 + 0.01 * np.sin(time[number] / 9.0)))
        cell[1, 0] = 0.02 * time[number] * cell[0, 0]
        cell[2, 0] = 0.3 * np.sin(time[number] / 40.0) * cell[0, 0]
        cell[2, 1] = -0.013 * time[number] * cell[1, 1]
        cell[2] -= np.rint(cell[2, 1] / cell[1, 1]) * cell[1]
        cell[1] -= np.rint(cell[1, 0] / cell[0, 0]) * cell[0]
        cell[2] -= np.rint(cell[2, 0] / cell[0, 0]) * cell[0]
    return cells


def in_a_sheared_cell(frames: int = 300, step_A: float = 0.25, seed: int = 0):
    """Cells that flip, and atoms that go with them and diffuse besides: the unwrapped truth."""
    cells = flipping(frames)
    rng = np.random.default_rng(seed)
    path = np.empty((frames, 12, 3))
    path[0] = rng.uniform(0.0, 1.0, (12, 3)) @ cells[0]
    for frame in range(1, frames):
        basis = np.rint(cells[frame] @ np.linalg.inv(cells[frame - 1]))
        fractions = path[frame - 1] @ np.linalg.inv(basis @ cells[frame - 1])
        path[frame] = fractions @ cells[frame] + rng.normal(0.0, step_A, (12, 3))
    return path, cells


@pytest.mark.parametrize("borders", [(17, 180), tuple(range(1, 300, 2))])
@pytest.mark.parametrize("wrapped", [True, False, None])
def test_atoms_go_on_through_a_flip_of_the_cell(wrapped, borders):
    path, cells = in_a_sheared_cell()
    flips = np.rint(cells[1:] @ np.linalg.inv(cells[:-1])) != np.eye(3)
    assert flips.any(axis=(1, 2)).sum() > 8
    fractions = path @ np.linalg.inv(cells)
    for folded in (fractions - np.floor(fractions), fractions):
        whole = FrameBlock(np.full(12, 3), folded @ cells, cells, wrapped)
        back = joined(cut(whole, *borders))
        away = back.positions_A - path
        # Whole vectors of the lattice, carried along with it from where each atom began.
        assert away @ np.linalg.inv(cells) == pytest.approx(
            np.rint(away @ np.linalg.inv(cells)), abs=1e-6
        )
        assert np.abs(np.diff(back.positions_A, axis=0)).max() < 4.0
        still = without_cell_motion(back)
        moved = np.diff(still.positions_A, axis=0)
        assert np.sqrt((moved**2).mean()) == pytest.approx(0.25, rel=0.03)
        assert np.abs(moved).max() < 1.5


def test_long_steps_through_flips_are_refused_or_unfolded():
    path, cells = in_a_sheared_cell(step_A=2.5)
    fractions = path @ np.linalg.inv(cells)
    folded = FrameBlock(np.full(12, 3), (fractions - np.floor(fractions)) @ cells, cells, True)
    with pytest.raises(InputError, match="too far to be unwrapped"):
        joined([folded])
    back = joined([FrameBlock(np.full(12, 3), path, cells, True)])
    assert back.positions_A == pytest.approx(path)


def test_a_cell_that_is_turned_with_its_atoms_is_not_flipped():
    scaled = motion(0.02)
    turned = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    cells = np.broadcast_to(10.0 * np.eye(3), (200, 3, 3)).copy()
    cells[70:] = 10.0 * turned
    folded = (scaled - np.floor(scaled)) @ cells
    assert_moved_as(joined([FrameBlock(np.full(12, 3), folded, cells, None)]), scaled)


def test_a_box_whose_origin_moves_with_its_barostat_is_no_news(tmp_path):
    rng = np.random.default_rng(0)
    scaled = np.cumsum(rng.normal(0.0, 0.02, (200, 12, 3)), axis=0)
    scaled -= np.floor(scaled)
    text = ""
    for i, edge in enumerate(10.0 + 0.3 * np.sin(0.1 * np.arange(200))):
        text += f"ITEM: TIMESTEP\n{i}\nITEM: NUMBER OF ATOMS\n12\nITEM: BOX BOUNDS pp pp pp\n"
        text += f"{5 - edge / 2:.8f} {5 + edge / 2:.8f}\n" * 3 + "ITEM: ATOMS id type xs ys zs\n"
        for j, row in enumerate(scaled[i], 1):
            text += f"{j} 1 " + " ".join(f"{x:.8f}" for x in row) + "\n"
    (tmp_path / "npt.lammpstrj").write_text(text)
    back = Trajectory.read(tmp_path / "npt.lammpstrj", md_step_fs=10.0, elements=["Li"])
    assert np.abs(np.diff(back.positions_A, axis=0)).max() < 3.0
    assert [one.code for one in back.findings] == ["frame_interval_implied"]
