"""S(q): ideal gases, molecules, crystals, both routes against each other, scattering weights."""

from pathlib import Path

import numpy as np
import pytest

from mlmd import rdf
from mlmd.analysis.structure import direct_structure_factor, structure_factor
from mlmd.analysis.structure.scattering.lengths import scattering_lengths
from mlmd.errors import InputError, MissingExtraError
from mlmd.trajectory.trajectory import Trajectory

DATA = Path(__file__).parents[2] / "shared" / "data"
TRICLINIC = np.array([[14.0, 0, 0], [3.0, 13.0, 0], [-2.0, 2.5, 15.0]])
FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])


def trajectory(positions, cell, numbers) -> Trajectory:
    times = np.arange(len(positions)) * 1.0
    x = np.asarray(positions, dtype=float)
    return Trajectory(x, np.asarray(cell, float), np.array(numbers), times)


def dimers(frames=1500, n=20, bond_A=1.51, seed=0) -> Trajectory:
    """Molecules of C and O that know nothing of each other: what S(q) is, is known."""
    rng = np.random.default_rng(seed)
    centres = rng.random((frames, n, 3)) @ TRICLINIC
    direction = rng.normal(size=(frames, n, 3))
    direction *= bond_A / np.linalg.norm(direction, axis=-1, keepdims=True)
    return trajectory(
        np.concatenate([centres, centres + direction], axis=1), TRICLINIC, [6] * n + [8] * n
    )


@pytest.fixture(scope="module")
def gas_of_dimers() -> Trajectory:
    return dimers()


def standardised(curve, truth, chosen) -> np.ndarray:
    return (curve.s[chosen] - truth[chosen]) / curve.stderr[chosen]


@pytest.mark.parametrize("route", ["g(r)", "direct"])
def test_ideal_gas_is_one_down_to_the_smallest_q(route):
    """S(q -> 0) = 1, rho kT kappa of an ideal gas; each partial too."""
    x = np.random.default_rng(1).random((1000, 30, 3)) @ TRICLINIC
    gas = trajectory(x, TRICLINIC, [3] * 10 + [8] * 20)
    if route == "direct":
        found = direct_structure_factor(gas, q_max_1_A=3.0)
    else:
        found = structure_factor(rdf(gas), q_max_1_A=3.0)
    meant = found.q_1_A >= found.q_min_1_A * (1 - 1e-9)
    for curve in [found.total, *found.partials.values()]:
        assert np.abs(standardised(curve, np.ones(len(found.q_1_A)), meant)).max() < 4
    lowest = np.flatnonzero(meant)[0]
    assert found.total.s[lowest] == pytest.approx(1.0, abs=4 * found.total.stderr[lowest])


@pytest.mark.parametrize("route", ["g(r)", "direct"])
def test_dimers_give_debyes_formula(gas_of_dimers, route):
    """Unlike partial 1 + (N / N_a) sin(q d) / (q d), the like ones 1, at every q."""
    if route == "direct":
        found = direct_structure_factor(gas_of_dimers, q_max_1_A=4.0)
    else:
        found = structure_factor(rdf(gas_of_dimers, bin_A=0.02), q_max_1_A=4.0)
    meant = found.q_1_A >= found.q_min_1_A * (1 - 1e-9)
    q = found.q_1_A
    debye = np.sinc(q * 1.51 / np.pi)
    # One partner each: c_a c_b (S_ab - 1) N = N_a sin(qd) / (qd), with c_a = c_b = 1/2.
    assert np.mean(standardised(found.partials["C", "O"], 1 + 2 * debye, meant) ** 2) < 2.5
    assert np.mean(standardised(found.partials["C", "C"], np.ones(len(q)), meant) ** 2) < 2.5
    assert np.mean(standardised(found.total, 1 + debye, meant) ** 2) < 2.5
    assert found.partials["C", "O"].s[meant][0] > 2


def test_neutrons_and_xrays_weigh_the_dimers(gas_of_dimers):
    """Faber and Ziman's formula by hand, with 6.65 and 5.80 fm, and f(0) = Z."""
    pytest.importorskip("periodictable")
    found = structure_factor(rdf(gas_of_dimers, bin_A=0.02), q_max_1_A=4.0)
    b = {"C": 6.65, "O": 5.80}
    by_hand = (
        sum(
            (1 if a == c else 2) * 0.25 * b[a] * b[c] * curve.s
            for (a, c), curve in found.partials.items()
        )
        / (0.5 * sum(b.values())) ** 2
    )
    assert found.weighted("neutron").s == pytest.approx(by_hand, abs=2e-3)
    assert found.weighted("neutron").stderr.shape == by_hand.shape
    f = scattering_lengths(["C", "O"], found.q_1_A, "xray")
    low = 1 + 2 * 0.25 * f[0] * f[1] * (found.partials["C", "O"].s - 1) / f.mean(axis=0) ** 2
    low += 0.25 * f[0] ** 2 * (found.partials["C", "C"].s - 1) / f.mean(axis=0) ** 2
    low += 0.25 * f[1] ** 2 * (found.partials["O", "O"].s - 1) / f.mean(axis=0) ** 2
    assert found.weighted("xray").s == pytest.approx(low, abs=1e-9)


