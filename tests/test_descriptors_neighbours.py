"""Pairs, shortest distances and straight paths against naive loops over periodic images."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from mlmd.descriptors.paths import EQUAL_A, straight_paths
from mlmd.periodic.neighbourhood import Neighbourhood

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402


@st.composite
def crystals(draw):
    """A triclinic cell, often smaller than the cutoff, atoms anywhere, some of them mobile."""
    lengths = [draw(st.floats(2.0, 9.0)) for _ in range(3)]
    slants = [draw(st.floats(-0.8, 0.8)) for _ in range(3)]
    cell = np.diag(lengths)
    cell[1, 0], cell[2, 0], cell[2, 1] = np.array(slants) * (
        lengths[0],
        lengths[0],
        lengths[1],
    )
    n = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    fractional = rng.uniform(-2.0, 3.0, (n, 3))
    mobile = np.arange(n) < draw(st.integers(1, n))
    return fractional @ cell @ rotation, cell @ rotation, mobile, rng


def images(position, positions, cell, reach_A):
    """Atom and vector of every image within reach of an atom, itself left out; slowly."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    span = [range(-n, n + 1) for n in np.ceil(reach_A / heights + 6).astype(int)]
    shifts = np.array(list(product(*span))) @ cell
    for k, other in enumerate(positions):
        vectors = other + shifts - positions[position]
        distances = np.linalg.norm(vectors, axis=1)
        for vector in vectors[(distances <= reach_A) & (distances > 1e-9)]:
            yield k, vector


@settings(max_examples=25, deadline=None)
@given(crystals(), st.floats(1.0, 7.0))
def test_pairs_are_those_of_a_naive_loop(crystal, cutoff_A):
    positions, cell, mobile, _ = crystal
    cutoff_A += 1.2345e-5  # no round number, which distances may be exactly
    pairs = Neighbourhood(positions, cell).pairs(cutoff_A, mobile, ~mobile)
    expected = sorted(
        (int(i), k, *np.round(vector, 6))
        for i in np.flatnonzero(mobile)
        for k, vector in images(i, positions, cell, cutoff_A)
        if not mobile[k]
    )
    found = sorted(
        (int(i), int(k), *np.round(vector, 6))
        for i, k, vector in zip(pairs.first, pairs.second, pairs.vector_A, strict=True)
    )
    assert len(found) == len(expected)
    assert np.allclose(found, expected, atol=2e-6)
    assert pairs.distance_A == pytest.approx(np.linalg.norm(pairs.vector_A, axis=1))
    assert (np.diff(pairs.first) >= 0).all()


@settings(max_examples=25, deadline=None)
@given(crystals())
def test_counts_of_all_atoms_are_those_of_a_naive_loop(crystal):
    positions, cell, _, _ = crystal
    counts = Neighbourhood(positions, cell).pairs(3.98765).counts(len(positions))
    naive = [len(list(images(i, positions, cell, 3.98765))) for i in range(len(positions))]
    assert counts.tolist() == naive


@settings(max_examples=25, deadline=None)
@given(crystals(), st.floats(0.0, 2.0))
def test_nearest_and_shell_are_those_of_a_naive_loop(crystal, extra_A):
    positions, cell, mobile, _ = crystal
    n = len(positions)
    pairs = Neighbourhood(positions, cell).pairs_beyond_nearest(extra_A, mobile, mobile)
    shortest = pairs.shortest_A(n)
    for i in np.flatnonzero(mobile):
        lengths = [np.linalg.norm(v) for k, v in images(i, positions, cell, 12.0) if mobile[k]]
        assert shortest[i] == pytest.approx(min(lengths), rel=1e-9)
        shell = sum(length <= min(lengths) + extra_A - 1e-9 for length in lengths)
        mine = pairs.distance_A[pairs.first == i]
        assert (mine <= shortest[i] + extra_A - 1e-9).sum() == shell


def naive_paths(positions, cell, mobile, radii, x):
    """The three means, by points along each path and a loop over all atoms around it."""
    results = []
    for i in np.flatnonzero(mobile):
        around = list(images(i, positions, cell, 16.0))
        ends = [(np.linalg.norm(v), k, v) for k, v in around if mobile[k]]
        shortest = min(length for length, _, _ in ends)
        per_path = []
        for _, j, path in (end for end in ends if end[0] <= shortest + 1e-4):
            surfaces, centres, whose = [], [], []
            for k, vector in around:
                if k == j and np.allclose(vector, path, atol=1e-7):
                    continue
                if vector @ path <= 0:
                    away = np.linalg.norm(vector)
                elif (vector - path) @ path >= 0:
                    away = np.linalg.norm(vector - path)
                else:
                    away = np.linalg.norm(np.cross(vector, path)) / np.linalg.norm(path)
                centres.append(away)
                surfaces.append(away - radii[k])
                whose.append(x[k])
            near = np.array(surfaces) <= min(surfaces) + 1e-4
            per_path.append((min(surfaces), min(centres), np.mean(np.array(whose)[near])))
        results.append(np.mean(per_path, axis=0))
    return np.mean(results, axis=0)


@settings(max_examples=25, deadline=None)
@given(crystals())
def test_straight_paths_are_those_of_a_naive_loop(crystal):
    positions, cell, mobile, rng = crystal
    radii, x = rng.uniform(0.3, 1.8, len(positions)), rng.uniform(0.8, 4.0, len(positions))
    near = Neighbourhood(positions, cell)
    paths = straight_paths(near, near.pairs_beyond_nearest(EQUAL_A, mobile, mobile), radii, x)
    expected = naive_paths(positions, cell, mobile, radii, x)
    found = (paths.width_A, paths.centre_width_A, paths.electronegativity)
    assert found == pytest.approx(expected, abs=1e-7)


def test_few_mobile_atoms_in_a_wide_cell():
    # Nearest mobile atoms 14.0 A apart, the rest dense between them: far beyond the first search.
    cell = 20.0 * np.eye(3)
    grid = np.array(list(product(range(8), repeat=3))) * 2.5 + 1.0
    positions = np.vstack([[(0.0, 0.0, 0.0), (9.9, 9.9, 0.0)], grid])
    mobile = np.arange(len(positions)) < 2
    radii, x = np.full(len(positions), 0.5), np.where(mobile, 1.0, 3.0)
    near = Neighbourhood(positions, cell)
    paths = straight_paths(near, near.pairs_beyond_nearest(EQUAL_A, mobile, mobile), radii, x)
    assert paths.centre_width_A == pytest.approx(1.0)  # grid atoms 1 A above the diagonal
    assert paths.width_A == pytest.approx(0.5)
    assert paths.electronegativity == 3.0
