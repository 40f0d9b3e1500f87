"""Level maps, percolation and free volumes: known landscapes, and brute force on small ones."""

from __future__ import annotations

import heapq
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from mlmd.errors import InputError
from mlmd.screening.landscape.free_volumes import (
    Region,
    boxed_volume,
    connected_region,
    disconnected_region,
    united_volume,
    xi,
)
from mlmd.screening.landscape.levels import level_map, local_minimum
from mlmd.screening.landscape.path import shortest_path
from mlmd.screening.landscape.percolation import percolation_box, periodic_percolation

STEPS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]
TWO_PI = 2 * np.pi


def fractions(n: int = 24) -> tuple[np.ndarray, ...]:
    x = np.arange(n) / n
    return tuple(np.meshgrid(x, x, x, indexing="ij"))


def channels(open_in: int, barrier: float, n: int = 24) -> np.ndarray:
    """A well at the origin: `barrier` along the first axes, 2 eV along the rest."""
    height = np.where(np.arange(3) < open_in, barrier, 2.0)
    waves = [(1 - np.cos(TWO_PI * x)) / 2 for x in fractions(n)]
    return sum(h * w for h, w in zip(height, waves, strict=True))


@pytest.mark.parametrize("open_in", [1, 2, 3])
def test_channels_open_at_their_barriers(open_in):
    found = periodic_percolation(channels(open_in, 0.4), (0, 0, 0))
    levels = (found.in_1d_eV, found.in_2d_eV, found.in_3d_eV)
    assert levels == pytest.approx([0.4 if d <= open_in else 2.0 for d in (1, 2, 3)], abs=1e-12)
    assert percolation_box(channels(open_in, 0.4), (0, 0, 0)).percolation_eV == pytest.approx(0.4)


def test_a_saddle_of_known_height_on_a_way_that_winds():
    """Walls but for a corridor that runs along y before it goes on along x."""
    energies = np.full((12, 12, 12), np.inf)
    energies[:6, 3, 0] = energies[5, 3:9, 0] = energies[5:, 8, 0] = 0.0
    energies[0, 3:9, 0] = 0.0  # meets the image: in fractions of the cell the way closes
    energies[9, 8, 0], energies[5, 5, 0] = 0.7, 0.3
    found = periodic_percolation(energies, (2, 3, 0))
    assert (found.in_1d_eV, found.in_2d_eV) == (0.7, np.inf)
    # The box ends at the image of the ion's plane, beyond both saddles whichever way it goes; by
    # the face on the left they are met in the other order.
    assert percolation_box(energies, (2, 3, 0)).percolation_eV == 0.7
    path = shortest_path(energies, np.eye(3) * 3, (2, 3, 0), 0.7)
    assert path.energy_eV.max() == 0.7
    assert (np.abs(path.points[-1] - path.points[0]) == (12, 0, 0)).all()
    assert (np.abs(np.diff(path.points, axis=0)) <= 1).all()


def test_a_diagonal_step_connects():
    energies = np.full((4, 4, 4), np.inf)
    for i in range(4):
        energies[i, i, i] = 0.1 * i
    assert periodic_percolation(energies, (0, 0, 0)).in_1d_eV == pytest.approx(0.3)
    assert percolation_box(energies, (0, 0, 0)).percolation_eV == pytest.approx(0.3)


