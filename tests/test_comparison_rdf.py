"""R2 of g(r), its noise ceiling, and the published curves of 185 compositions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlmd import Trajectory, compare, rdf
from mlmd.comparison import (
    ComparisonSettings,
    PairCurves,
    R2Distribution,
    RdfChoice,
    r_squared,
    rdf_parity,
)
from mlmd.errors import InputError

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "zheng2024" / "rdf"
SODIUM = Path(__file__).parents[2] / "shared" / "data" / "liquid_na_aimd"
published = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs shared/data/zheng2024/rdf")
sodium = pytest.mark.skipif(not SODIUM.is_dir(), reason="needs shared/data/liquid_na_aimd")
PAPER = {0.85: 0.91, 0.9: 0.85, 0.95: 0.68}


def curves(name: str, **g: list[float]) -> PairCurves:
    named = {pair.replace("_", "-"): np.array(values) for pair, values in g.items()}
    return PairCurves(np.arange(len(next(iter(g.values())))) * 0.1, named, {}, name)


def published_curves(prefix: str) -> dict[tuple[str, float | None], PairCurves]:
    files = sorted(FOLDER.glob(f"{prefix}_RDF_*.csv"))
    return {(f.stem.removeprefix(f"{prefix}_RDF_"), 5000.0): PairCurves.read_csv(f) for f in files}


def test_r2_by_hand() -> None:
    # mean 2, sum of squares 8; residuals 0, 1, 1.
    assert r_squared(np.array([0.0, 3.0, 3.0]), np.array([0.0, 2.0, 4.0])) == 1 - 2 / 8
    assert r_squared(np.array([1.0, 2.0]), np.array([1.0, 1.0])) is None
    reference = curves("r", Li_O=[0.0, 2.0, 4.0], O_O=[1.0, 1.0, 1.0])
    result = rdf_parity(curves("s", O_O=[1.0, 2.0, 1.0], Li_O=[0.0, 3.0, 3.0]), reference)
    assert result.r2_by_pair == {"Li-O": 0.75, "O-O": None}
    # Pooled: mean 1.5, sum of squares (2.25 + 0.25 + 6.25) + 3 * 0.25; residuals 2 + 1.
    assert result.r2_pooled == pytest.approx(1 - 3 / 9.5)


def test_distribution_counts_what_is_above() -> None:
    result = R2Distribution.of([0.96, 0.86, 0.2, 0.95])
    assert result.fraction_above == {0.85: 0.75, 0.9: 0.5, 0.95: 0.25}
    assert result.median == pytest.approx(0.905)


def test_order_of_atoms_and_species_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    positions = rng.random((40, 30, 3)) * 9.0
    numbers = np.array([3] * 10 + [8] * 20)
    one = Trajectory(positions, np.eye(3) * 9.0, numbers, np.arange(40.0))
    other = Trajectory(positions[:, ::-1], np.eye(3) * 9.0, numbers[::-1].copy(), np.arange(40.0))
    (result,) = compare(one, other).rdf.values()
    assert result.r2_pooled == 1.0
    assert sorted(result.r2_by_pair) == ["Li-Li", "Li-O", "O-O"]


@sodium
def test_r2_is_blunt_and_the_excess_is_not() -> None:
    warm = Trajectory.read(SODIUM / "XDATCAR_Na_671.0.gz", 2.0)
    hot = Trajectory.read(SODIUM / "XDATCAR_Na_856.0.gz", 2.0)
    (parity,) = compare(warm, hot).rdf.values()
    assert parity.r2_pooled == pytest.approx(0.989, abs=0.002)
    assert parity.r2_noise_ceiling == pytest.approx(0.9967, abs=0.001)
    # The halves as trajectories of their own say the same, but for the chance in two of them.
    n = len(hot) // 2
    pieces = [
        Trajectory(hot.positions_A[cut], hot.cell_A, hot.numbers, hot.time_fs[cut])
        for cut in (slice(n), slice(n, None))
    ]
    first, second = (rdf(piece).total.g for piece in pieces)
    whole = rdf(hot).total.g
    direct = 0.5 * np.sum((first - second) ** 2) / np.sum((whole - whole.mean()) ** 2)
    assert 1 - parity.r2_noise_ceiling == pytest.approx(direct, rel=0.5)


@published
def test_published_compositions_beside_the_paper() -> None:
    dft, m3gnet = published_curves("DFT"), published_curves("M3GNet")
    assert len(dft) == 185
    pooled = compare(m3gnet, dft).r2_distribution()
    assert pooled.fraction_above == pytest.approx({0.85: 0.886, 0.9: 0.843, 0.95: 0.692}, abs=1e-3)
    exchanged = compare(dft, m3gnet).r2_distribution()
    assert exchanged.fraction_above == pytest.approx(
        {0.85: 0.908, 0.9: 0.854, 0.95: 0.703}, abs=1e-3
    )
    # 185 of 245: a sample without replacement scatters by this much about the paper's shares.
    for level, share in PAPER.items():
        scatter = np.sqrt(share * (1 - share) / 185 * (1 - 185 / 245))
        assert abs(pooled.fraction_above[level] - share) < 2.5 * scatter
        assert abs(exchanged.fraction_above[level] - share) < 1.5 * scatter


@published
def test_conventions_that_are_farther_from_the_paper() -> None:
    dft, m3gnet = published_curves("DFT"), published_curves("M3GNet")
    results = [rdf_parity(m3gnet[key], dft[key]) for key in dft]
    means = [np.mean(list(one.r2_by_pair.values())) for one in results]
    singles = [r2 for one in results for r2 in one.r2_by_pair.values()]
    assert R2Distribution.of(means).fraction_above == pytest.approx(
        {0.85: 0.897, 0.9: 0.859, 0.95: 0.730}, abs=1e-3
    )
    assert R2Distribution.of(singles).fraction_above == pytest.approx(
        {0.85: 0.926, 0.9: 0.881, 0.95: 0.802}, abs=1e-3
    )


@published
def test_the_example_of_the_paper() -> None:
    key = ("LiCuSi2", 5000.0)
    result = rdf_parity(published_curves("M3GNet")[key], published_curves("DFT")[key])
    assert round(result.r2_pooled, 2) == 0.99
    assert len(result.r2_by_pair) == 6


def test_settings_are_kept_beside_the_number() -> None:
    rng = np.random.default_rng(4)
    runs = [
        Trajectory(rng.random((20, 20, 3)) * 8.0, np.eye(3) * 8.0, np.full(20, 11), np.arange(20.0))
        for _ in range(2)
    ]
    exact = compare(*runs).to_dict()["rdf"]["settings"]
    assert exact == {"convention": "exact", "r_max_A": 4.0, "bin_A": 0.05, "ceiling_from": "atoms"}
    choice = ComparisonSettings(rdf=RdfChoice("zheng2024_files"))
    paper = compare(*runs, settings=choice)
    assert paper.to_dict()["rdf"]["settings"]["bin_A"] == 0.1
    assert len(next(iter(paper.rdf.values())).reference.r_A) == 101
    assert "'exact'" in paper.missing["structure factor of Na20"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected r, one column per pair"),
        ("r,Li-Li\n0,0\n", "expected r, one column per pair"),
        ("r,Li\n0,0\n1,1\n", "expected r, one column per pair"),
        ("r,Li-Li\n0,0\n1,x\n", "not a table of numbers"),
        ("r,Li-Li\n0,0\n1\n", "not a table of numbers"),
        ("r,Li-Li\n0,0\n1,nan\n", "not finite"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "g.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=expected):
        PairCurves.read_csv(file)
    with pytest.raises(InputError, match="no file"):
        PairCurves.read_csv(tmp_path / "absent.csv")


def test_curves_that_do_not_belong_together() -> None:
    with pytest.raises(InputError, match="expected the same pairs"):
        rdf_parity(curves("s", Li_O=[1.0, 2.0]), curves("r", O_O=[1.0, 2.0]))
    with pytest.raises(InputError, match="different grids"):
        rdf_parity(curves("s", O_O=[1.0, 2.0, 3.0]), curves("r", O_O=[1.0, 2.0]))
