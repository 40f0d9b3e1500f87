"""Surrogates made wrong on purpose are caught by the right line of a comparison, and only there.

Each side is 20 ps of 64 atoms of liquid argon.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from exact_motion import EPSILON_EV, SIGMA_A, argon_motion

from mlmd import Trajectory, compare
from mlmd.calculators import evaluate
from mlmd.comparison import Comparison

pytestmark = pytest.mark.kernels

REFERENCE_K = 110.0
run = argon_motion  # the same bits on every processor: a verdict near its limit stays where it is


def judged(surrogate: Trajectory) -> Comparison:
    return compare(surrogate, run(0), temperature_K=REFERENCE_K)


def answers(result: Comparison) -> dict[str, str]:
    return {name: verdict.answer for name, verdict in result.verdict.items()}


def test_another_seed_of_the_same_liquid_passes_everywhere() -> None:
    result = judged(run(1))
    assert set(answers(result).values()) == {"yes"}, result.verdict
    assert {"rdf", "structure_factor", "coordination", "vdos", "diffusivity"} <= set(result.verdict)
    (rdf,) = result.rdf.values()
    assert 0.2 < rdf.excess < 3.0


def test_identical_inputs_agree_perfectly() -> None:
    result = judged(run(0))
    (rdf,), (vdos,) = result.rdf.values(), result.vdos.values()
    assert rdf.r2_pooled == 1.0
    assert rdf.excess == 0.0
    assert vdos.vdos_overlap == pytest.approx(1.0, abs=1e-12)
    assert result.diffusivity.log10_mae == 0.0
    assert result.diffusivity.fraction_within_factor_2 == 1.0
    assert set(answers(result).values()) == {"yes"}


def test_distances_scaled_by_five_percent_show_in_structure_only() -> None:
    other = run(1)
    result = judged(
        replace(other, positions_A=1.05 * other.positions_A, cell_A=1.05 * other.cell_A)
    )
    found = answers(result)
    assert found["rdf"] == found["structure_factor"] == "no"
    assert found["vdos"] == found["diffusivity"] == "yes"
    assert "volume per atom of the surrogate differs by +15.8 %" in result.warnings[0]


def test_other_masses_show_in_motion_only() -> None:
    result = judged(run(2, mass_factor=10.0))
    found = answers(result)
    assert found["rdf"] == found["structure_factor"] == found["coordination"] == "yes"
    assert found["vdos"] == "no"
    assert found.get("diffusivity") != "yes"  # so slow that the run may be too short to have a D
    # Frequencies of the same forces go with the inverse root of the mass.
    (vdos,) = result.vdos.values()
    assert vdos.vdos_mean_ratio == pytest.approx(10**-0.5, rel=0.2)


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_a_mislabelled_time_axis_shows_in_motion_only(factor: float) -> None:
    other = run(1)
    result = judged(replace(other, time_fs=factor * other.time_fs))
    found = answers(result)
    assert found["rdf"] == found["structure_factor"] == found["coordination"] == "yes"
    assert found["vdos"] == found["diffusivity"] == "no"
    assert 10 ** result.diffusivity.points[0].log10_ratio == pytest.approx(1 / factor, rel=0.4)


def test_another_temperature_shows_in_structure_and_diffusivity() -> None:
    result = judged(run(3, temperature_K=300.0))
    found = answers(result)
    (rdf,) = result.rdf.values()
    assert found["rdf"] == found["diffusivity"] == "no"
    # The paper counts R2 above 0.85 as agreement.
    assert rdf.r2_pooled > 0.85
    assert rdf.excess > 10.0


def test_recorded_temperatures_that_are_not_those_of_the_label_are_named() -> None:
    hot = replace(run(1), temperatures_K=np.full(len(run(1)), 250.0))
    assert "surrogate was at 250 K in the mean, not at 110 K" in judged(hot).warnings[0]


def with_results(trajectory: Trajectory, calculator: Calculator) -> Trajectory:
    """The trajectory with energies and forces of a calculator."""
    atoms = Atoms(
        numbers=trajectory.numbers,
        positions=trajectory.positions_A[0],
        cell=trajectory.cell_A,
        pbc=True,
    )
    atoms.calc = calculator
    found = []
    for positions_A in trajectory.positions_A:
        atoms.positions[:] = positions_A
        found.append(evaluate(atoms))
    return replace(
        trajectory,
        energies_eV=np.array([one.energy_eV for one in found]),
        forces_eV_A=np.array([one.forces_eV_A for one in found]),
    )


def test_scaled_forces_show_as_softening_only() -> None:
    from mlmd.calculators.models.lennard_jones import LennardJones

    cutoff_A = 0.4999 * run(0).cell_A[0, 0]
    exact = LennardJones(sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=cutoff_A)

    class Soft(LennardJones):
        def calculate(self, *arguments: object, **more: object) -> None:
            super().calculate(*arguments, **more)
            self.results["forces"] = 0.8 * self.results["forces"]

    soft = Soft(sigma_A=SIGMA_A, epsilon_eV=EPSILON_EV, cutoff_A=cutoff_A)
    one, other = (with_results(run(seed).part(every=20), exact) for seed in (1, 0))
    right = compare(one, other, temperature_K=REFERENCE_K, calculator=exact)
    wrong = compare(one, other, temperature_K=REFERENCE_K, calculator=soft)
    assert right.points.forces.force_slope == pytest.approx(1.0, abs=1e-9)
    assert right.points.energy_mae_meV_atom == pytest.approx(0.0, abs=1e-9)
    assert wrong.points.forces.force_slope == pytest.approx(0.8, abs=1e-9)
    assert wrong.points.forces.force_cosine == pytest.approx(1.0, abs=1e-9)
    assert set(answers(right).values()) == {"yes"}
    assert [name for name, answer in answers(wrong).items() if answer != "yes"] == ["softening"]