def test_a_way_may_lead_to_a_farther_image_only():
    """A corridor that goes through the cell twice along x, half a cell further along y each."""
    energies = np.full((16, 8, 8), np.inf)
    for i in range(32):
        energies[i % 16, i // 4, 0] = 0.1 * (i == 20)
    start = (1, 0, 0)
    found = periodic_percolation(energies, start)
    assert (found.in_1d_eV, found.in_2d_eV) == (0.1, np.inf)
    way = shortest_path(energies, np.eye(3) * 4, start, 0.1)
    assert np.abs(way.points[-1] - way.points[0]).tolist() == [32, 8, 0]
    assert way.length_A[-1] == pytest.approx(24 * 0.25 + 8 * np.hypot(0.25, 0.5))


def test_without_a_start_any_way_through_the_crystal_counts():
    energies = channels(3, 1.5)
    energies[12, 12, :] = 0.2  # a pipe of its own, far from the well
    assert periodic_percolation(energies, (0, 0, 0)).in_1d_eV == pytest.approx(1.5)
    assert periodic_percolation(energies).in_1d_eV == pytest.approx(0.2)


def test_free_volume_of_a_pocket_counts_once_in_eight_cells():
    energies = channels(3, 2.0)
    pocket = (energies < 0.5).mean()
    box = percolation_box(energies, (0, 0, 0))
    sites = np.zeros((1, 3))
    connected = united_volume([connected_region(box, (0, 0, 0), 0.5)], sites)
    assert connected == pytest.approx(pocket / 8)
    free = [disconnected_region(energies, (0, 0, 0), 0.5)]
    assert united_volume(free, sites) == pytest.approx(pocket)
    # The box of an ion has both its faces: 49 points for 24 steps.
    levels = [connected_region(box, (0, 0, 0), 0.5)]
    n_points = pocket * 24**3
    assert boxed_volume(levels, sites, [(0, 0, 0)]) == pytest.approx(n_points / 49**3)
    boxed = np.pad(np.tile(energies, (2, 2, 2)), [(0, 1)] * 3, mode="wrap")
    assert boxed_volume(free, sites, [(0, 0, 0)]) == pytest.approx((boxed < 0.5).mean())


def test_free_volume_of_an_open_landscape_is_everything():
    energies = channels(3, 0.1)
    box = percolation_box(energies, (3, 0, 0))
    region = connected_region(box, (3, 0, 0), 0.5)
    assert united_volume([region], np.zeros((1, 3))) == 1.0


@pytest.mark.parametrize("apart", [(0.5, 0.5, 0.5), (0.5, 0.25, 0.0), (0.375, 0.0, 0.0)])
def test_united_volumes_are_those_on_one_common_grid(apart):
    """Ions whose pockets lie apart add up; those that share one count once, grids shifted or not.

    Half of 15 points is between two of them.
    """
    energies = channels(3, 2.0, n=16)
    regions = [disconnected_region(energies, (0, 0, 0), 0.3)] * 2
    alone = united_volume(regions[:1], np.zeros((1, 3)))
    both = united_volume(regions, np.array([np.zeros(3), apart]))
    assert both == pytest.approx(2 * alone)
    moved = np.roll(regions[0].repeated, (8, 0, 0), axis=(0, 1, 2))
    same = [regions[0], Region(regions[0].boxed, moved)]
    assert united_volume(same, np.array([[0, 0, 0], [0.5, 0, 0]])) == pytest.approx(alone)
    odd = channels(3, 2.0, n=15)
    between = [disconnected_region(odd, (0, 0, 0), 0.2)] * 2
    one = united_volume(between[:1], np.zeros((1, 3)))
    assert united_volume(between, np.array([[0, 0, 0], [0.5, 0.5, 0.5]])) == pytest.approx(2 * one)


def test_a_box_counts_what_other_ions_reach_in_it():
    """Wells of one landscape, seen from both: each box is that of a map that holds them both."""
    energies = channels(3, 2.0, n=16)
    energies[5:7, 2:6, 3] = 0.1  # to one side
    starts = [(0, 0, 0), (1, 15, 2)]
    sites = np.array([[0.1, 0.2, 0.3], [0.6, 0.45, 0.3]])
    wells = [
        np.roll(energies, starts[0], axis=(0, 1, 2)),
        np.roll(channels(3, 1.5, 16), starts[1], (0, 1, 2)),
    ]
    regions = [disconnected_region(e, s, 0.3) for e, s in zip(wells, starts, strict=True)]
    expected = []
    for own, other, steps in ((0, 1, (8, 4, 0)), (1, 0, (-8, -4, 0))):
        inside = (wells[own] < 0.3) | np.roll(wells[other] < 0.3, steps, axis=(0, 1, 2))
        around = np.roll(inside, [-at for at in starts[own]], axis=(0, 1, 2))
        expected.append(np.pad(np.tile(around, (2, 2, 2)), [(0, 1)] * 3, mode="wrap").mean())
    assert boxed_volume(regions, sites, starts) == pytest.approx(np.mean(expected))


def test_xi_is_that_of_equation_4():
    assert xi(0.01, 10**-1.15) == pytest.approx(0.25)
    assert xi(0.1, 0.7) == pytest.approx(1 / (1 + np.exp(-10)) / (1 + np.exp(-9.95)), rel=1e-3)
    assert xi(0.0, 0.5) == 0.0


def test_a_local_minimum_is_found_downhill_and_across_sides():
    energies = channels(3, 0.4)
    assert local_minimum(energies, (21, 3, 2)) == (0, 0, 0)


@pytest.mark.parametrize("bad", [np.full((4, 4, 4), np.inf), np.full((4, 4, 4), np.nan)])
def test_energies_without_a_number_are_refused(bad):
    with pytest.raises(InputError, match="finite"):
        periodic_percolation(bad)


def test_a_start_where_no_ion_may_be_is_refused():
    energies = channels(1, 0.4)
    energies[0, 0, 0] = np.inf
    with pytest.raises(InputError, match="start"):
        percolation_box(energies, (0, 0, 0))
    with pytest.raises(InputError, match="at least 3"):
        periodic_percolation(np.zeros((2, 4, 4)))


# By brute force ---------------------------------------------------------------------------------


def naive_levels(energies: np.ndarray, start: tuple[int, ...]) -> np.ndarray:
    """Dijkstra's algorithm with the maximum in place of the sum."""
    levels = np.full(energies.shape, np.inf)
    queue = [(energies[start], start)]
    while queue:
        level, here = heapq.heappop(queue)
        if levels[here] < np.inf:
            continue
        levels[here] = level
        for step in STEPS:
            there = tuple(np.add(here, step))
            inside = all(0 <= i < n for i, n in zip(there, energies.shape, strict=True))
            if inside and levels[there] == np.inf and energies[there] < np.inf:
                heapq.heappush(queue, (max(level, energies[there]), there))
    return levels


def naive_dimensions(energies: np.ndarray, start: tuple[int, ...], level: float) -> int:
    """See which images of the start hang together with it in a piece of the crystal."""
    n_cells = 7
    crystal = np.tile(energies <= level, (n_cells,) * 3)
    labels, _ = label(crystal, structure=np.ones((3, 3, 3)))
    cells = list(product(range(n_cells), repeat=3))
    own = labels[tuple(np.add(start, np.multiply(n_cells // 2, energies.shape)))]
    ways = [
        np.subtract(cell, n_cells // 2)
        for cell in cells
        if labels[tuple(np.add(start, np.multiply(cell, energies.shape)))] == own
    ]
    return int(np.linalg.matrix_rank(ways)) if own else 0


grids = st.tuples(*[st.integers(3, 5)] * 3).flatmap(
    lambda shape: st.lists(
        st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, np.inf]),
        min_size=int(np.prod(shape)),
        max_size=int(np.prod(shape)),
    ).map(lambda values: np.array(values).reshape(shape))
)


@settings(max_examples=40, deadline=None)
@given(grids)
def test_levels_equal_brute_force(energies):
    start = tuple(int(i) for i in np.unravel_index(energies.argmin(), energies.shape))
    if not np.isfinite(energies[start]):
        return
    assert np.array_equal(level_map(energies, start), naive_levels(energies, start))


@settings(max_examples=25, deadline=None)
@given(grids)
def test_percolation_equals_brute_force(energies):
    start = tuple(int(i) for i in np.unravel_index(energies.argmin(), energies.shape))
    if not np.isfinite(energies[start]):
        return
    found = periodic_percolation(energies, start)
    opened = [found.in_1d_eV, found.in_2d_eV, found.in_3d_eV]
    for level in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
        above = level - energies[start] + 1e-9
        expected = naive_dimensions(energies, start, level)
        assert sum(one <= above for one in opened) == expected
    # A way to an image leads through a face of the box.
    box = percolation_box(energies, start)
    assert box.percolation_eV <= found.in_1d_eV + 1e-12
    if np.isfinite(found.in_1d_eV):
        path = shortest_path(energies, np.eye(3), start, found.in_1d_eV)
        assert path.energy_eV.max() == pytest.approx(found.in_1d_eV, abs=1e-12)
        out = shortest_path(energies, np.eye(3), start, box.percolation_eV, "paper")
        assert out.energy_eV.max() == pytest.approx(box.percolation_eV, abs=1e-12)
