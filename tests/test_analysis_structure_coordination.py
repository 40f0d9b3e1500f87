"""First shells, coordination numbers and bond angles: crystals, molecules, gases, real liquids."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mlmd import rdf
from mlmd.analysis.structure import (
    bond_angles,
    coordination,
    coordination_within,
    first_shell,
    running_coordination,
)
from mlmd.errors import InputError
from mlmd.periodic.neighbours import neighbours_within
from mlmd.trajectory.trajectory import Trajectory

DATA = Path(__file__).parents[2] / "shared" / "data"
FCC = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
TRICLINIC = np.array([[6.0, 0, 0], [2.0, 5.0, 0], [-1.0, 2.5, 7.0]])


def trajectory(positions, cell, numbers) -> Trajectory:
    times = np.arange(len(positions)) * 1.0
    return Trajectory(
        np.asarray(positions, float), np.asarray(cell, float), np.array(numbers), times
    )


def crystal(basis, numbers, a, repeat=3, frames=1, rattle=0.0) -> Trajectory:
    grid = np.array(list(product(range(repeat), repeat=3)))
    x = (grid[:, None] + np.asarray(basis)).reshape(-1, 3) * a
    noise = np.random.default_rng(0).normal(0, rattle, (frames, *x.shape))
    return trajectory(x + noise, np.eye(3) * a * repeat, np.tile(numbers, len(grid)))


ROCK_SALT = np.concatenate([FCC, FCC + np.array([0.5, 0, 0])])


@pytest.mark.parametrize("repeat", [1, 2])
def test_rock_salt_has_six_unlike_and_twelve_like_neighbours(repeat):
    """Also in one cell of 8 atoms, where most of them are images."""
    salt = crystal(ROCK_SALT, [11] * 4 + [17] * 4, 5.6, repeat)
    unlike = coordination(salt, "Na", "Cl", 3.0)
    like = coordination(salt, "Na", "Na", 4.2)
    assert unlike.mean == 6
    assert like.mean == 12
    assert unlike.fraction[6] == like.fraction[12] == 1.0
    assert unlike.cutoff_from == "given"
    assert unlike.mean_stderr is None


def test_first_minimum_is_between_the_shells_of_a_hot_crystal():
    salt = crystal(ROCK_SALT, [11] * 4 + [17] * 4, 5.6, frames=60, rattle=0.15)
    result = rdf(salt)
    shell = first_shell(result, "Na", "Cl")
    assert shell.peak_A == pytest.approx(2.8, abs=0.03)
    assert 3.2 < shell.minimum_A < 4.5
    assert shell.coordination == pytest.approx(6.0, abs=0.01)
    counted = coordination(salt, "Na", "Cl")
    assert counted.cutoff_from == "first minimum of g(r)"
    assert counted.mean == pytest.approx(6.0, abs=0.01)
    edges, running = running_coordination(result, "Na", "Cl")
    assert running[np.searchsorted(edges, 4.0)] == pytest.approx(6.0, abs=0.01)
    assert coordination_within(result, "Na", "Na", 4.7) == pytest.approx(12.0, abs=0.02)


def test_numbers_differ_both_ways_about_by_composition():
    """CaF2: eight fluorines about a calcium, four calciums about a fluorine."""
    corners = np.array(list(product([0.25, 0.75], repeat=3)))
    fluorite = crystal(np.concatenate([FCC, corners]), [20] * 4 + [9] * 8, 5.46)
    result = rdf(fluorite)
    assert coordination_within(result, "Ca", "F", 3.0) == pytest.approx(8)
    assert coordination_within(result, "F", "Ca", 3.0) == pytest.approx(4)
    assert coordination(fluorite, "F", "Ca", 3.0).mean == 4


def test_distribution_of_an_ideal_gas_is_binomial():
    """Every other atom is within the cutoff by chance; the errors hold the truth."""
    from scipy.stats import binom

    x = np.random.default_rng(2).random((1500, 12, 3)) @ TRICLINIC
    gas = trajectory(x, TRICLINIC, [3] * 5 + [8] * 7)
    cutoff_A = 2.2
    found = coordination(gas, "Li", "O", cutoff_A)
    chance = 4 / 3 * np.pi * cutoff_A**3 / np.linalg.det(TRICLINIC)
    expected = binom.pmf(found.numbers, 7, chance)
    z = (found.fraction - expected) / found.fraction_stderr
    assert np.abs(z[expected > 1e-2]).max() < 4
    assert found.mean == pytest.approx(7 * chance, abs=4 * found.mean_stderr)
    assert found.fraction.sum() == pytest.approx(1.0)
    counted = coordination_within(rdf(gas, r_max_A=2.35, bin_A=0.1), "Li", "O", cutoff_A)
    assert counted == pytest.approx(found.mean, rel=1e-9)


@pytest.mark.parametrize("frames", [1, 300])
@pytest.mark.parametrize("seed", range(5))
def test_ideal_gas_has_no_first_shell(frames, seed):
    """However its noise looks, also that of one frame."""
    x = np.random.default_rng(seed).random((frames, 40, 3)) * 12.0
    with pytest.raises(InputError, match="no first peak up to 6 A"):
        first_shell(rdf(trajectory(x, np.eye(3) * 12, [3] * 40)), "Li", "Li")


def test_one_frame_of_a_hot_crystal_has_its_first_shell():
    salt = crystal(ROCK_SALT, [11] * 4 + [17] * 4, 5.6, rattle=0.15)
    shell = first_shell(rdf(salt), "Na", "Cl")
    assert shell.coordination == pytest.approx(6.0, abs=0.05)


def test_what_is_not_there_is_refused():
    salt = crystal(ROCK_SALT, [11] * 4 + [17] * 4, 5.6, frames=40, rattle=0.15)
    with pytest.raises(InputError, match="no minimum after its first peak up to 3 A"):
        first_shell(rdf(salt, r_max_A=3.0), "Na", "Cl")
    with pytest.raises(InputError, match="counted up to 3 A"):
        coordination_within(rdf(salt, r_max_A=3.0), "Na", "Cl", 3.2)
    with pytest.raises(InputError, match="cutoff_A is -1"):
        coordination(salt, "Na", "Cl", -1.0)
    nothing = trajectory(np.zeros((0, 2, 3)), np.eye(3), [3, 3])
    with pytest.raises(InputError, match="no frame"):
        coordination(nothing, "Li", "Li", 1.0)
    with pytest.raises(InputError, match="no frame"):
        bond_angles(nothing, "Li", ("Li", "Li"), cutoff_A=1.0)
    broken = trajectory(np.full((2, 2, 3), np.nan), np.eye(3), [3, 3])
    for measured in (
        lambda: coordination(broken, "Li", "Li", 1.0),
        lambda: bond_angles(broken, "Li", ("Li", "Li"), cutoff_A=1.0),
    ):
        with pytest.raises(InputError, match="not finite"):
            measured()


@pytest.mark.parametrize("cutoff_A", [2.0, 5.5])
def test_neighbours_are_those_of_ase(cutoff_A):
    """In a skewed cell, beyond half of it too, in any chunk; vectors and order."""
    from ase.neighborlist import primitive_neighbor_list

    x = np.random.default_rng(1).random((7, 9, 3)) @ TRICLINIC
    gas = trajectory(x, TRICLINIC, [3] * 9)
    everyone = np.arange(9)
    ours = [
        np.column_stack([found.frame, found.centre, found.neighbour, found.vector_A])
        for found in neighbours_within(gas.positions_A, gas.cell_A, cutoff_A, everyone, everyone)
    ]
    ours = np.concatenate(ours)
    for frame in range(7):
        i, j, d = primitive_neighbor_list("ijD", [True] * 3, TRICLINIC, x[frame], cutoff_A)
        theirs = np.column_stack([i, j, d])
        mine = ours[ours[:, 0] == frame][:, 1:]
        assert (np.diff(mine[:, 0]) >= 0).all()
        assert np.array(sorted(mine.round(8).tolist())) == pytest.approx(
            np.array(sorted(theirs.round(8).tolist())), abs=1e-6
        )


def test_angles_of_fcc_are_exactly_those_of_its_shell():
    """66 angles between 12 bonds: 24 of 60, 12 of 90, 24 of 120 and 6 of 180 degrees."""
    found = bond_angles(crystal(FCC, [13] * 4, 4.05), "Al", ("Al", "Al"), cutoff_A=3.3, bin_deg=4)
    share = found.density_1_deg * 4
    occupied = {
        round(angle): value
        for angle, value in zip(found.angle_deg, share, strict=True)
        if value > 0
    }
    assert sum(v for a, v in occupied.items() if abs(a - 60) <= 2) == pytest.approx(24 / 66)
    assert sum(v for a, v in occupied.items() if abs(a - 90) <= 2) == pytest.approx(12 / 66)
    assert sum(v for a, v in occupied.items() if abs(a - 120) <= 2) == pytest.approx(24 / 66)
    assert occupied[178] == pytest.approx(6 / 66)
    assert found.n_angles == 66 * 4 * 27


def test_angles_between_unlike_ends():
    """Water of 104.5 degrees and O-H...O in a line with its first bond."""
    half = np.radians(104.5) / 2
    h = 0.96 * np.array([[np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    donor = 2.8 / 0.96 * h[0]
    frame = np.concatenate([[[0, 0, 0]], h, [donor]]) + 5.0
    water = trajectory([frame], np.eye(3) * 15, [8, 1, 1, 17])
    inner = bond_angles(water, "O", ("H", "H"), cutoff_A=1.2, bin_deg=1)
    assert inner.angle_deg[inner.density_1_deg > 0] == pytest.approx([104.5])
    outer = bond_angles(water, "O", ("H", "Cl"), cutoff_A=(1.2, 3.0), bin_deg=1)
    assert outer.n_angles == 2
    assert outer.angle_deg[outer.density_1_deg > 0] == pytest.approx([0.5, 104.5])
    swapped = bond_angles(water, "O", ("Cl", "H"), cutoff_A=(3.0, 1.2), bin_deg=1)
    assert swapped.density_1_deg == pytest.approx(outer.density_1_deg)
    with pytest.raises(InputError, match="no Cl atom"):
        bond_angles(water, "Cl", ("H", "H"), cutoff_A=1.0)


def test_angles_of_an_ideal_gas_are_random():
    """The sine divided out leaves 1 within its errors."""
    x = np.random.default_rng(5).random((800, 12, 3)) @ TRICLINIC
    gas = trajectory(x, TRICLINIC, [3] * 12)
    found = bond_angles(gas, "Li", ("Li", "Li"), cutoff_A=2.2, bin_deg=6)
    z = (found.relative - 1) / found.relative_stderr
    assert np.mean(z**2) < 2
    assert found.density_1_deg.sum() * 6 == pytest.approx(1.0)


@pytest.mark.skipif(not (DATA / "liquid_na_aimd").is_dir(), reason="the AIMD data are not here")
@pytest.mark.parametrize("temperature", ["671.0", "856.0"])
def test_liquid_sodium_has_12_to_14_neighbours(temperature):
    path = DATA / "liquid_na_aimd" / f"XDATCAR_Na_{temperature}.gz"
    liquid = Trajectory.read(path, timestep_fs=2, every=4)
    shell = first_shell(rdf(liquid), "Na", "Na")
    assert shell.peak_A == pytest.approx(3.6, abs=0.1)
    assert shell.minimum_A == pytest.approx(5.15, abs=0.25)
    counted = coordination(liquid, "Na", "Na")
    assert 12 <= counted.mean <= 14
    assert counted.mean == pytest.approx(shell.coordination, rel=0.01)
    assert counted.numbers[np.argmax(counted.fraction)] in (12, 13)


@pytest.mark.skipif(not (DATA / "argyrodite_dft").is_dir(), reason="the DFT data are not here")
def test_thiophosphate_is_a_tetrahedron():
    """Li6PS5Cl at 600 K by DFT: every phosphorus has four sulphurs, 109.5 degrees apart."""
    crystal = Trajectory.read(
        DATA / "argyrodite_dft" / "600K.extxyz", timestep_fs=100, every=4, long_steps="warn"
    )
    counted = coordination(crystal, "P", "S")
    assert counted.fraction[4] == 1.0
    assert 2.3 < counted.cutoff_A < 3.4
    found = bond_angles(crystal, "P", ("S", "S"), cutoff_A=counted.cutoff_A)
    mean = float(found.angle_deg @ found.density_1_deg / found.density_1_deg.sum())
    assert mean == pytest.approx(109.4, abs=0.3)