def test_scattering_lengths_are_the_tables():
    """Sears 1992 in fm to 2 % (Li was remeasured); form factors are Z at 0 and fall off."""
    pytest.importorskip("periodictable")
    symbols = ["H", "Li", "O", "Na", "P", "S", "Cl", "Ti", "La"]
    sears = [-3.739, -1.90, 5.803, 3.63, 5.13, 2.847, 9.577, -3.438, 8.24]
    numbers = [1, 3, 8, 11, 15, 16, 17, 22, 57]
    q = np.array([0.0, 5.0, 20.0])
    assert scattering_lengths(symbols, q, "neutron")[:, 1] == pytest.approx(sears, rel=0.02)
    f = scattering_lengths(symbols, q, "xray")
    assert f[:, 0] == pytest.approx(numbers, abs=0.05)
    assert (np.diff(f, axis=1) < 0).all()
    # International Tables C, 6.1.1.1: oxygen at sin(theta)/lambda = 0.4 and 0.5 1/A.
    oxygen = scattering_lengths(["O"], np.array([0.4, 0.5]) * 4 * np.pi, "xray")
    assert oxygen[0] == pytest.approx([3.010, 2.338], abs=0.02)


def test_without_the_package_it_says_what_to_install(monkeypatch, gas_of_dimers):
    import sys

    monkeypatch.setitem(sys.modules, "periodictable", None)
    found = structure_factor(rdf(gas_of_dimers), q_max_1_A=2.0)
    with pytest.raises(MissingExtraError, match="pip install 'mlmd\\[scattering\\]'"):
        found.weighted("neutron")


def test_crystal_has_bragg_peaks_where_they_belong():
    """fcc: S = N at 111 and 200, nothing at 100 and 110; the mean over all of a bin."""
    a = 4.0
    x = FCC * a
    found = direct_structure_factor(
        trajectory([x, x + 0.3], np.eye(3) * a, [13] * 4), q_max_1_A=3.3, bin_1_A=0.01
    )
    lengths = 2 * np.pi / a * np.sqrt([1, 2, 3, 4])
    assert found.q_1_A == pytest.approx(lengths)
    assert found.total.s == pytest.approx([0, 0, 4, 4], abs=1e-9)
    assert found.q_min_1_A == pytest.approx(lengths[0])


def test_waves_are_a_plain_sum_over_atoms_in_a_skewed_cell():
    rng = np.random.default_rng(4)
    cell = TRICLINIC / 2
    x = rng.random((2, 5, 3)) @ cell
    found = direct_structure_factor(trajectory(x, cell, [3] * 5), q_max_1_A=2.5, bin_1_A=1e-4)
    reciprocal = 2 * np.pi * np.linalg.inv(cell).T
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    vectors = grid @ reciprocal
    lengths = np.linalg.norm(vectors, axis=1)
    for q, s in zip(found.q_1_A, found.total.s, strict=True):
        near = vectors[np.abs(lengths - q) < 5e-5]
        waves = np.exp(-1j * np.einsum("qk,fak->qfa", near, x)).sum(axis=2)
        assert s == pytest.approx(np.mean(np.abs(waves) ** 2) / 5, rel=1e-6)
    inside = (lengths > 0) & (lengths <= 2.5)
    assert len(found.q_1_A) == len(np.unique((lengths[inside] / 1e-4).astype(int)))


@pytest.mark.skipif(not (DATA / "liquid_na_aimd").is_dir(), reason="the AIMD data are not here")
def test_both_routes_agree_for_liquid_sodium():
    """Beside the first peak, which 8 A of g(r) do not resolve; the peak is at 2.0 1/A."""
    path = DATA / "liquid_na_aimd" / "XDATCAR_Na_671.0.gz"
    liquid = Trajectory.read(path, timestep_fs=2, every=8)
    direct = direct_structure_factor(liquid, q_max_1_A=5.0, bin_1_A=0.2)
    curve = structure_factor(rdf(liquid))
    lorch = structure_factor(rdf(liquid), window="lorch")
    at = np.interp(direct.q_1_A, curve.q_1_A, curve.total.s)
    beyond = direct.q_1_A > 2.6
    assert np.abs(at - direct.total.s)[beyond].max() < 0.06
    assert np.abs(at - direct.total.s).max() < 0.3
    for found in (direct, curve, lorch):
        assert found.q_1_A[np.argmax(found.total.s)] == pytest.approx(2.05, abs=0.12)
    assert lorch.total.s.max() < curve.total.s.max() < direct.total.s.max() + 0.1
    assert direct.total.s[0] < 0.3  # a liquid is hard to compress


def test_bad_input_is_refused(gas_of_dimers):
    result = rdf(gas_of_dimers)
    with pytest.raises(InputError, match="needs 'exact'"):
        structure_factor(rdf(gas_of_dimers, convention="zheng2024", r_max_A=5.0))
    with pytest.raises(InputError, match="window is 'hann'"):
        structure_factor(result, window="hann")
    with pytest.raises(InputError, match="step above zero"):
        structure_factor(result, q_step_1_A=0.0)
    with pytest.raises(InputError, match="no g\\(r\\) of C-C"):
        structure_factor(rdf(gas_of_dimers, pairs=[("C", "O")]))
    with pytest.raises(InputError, match="give a larger q_max"):
        direct_structure_factor(gas_of_dimers, q_max_1_A=0.1)
    with pytest.raises(InputError, match="give a smaller q_max"):
        direct_structure_factor(gas_of_dimers, q_max_1_A=500.0)
    with pytest.raises(InputError, match="radiation is 'light'"):
        structure_factor(result).weighted("light")
    cells = TRICLINIC * np.linspace(1, 1.1, 5)[:, None, None]
    breathing = trajectory(np.zeros((5, 2, 3)), cells, [3, 3])
    with pytest.raises(InputError, match="changes"):
        direct_structure_factor(breathing)
