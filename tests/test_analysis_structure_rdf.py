"""g(r): ideal gases, crystals, brute force, other programs, published conventions, real liquids."""

import csv
import io
import json
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import argon

from mlmd import rdf
from mlmd.analysis.structure import CONVENTIONS
from mlmd.analysis.structure.blocks import first_blocks, independent_blocks, standard_error
from mlmd.errors import InputError
from mlmd.periodic.cell import cell_heights
from mlmd.periodic.distance_bins import DistanceBins
from mlmd.periodic.pair_counts import pair_counts
from mlmd.trajectory.trajectory import Trajectory

DATA = Path(__file__).parents[2] / "shared" / "data"
CUBE = np.eye(3) * 9.0
TRICLINIC = np.array([[6.0, 0, 0], [2.0, 5.0, 0], [-1.0, 2.5, 7.0]])
FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def trajectory(positions, cell, numbers) -> Trajectory:
    positions = np.asarray(positions, dtype=float)
    return Trajectory(
        positions, np.asarray(cell, float), np.array(numbers), np.arange(len(positions)) * 1.0
    )


def ideal_gas(cell, numbers, frames, seed=0) -> Trajectory:
    x = np.random.default_rng(seed).random((frames, len(numbers), 3))
    return trajectory(x @ cell, cell, numbers)


def brute_force(positions, cell, r_max):
    """Distances of all ordered pairs with every image, self-images included, by plain loops."""
    reach = [int(np.ceil(r_max / h)) + 1 for h in cell_heights(cell)]
    inside = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    found = []
    for i, j in product(range(len(inside)), repeat=2):
        for n in product(*(range(-m, m + 1) for m in reach)):
            if i == j and n == (0, 0, 0):
                continue
            r = np.linalg.norm(inside[j] - inside[i] + np.array(n) @ cell)
            if r < r_max:
                found.append((i, j, r))
    return found


@pytest.mark.parametrize(
    ("cell", "numbers", "r_max_A"),
    [
        (CUBE, [3] * 12 + [17] * 18, 4.5),
        (TRICLINIC, [3] * 3 + [8] * 9, 4.5),  # the smallest height is 4.71: nearly twice half
        (CUBE, [3, 3], 8.9),
        (np.diag([4.0, 9.0, 7.0]), [3] * 2 + [8] * 3 + [16], 3.9),
    ],
)
def test_ideal_gas_is_one_for_every_pair(cell, numbers, r_max_A):
    """Also of two atoms, in a skewed cell, and beyond half of it: within counting error."""
    gas = ideal_gas(cell, numbers, 4000)
    result = rdf(gas, r_max_A=r_max_A, bin_A=0.1)
    shells = 4 / 3 * np.pi * np.diff((np.arange(len(result.r_A) + 1) * 0.1) ** 3)
    for (a, b), curve in result.partials.items():
        n_a, n_b = result.n_atoms[a], result.n_atoms[b] - (a == b)
        if n_b == 0:
            continue
        unordered = n_a * n_b / (2 if a == b else 1)
        expected = 4000 * unordered * shells / abs(np.linalg.det(cell))
        z = (curve.g - 1) * np.sqrt(expected)
        z = z[expected > 20]
        # Distances of an ideal gas are independent in pairs: chi-squared of these bins.
        assert np.mean(z**2) == pytest.approx(1.0, abs=5 * np.sqrt(2 / len(z)))
        assert abs(np.sum((curve.g - 1) * expected)) < 5 * np.sqrt(expected.sum())


def test_ideal_gas_in_a_breathing_cell_is_one():
    """Weighting each frame by its own volume: the mean volume would give 1.02 here."""
    rng = np.random.default_rng(1)
    scale = 1 + 0.25 * np.sin(np.arange(1500))
    cells = TRICLINIC * np.cbrt(scale)[:, None, None]
    gas = trajectory(rng.random((1500, 12, 3)) @ cells, cells, [3] * 4 + [8] * 8)
    result = rdf(gas, r_max_A=4.0, bin_A=0.2)
    for curve in [result.total, *result.partials.values()]:
        z = (curve.g - 1)[4:] / curve.stderr[4:]
        assert np.mean(z**2) < 2.0
        weights = 1 / curve.stderr[4:] ** 2
        assert np.average(curve.g[4:], weights=weights) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("repeat", [1, 3])
