"""k-points from a spacing: the definition, its limits, and what is refused."""

import numpy as np
import pytest

from mlmd.calculators.programs.kpoints import checked_grid, divisions
from mlmd.errors import InputError

TRICLINIC = np.array([[7.1, 0.0, 0.0], [2.3, 9.4, 0.0], [-1.2, 3.0, 14.8]])


def test_cubic_cell_has_two_pi_over_the_edge():
    # |b| = 2 pi / 10 = 0.628 per angstrom.
    assert divisions(10 * np.eye(3), 0.3) == (3, 3, 3)
    assert divisions(10 * np.eye(3), 0.7) == (1, 1, 1)


@pytest.mark.parametrize("spacing_per_A", [0.05, 0.17, 0.3, 0.62])
def test_no_step_is_longer_than_the_spacing_and_no_point_too_many(spacing_per_A):
    reciprocal = 2 * np.pi * np.linalg.inv(TRICLINIC).T
    lengths = np.linalg.norm(reciprocal, axis=1)
    found = np.array(divisions(TRICLINIC, spacing_per_A))
    assert (lengths / found <= spacing_per_A).all()
    fewer = found > 1
    assert (lengths[fewer] / (found[fewer] - 1) > spacing_per_A).all()


def test_it_agrees_with_pymatgen_for_a_spacing_without_two_pi():
    inputs = pytest.importorskip("pymatgen.io.vasp.inputs", reason="needs pymatgen")
    from pymatgen.core import Structure

    structure = Structure(TRICLINIC, ["Li"], [[0, 0, 0]])
    # pymatgen takes the lengths of a*, b*, c* times the given numbers: points per 1/angstrom
    # of reciprocal length without 2 pi.
    points = inputs.Kpoints.automatic_density_by_lengths(structure, [40, 40, 40], force_gamma=True)
    lengths = np.linalg.norm(TRICLINIC, axis=1)
    assert points.kpts[0] == tuple(np.ceil(40 / lengths).astype(int))
    edges = np.diag(lengths)
    assert divisions(edges, 2 * np.pi / 40) == points.kpts[0]


def test_rounding_adds_no_point_where_the_spacing_divides_exactly():
    for n in range(1, 30):
        for edge in (3.7, 10.0, 11.1):
            assert divisions(edge * np.eye(3), 2 * np.pi / edge / n) == (n, n, n)


def test_a_rotated_or_mirrored_cell_has_the_same_divisions():
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    assert divisions(TRICLINIC @ rotation, 0.11) == divisions(TRICLINIC, 0.11)
    assert divisions(-TRICLINIC, 0.11) == divisions(TRICLINIC, 0.11)


@pytest.mark.parametrize("spacing", [0, -0.2, "0.2", None, float("nan"), True])
def test_a_spacing_that_is_no_positive_number_is_refused(spacing):
    with pytest.raises(InputError, match=r"kspacing_per_A .* positive number in 1/angstrom"):
        divisions(np.eye(3), spacing)


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.diag([5.0, 5.0, 0.0]), np.ones(3)])
def test_a_cell_without_volume_is_refused(cell):
    with pytest.raises(InputError, match="three independent vectors"):
        divisions(cell, 0.2)


def test_grids_are_three_whole_numbers():
    assert checked_grid("kpoints", [2, 1, 3]) == (2, 1, 3)
    for wrong in (2, [1, 2], [1, 2, 0], [1, 2, 2.0], "221", [True, 1, 1]):
        with pytest.raises(InputError, match="three whole numbers"):
            checked_grid("kpoints", wrong)
