"""Point-wise errors: what each number means, and two models on DFT frames of Li6PS5Cl."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlmd import Trajectory, load_calculator
from mlmd.comparison import evaluate_frames, point_errors
from mlmd.errors import CalculatorError, InputError, MissingExtraError

ARGYRODITE = Path(__file__).parents[2] / "shared" / "data" / "argyrodite_dft" / "600K.extxyz"


def frames(numbers: list[int], seed: int = 0, n: int = 8) -> Trajectory:
    rng = np.random.default_rng(seed)
    atoms = len(numbers)
    return Trajectory(
        positions_A=rng.random((n, atoms, 3)) * 8,
        cell_A=np.eye(3) * 8.0,
        numbers=np.array(numbers),
        time_fs=np.arange(float(n)),
        energies_eV=rng.normal(-3.0 * atoms, 0.1, n),
        forces_eV_A=rng.normal(0, 1, (n, atoms, 3)),
        stresses_eV_A3=rng.normal(0, 0.01, (n, 6)),
        source=f"reference {seed}",
    )


def test_identical_frames_have_no_error() -> None:
    one = frames([3, 3, 8])
    result = point_errors(one, one)
    assert result.energy_mae_meV_atom == 0.0
    assert result.forces.force_mae_meV_A == 0.0
    assert result.forces.force_slope == pytest.approx(1.0)
    assert result.forces.force_cosine == pytest.approx(1.0)
    assert (result.stress_mae_GPa, result.pressure_bias_GPa) == (0.0, 0.0)


def test_offset_per_atom_is_removed_and_what_is_left_is_counted() -> None:
    one = frames([3, 3, 8])
    wrong = np.array([1, -1] * 4) * 0.003
    other = replace(one, energies_eV=one.energies_eV + 3 * 0.5 + wrong)
    result = point_errors(other, one)
    assert result.energy_offset_eV["per_atom"] == pytest.approx(0.5)
    assert result.energy_mae_meV_atom == pytest.approx(1.0)
    assert result.energy_rmse_meV_atom == pytest.approx(np.sqrt(8 / 7))
    # A single frame has nothing but an offset.
    alone = point_errors(frames([3, 3, 8], n=1), frames([3, 3, 8], n=1))
    assert alone.energy_mae_meV_atom is None
    assert alone.pressure_bias_stderr_GPa is None


def test_offsets_of_elements_where_compositions_differ() -> None:
    sides = [frames([3, 3, 8], 1), frames([3, 8, 8], 2)]
    shifts = [2 * 0.4 - 1.1, 0.4 - 2 * 1.1]
    moved = [
        replace(one, energies_eV=one.energies_eV + shift)
        for one, shift in zip(sides, shifts, strict=True)
    ]
    result = point_errors(moved, sides)
    assert result.energy_offset_eV == pytest.approx({"Li": 0.4, "O": -1.1})
    assert result.energy_mae_meV_atom == pytest.approx(0.0, abs=1e-9)


def test_softening_by_element_and_in_all() -> None:
    one = frames([3, 3, 8])
    soft = one.forces_eV_A.copy()
    soft[:, 2] *= 0.5
    result = point_errors(replace(one, forces_eV_A=soft), one)
    assert result.by_element["Li"].force_slope == pytest.approx(1.0)
    assert result.by_element["O"].force_slope == pytest.approx(0.5)
    assert result.by_element["O"].force_cosine == pytest.approx(1.0)
    assert result.by_element["O"].n_atoms == 8
    norms = np.sum(one.forces_eV_A**2, axis=(0, 2))
    assert result.forces.force_slope == pytest.approx(1 - 0.5 * norms[2] / norms.sum())
    mae = 1000 * 0.5 * np.abs(one.forces_eV_A[:, 2]).mean()
    assert result.by_element["O"].force_mae_meV_A == pytest.approx(mae)


def test_error_of_the_slope_covers() -> None:
    rng = np.random.default_rng(7)
    pulls = []
    for seed in range(200):
        one = frames([3] * 5, seed, n=20)
        noisy = 0.8 * one.forces_eV_A + rng.normal(0, 0.5, one.forces_eV_A.shape)
        found = point_errors(replace(one, forces_eV_A=noisy), one)
        pulls.append((found.forces.force_slope - 0.8) / found.force_slope_stderr)
    assert np.std(pulls) == pytest.approx(1.0, abs=0.2)


def test_sign_and_unit_of_the_pressure() -> None:
    one = frames([3, 3, 8])
    stretched = one.stresses_eV_A3.copy()
    stretched[:, :3] -= 0.01  # more compressive: ASE's stress is negative under pressure
    result = point_errors(replace(one, stresses_eV_A3=stretched), one)
    assert result.pressure_bias_GPa == pytest.approx(1.602177, rel=1e-6)
    assert result.stress_mae_GPa == pytest.approx(1.602177 / 2, rel=1e-6)


def test_missing_quantities_are_none() -> None:
    one = frames([3, 3, 8])
    bare = replace(one, energies_eV=None, stresses_eV_A3=None)
    result = point_errors(one, bare)
    assert result.energy_mae_meV_atom is None
    assert result.stress_mae_GPa is None
    assert result.forces is not None
    with pytest.raises(InputError, match="neither energies, nor forces"):
        point_errors(one, replace(bare, forces_eV_A=None))


def test_other_frames_are_refused() -> None:
    one = frames([3, 3, 8])
    with pytest.raises(InputError, match="same positions"):
        point_errors(frames([3, 3, 8], seed=1), one)
    with pytest.raises(InputError, match="same positions"):
        point_errors(replace(one, numbers=np.array([8, 3, 3])), one)
    broken = one.forces_eV_A.copy()
    broken[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="not all finite"):
        point_errors(replace(one, forces_eV_A=broken), one)
    with pytest.raises(InputError, match="expected one for each"):
        point_errors([one], [one, one])


def test_evaluate_takes_frames_from_all_of_the_run() -> None:
    numbers = [18] * 8
    one = frames(numbers, n=30)
    calculator = load_calculator("lj", cutoff_A=3.9)
    surrogate, reference = evaluate_frames(one, calculator, frames=4)
    assert reference.time_fs.tolist() == [0.0, 10.0, 19.0, 29.0]
    assert np.array_equal(reference.energies_eV, one.energies_eV[[0, 10, 19, 29]])
    assert surrogate.stresses_eV_A3.shape == (4, 6)
    with pytest.raises(InputError, match="neither energies nor forces"):
        evaluate_frames(replace(one, energies_eV=None, forces_eV_A=None), calculator)

    class Broken:
        def get_potential_energy(self, *_: object, **__: object) -> float:
            raise KeyError("Ar")

    with pytest.raises(CalculatorError, match="made for these elements"):
        evaluate_frames(one, Broken())


@pytest.mark.slow
@pytest.mark.skipif(not ARGYRODITE.is_file(), reason="needs shared/data/argyrodite_dft")
@pytest.mark.parametrize(
    ("name", "force_mae_meV_A", "slope"), [("sevennet", 85, 0.835), ("chgnet", 174, 0.58)]
)
def test_models_on_dft_frames_of_argyrodite(
    name: str, force_mae_meV_A: float, slope: float
) -> None:
    """Both universal potentials are too soft far from equilibrium, and both sign conventions fit.

    B. Deng et al., npj Comput. Mater. 11, 9 (2025), find slopes below 1 for CHGNet and M3GNet.
    """
    reference = Trajectory.read(ARGYRODITE, 2.0, long_steps="warn")
    try:
        calculator = load_calculator(name, device="cpu")
    except MissingExtraError as error:
        pytest.skip(str(error))
    result = point_errors(*evaluate_frames(reference, calculator, frames=2))
    assert result.forces.force_mae_meV_A == pytest.approx(force_mae_meV_A, rel=0.1)
    assert result.forces.force_slope == pytest.approx(slope, abs=0.03)
    assert result.forces.force_cosine > 0.9
    assert abs(result.pressure_bias_GPa) < 0.3
    assert set(result.by_element) == {"Li", "P", "S", "Cl"}
    first, other = result.pairs["stress_GPa"]
    assert np.corrcoef(first, other)[0, 1] > 0.8