def test_fcc_shells_at_exact_distances_with_exact_numbers(repeat):
    """12, 6, 24, 12 neighbours at a/sqrt(2), a, a sqrt(1.5), a sqrt(2), in one cell of 4 atoms."""
    a = 4.05
    grid = np.array(list(product(range(repeat), repeat=3)))
    x = (grid[:, None] + FCC).reshape(-1, 3) * a
    crystal = trajectory(x[None], np.eye(3) * a * repeat, [13] * len(x))
    result = rdf(crystal, r_max_A=6.0, bin_A=0.02)
    counted = result.neighbours("Al", "Al")
    occupied = np.flatnonzero(counted)
    distances = a * np.sqrt([0.5, 1.0, 1.5, 2.0])
    assert counted[occupied] == pytest.approx([12, 6, 24, 12])
    assert np.abs(result.r_A[occupied] - distances).max() <= 0.01 + 1e-9


def test_primitive_cell_of_one_atom_sees_its_own_images():
    a = 4.05
    primitive = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
    result = rdf(trajectory(np.zeros((1, 1, 3)), primitive, [13]), r_max_A=5.5, bin_A=0.02)
    counted = result.neighbours("Al", "Al")
    assert counted[counted > 0] == pytest.approx([12, 6, 24])
    # With N_b = 1 the integral over the density gives the same numbers.
    shells = 4 / 3 * np.pi * np.diff((np.arange(len(result.r_A) + 1) * 0.02) ** 3)
    assert result.density_A3 * result.total.g @ shells == pytest.approx(42)


@given(
    cell=st.lists(st.floats(-2.0, 2.0), min_size=9, max_size=9),
    fractional=st.lists(st.floats(-3.0, 3.0), min_size=9, max_size=15),
    r_max_A=st.floats(0.5, 6.0),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_fast_path_is_brute_force(cell, fractional, r_max_A, seed):
    """Any cell, atoms outside of it, a range beyond it: the same numbers of neighbours."""
    matrix = np.array(cell).reshape(3, 3) + np.diag([4.0, 5.0, 4.5])
    if abs(np.linalg.det(matrix)) < 15 or cell_heights(matrix).min() < 1.5:
        return
    x = np.array(fractional[: len(fractional) // 3 * 3]).reshape(-1, 3)
    # Off the edges of bins and of each other, where rounding alone decides.
    x = x + np.random.default_rng(seed).random(x.shape) * 0.013
    numbers = np.resize([3, 8, 3], len(x))
    bin_A = r_max_A / 7.0000123
    given_frames = trajectory(np.stack([x, x + 0.37]) @ matrix, matrix, numbers)
    result = rdf(given_frames, r_max_A=r_max_A, bin_A=bin_A)
    expected = brute_force(given_frames.positions_A[0], matrix, 7 * bin_A)
    symbols = given_frames.symbols
    for a, b in combinations_with_replacement(given_frames.species, 2):
        distances = [r for i, j, r in expected if (symbols[i], symbols[j]) == (a, b)]
        counts = np.histogram(distances, bins=np.arange(8) * bin_A)[0]
        assert result.neighbours(a, b) * result.n_atoms[a] == pytest.approx(counts, abs=1e-9)
        assert result.neighbours(b, a) * result.n_atoms[b] == pytest.approx(counts, abs=1e-9)


def test_counts_by_frame_do_not_depend_on_chunks_or_segments():
    gas = ideal_gas(TRICLINIC, [3] * 4 + [8] * 5, 700)
    groups = np.array([0] * 4 + [1] * 5)
    bins = DistanceBins.covering(5.0, 0.25)
    one = pair_counts(gas.positions_A, gas.cell_A, groups, bins, np.zeros(700, int))
    each = pair_counts(gas.positions_A, gas.cells_A(), groups, bins, np.arange(700))
    alone = pair_counts(gas.positions_A[500:501], gas.cell_A, groups, bins, np.zeros(1, int))
    assert (each.sum(axis=0) == one[0]).all()
    assert (each[500] == alone[0]).all()


def test_search_tree_finds_the_same_pairs(monkeypatch):
    """A large cell that changes; atoms on its faces and outside of it."""
    import mlmd.periodic.pair_counts as pairs

    rng = np.random.default_rng(6)
    cells = np.array([np.diag([30.0, 33.0, 31.0]), np.diag([31.0, 32.0, 34.0])])
    x = rng.random((2, 600, 3))
    x[:, :6] = np.tile(np.eye(3), (2, 2, 1))
    x[:, 300:] -= 2.0
    groups = rng.integers(0, 3, 600)
    bins = DistanceBins(0.25, 24, -0.5)
    positions = x @ cells
    assert pairs.tree_is_faster(600, cells, bins.r_max_A)
    assert not pairs.tree_is_faster(600, cells + 0.1, bins.r_max_A)
    assert not pairs.tree_is_faster(600, cells, 15.1)
    searched = pair_counts(positions, cells, groups, bins, np.arange(2))
    monkeypatch.setattr(pairs, "tree_is_faster", lambda *_: False)
    formed = pair_counts(positions, cells, groups, bins, np.arange(2))
    assert formed.sum() > 1000
    assert np.abs(searched - formed).sum() <= 2  # the edges of bins: rounding


def lennard_jones_fluid(frames: int) -> Trajectory:
    """108 atoms of argon at 120 K, of which a third are called neon."""
    from ase import units
    from ase.md.langevin import Langevin

    atoms = argon(4, volume_per_atom_A3=45.0, cutoff_A=7.0)
    driver = Langevin(
        atoms,
        4 * units.fs,
        temperature_K=120,
        friction=0.05 / units.fs,
        fixcm=False,
        rng=np.random.default_rng(0),
    )
    driver.run(150)
    positions = []
    for _ in range(frames):
        driver.run(5)
        positions.append(atoms.positions.copy())
    return trajectory(positions, atoms.cell.array, np.resize([18, 18, 10], len(atoms)))


@pytest.fixture(scope="module")
def liquid() -> Trajectory:
    return lennard_jones_fluid(25)


def test_freud_gives_the_same(liquid):
    freud = pytest.importorskip("freud")
    result = rdf(liquid, r_max_A=6.0, bin_A=0.1)
    box = freud.box.Box.from_matrix(liquid.cell_A.T)
    for a, b in result.partials:
        mode = "finite_size" if a == b else "exact"
        peer = freud.density.RDF(bins=60, r_max=6.0, normalization_mode=mode)
        for frame in liquid.positions_A:
            points = frame - liquid.cell_A.diagonal() / 2
            query = None if a == b else points[liquid.indices(b)]
            peer.compute((box, box.wrap(points[liquid.indices(a)])), query, reset=False)
        # freud computes in single precision: a pair in ten thousand changes its bin.
        assert result.of(a, b).g == pytest.approx(np.asarray(peer.rdf), abs=0.02)
        assert np.abs(result.of(a, b).g - peer.rdf).mean() < 1e-3


def test_ase_gives_the_same(liquid):
    """But for N in place of N - 1."""
    from ase import Atoms
    from ase.geometry.rdf import get_rdf

    result = rdf(liquid, r_max_A=6.0, bin_A=0.1)
    n = liquid.n_atoms
    theirs = np.mean(
        [
            get_rdf(
                Atoms(numbers=liquid.numbers, positions=x, cell=liquid.cell_A, pbc=True), 6.0, 60
            )[0]
            for x in liquid.positions_A
        ],
        axis=0,
    )
    assert result.total.g * (n - 1) / n == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_weights_add_up_to_the_total(liquid):
    result = rdf(liquid, r_max_A=7.0)
    assert sum(curve.weight for curve in result.partials.values()) == pytest.approx(1.0)
    summed = sum(curve.weight * curve.g for curve in result.partials.values())
    assert summed == pytest.approx(result.total.g, abs=1e-12)


def test_beyond_half_the_cell_a_small_cell_is_its_supercell(liquid):
    """Images, not truncation: eight copies of the cell, in which the range is below half."""
    one = trajectory(liquid.positions_A[:2], liquid.cell_A, liquid.numbers)
    shifts = np.array(list(product(range(2), repeat=3))) @ liquid.cell_A
    big = trajectory(
        (one.positions_A[:, None] + shifts[:, None]).reshape(2, -1, 3),
        2 * liquid.cell_A,
        np.tile(liquid.numbers, 8),
    )
    r_max_A = 0.99 * liquid.cell_A[0, 0]
    small, large = (rdf(t, r_max_A=r_max_A, bin_A=0.2) for t in (one, big))
    for a, b in product(small.n_atoms, repeat=2):
        assert small.neighbours(a, b) == pytest.approx(large.neighbours(a, b), abs=1e-9)


def test_zheng2024_is_what_mpmorph_does(liquid):
    """Its formulas again, from a plain list of the distances of nearest images."""
    frame = trajectory(liquid.positions_A[:3], liquid.cell_A, liquid.numbers)
    result = rdf(frame, r_max_A=7.0, convention="zheng2024")
    assert result.r_A == pytest.approx(np.arange(70) * 0.1)
    volume = np.linalg.det(liquid.cell_A)
    for a, b in result.partials:
        counts = np.zeros(70)
        for x in frame.positions_A:
            d = x[frame.indices(b)][None] - x[frame.indices(a)][:, None]
            d -= np.rint(d / liquid.cell_A[0, 0]) * liquid.cell_A[0, 0]
            r = np.linalg.norm(d, axis=-1)
            for value in r[(r < 7.0) & (r > 0.1)]:
                counts[int(value / 0.1)] += 1
        n_a, n_b = result.n_atoms[a], result.n_atoms[b]
        g = np.zeros(70)
        g[1:] = counts[1:] / (n_a * 4 * np.pi * result.r_A[1:] ** 2 * 0.1 * n_b / volume * 3)
        smooth = g.copy()
        for k in range(2, 68):
            smooth[k] = (
                -3 * g[k - 2] + 12 * g[k - 1] + 17 * g[k] + 12 * g[k + 1] - 3 * g[k + 2]
            ) / 35
        assert result.of(a, b).g == pytest.approx(smooth, abs=1e-9)


def test_published_files_begin_as_a_gaussian_of_two_bins_begins():
    """One pair alone: the curve begins 8 bins below it, with the ratio exp(15/8)."""
    pair = trajectory([[[0, 0, 0], [2.02, 0, 0]]], np.eye(3) * 30, [3, 3])
    g = rdf(pair, convention="zheng2024_files").total.g
    first = int(np.flatnonzero(g)[0])
    assert first == 20 - 8
    assert g[first + 1] / g[first] == pytest.approx(np.exp(15 / 8))
    files = sorted((DATA / "zheng2024" / "rdf").glob("*.csv"))
    if not files:
        pytest.skip("the published g(r) are not here")
    ratios = []
    for file in files:
        table = np.genfromtxt(file, delimiter=",", skip_header=1)
        assert table[:, -1] == pytest.approx(rdf(pair, convention="zheng2024_files").r_A)
        for curve in table[:, 1:-1].T:
            start = np.flatnonzero(curve)
            if len(start) > 1:
                ratios.append(curve[start[0] + 1] / curve[start[0]])
    # More pairs in the next bin only make it steeper.
    assert min(ratios) == pytest.approx(np.exp(15 / 8), rel=1e-6)
    assert sum(np.isclose(ratios, np.exp(15 / 8), rtol=1e-6)) > 30


def test_errors_know_the_correlation_of_the_frames():
    """Each configuration of a gas 20 times over: as many blocks, the same error as once."""
    once = ideal_gas(CUBE, [3] * 20, 200)
    often = trajectory(np.repeat(once.positions_A, 20, axis=0), CUBE, [3] * 20)
    errors = [rdf(t, bin_A=0.1).total.stderr[20:] for t in (once, often)]
    assert np.mean(errors[1] / errors[0]) == pytest.approx(1.0, abs=0.1)
    assert rdf(often, bin_A=0.1).errors_reliable


def test_blocks_of_a_correlated_series_cover_its_mean():
    """Sixty curves of AR(1) noise: the standard error is that of theory within 15 %."""
    rng = np.random.default_rng(3)
    n, rho = 4096, 0.97
    noise = rng.normal(size=(n, 60))
    series = np.zeros((n, 60))
    for k in range(1, n):
        series[k] = rho * series[k - 1] + noise[k]
    first = series.reshape(64, 64, 60).mean(axis=1)
    blocking = independent_blocks(first)
    error = standard_error(blocking.join(first))
    theory = np.sqrt((1 / (1 - rho**2)) * (1 + rho) / (1 - rho) / n)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(theory, rel=0.15)
    assert blocking.joined > 1
    assert blocking.is_reliable


@pytest.mark.parametrize("frames", [1, 2, 63, 64, 65, 1000, 2000])
def test_first_blocks_are_equal_but_for_the_last(frames):
    counts = np.bincount(first_blocks(frames))
    assert (counts[:-1] == counts[0]).all()
    assert 0 < counts[-1] <= counts[0]
    assert counts.sum() == frames


def test_one_frame_has_no_error_and_json_says_null(liquid):
    result = rdf(trajectory(liquid.positions_A[:1], liquid.cell_A, liquid.numbers))
    assert result.total.stderr is None
    assert not result.errors_reliable
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["g_stderr"]["total"] is None
    assert plain["settings"]["convention"] == "exact"


def test_csv_and_json_hold_the_curves(liquid):
    result = rdf(liquid, r_max_A=6.0, bin_A=0.1)
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert list(rows[0]) == [
        *("r_A", "g_total", "stderr_total", "g_Ar-Ar", "stderr_Ar-Ar"),
        *("g_Ar-Ne", "stderr_Ar-Ne", "g_Ne-Ne", "stderr_Ne-Ne"),
    ]
    assert [float(row["g_Ar-Ne"]) for row in rows] == pytest.approx(
        result.of("Ne", "Ar").g, rel=1e-6
    )
    assert (
        json.loads(json.dumps(result.to_dict()))["g"]["Ar-Ne"] == result.of("Ar", "Ne").g.tolist()
    )


def test_pairs_can_be_chosen_in_any_order(liquid):
    result = rdf(liquid, r_max_A=6.0, pairs=[("Ne", "Ar"), ("Ar", "Ne")])
    assert list(result.partials) == [("Ar", "Ne")]
    assert result.of("Ne", "Ar") is result.of("Ar", "Ne")
    with pytest.raises(InputError, match="no g\\(r\\) of Ar-Ar"):
        result.of("Ar", "Ar")


def test_float32_positions_far_outside_the_cell_are_the_same(liquid):
    """Unwrapped positions of a long run, as they are recorded."""
    moved = liquid.positions_A + 40 * np.array([1, -1, 2]) @ liquid.cell_A
    single = Trajectory(moved.astype(np.float32), liquid.cell_A, liquid.numbers, liquid.time_fs)
    near, far = (rdf(t, r_max_A=6.0, bin_A=0.1).total.g for t in (liquid, single))
    assert np.abs(near - far).mean() < 2e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "magic"}, "exact or zheng2024 or zheng2024_files"),
        ({"r_max_A": -1.0}, "r_max_A is -1"),
        ({"bin_A": 0.0}, "bin_A is 0"),
        ({"bin_A": 5.0}, "expected 2 to"),
        ({"r_max_A": 1e9}, "expected 2 to"),
        ({"pairs": []}, "no pair"),
        ({"pairs": [("Ar", "Xe")]}, "no atom of species 'Xe'"),
    ],
)
def test_bad_settings_are_refused(liquid, options, message):
    with pytest.raises(InputError, match=message):
        rdf(liquid, **options)


def test_bad_trajectories_are_refused():
    x = np.zeros((2, 2, 3))
    with pytest.raises(InputError, match="no frame"):
        rdf(trajectory(x[:0], CUBE, [3, 3]))
    with pytest.raises(InputError, match="without a volume"):
        rdf(trajectory(x, np.zeros((3, 3)), [3, 3]))
    x[1, 0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        rdf(trajectory(x, CUBE, [3, 3]))


@pytest.mark.skipif(not (DATA / "liquid_na_aimd").is_dir(), reason="the AIMD data are not here")
@pytest.mark.parametrize("convention", sorted(CONVENTIONS))
def test_liquid_sodium_at_two_temperatures(convention):
    """First peak at 3.6 A at both, and R2 as blunt as recorded: 0.989 to 0.994."""
    curves = []
    for temperature in ("671.0", "856.0"):
        path = DATA / "liquid_na_aimd" / f"XDATCAR_Na_{temperature}.gz"
        result = rdf(Trajectory.read(path, timestep_fs=2, every=2), convention=convention)
        curves.append(result.total.g)
        assert result.r_A[np.argmax(result.total.g)] == pytest.approx(3.6, abs=0.15)
        height = 1.75 if convention == "zheng2024_files" else 1.95  # smoothed by 0.2 A
        assert result.total.g.max() == pytest.approx(height, abs=0.1)
    reference, other = curves
    deviation = np.sum((reference - other) ** 2) / np.sum((reference - reference.mean()) ** 2)
    assert 1 - deviation == pytest.approx(0.9915, abs=0.003)
