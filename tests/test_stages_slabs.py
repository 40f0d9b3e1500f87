"""Runs with held atoms, slabs and Langevin dynamics: what is recorded, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from runs import assert_equal_bits

from mlmd import (
    CalculatorSpec,
    Equilibrate,
    EquilibrateVolume,
    Production,
    Protocol,
    SampleInherentStructures,
    Trajectory,
)
from mlmd.analysis.diffusion.drift import drift_A, never_moving
from mlmd.analysis.structure import rdf
from mlmd.analysis.structure.scattering.direct import direct_structure_factor
from mlmd.analysis.summary import summarize
from mlmd.analysis.transport import conductivity
from mlmd.dynamics import contact_watch
from mlmd.errors import InputError, StoppedError
from mlmd.periodic.cell import minimum_image, opened_cells
from mlmd.run.measured import measured_stages
from mlmd.run.stopping import StopToken
from mlmd.stages.dynamics.settings import FRICTION_PER_PS
from mlmd.stages.stage import Stage
from mlmd.structure.checks import check_structure
from mlmd.trajectory.export import export_trajectory

EMT_SPEC = CalculatorSpec("emt")


def slab(n_held: int = 4) -> Atoms:
    """Three layers of copper with vacuum on both sides; the lowest may be held."""
    atoms = fcc111("Cu", (2, 2, 3), vacuum=6.0)
    assert atoms.pbc.tolist() == [True, True, False]
    if n_held:
        lowest = np.argsort(atoms.positions[:, 2], kind="stable")[:n_held]
        atoms.set_constraint(FixAtoms(sorted(lowest.tolist())))
    return atoms


def run_stages(folder: Path, atoms: Atoms, *stages: Stage, **more: object):
    return Protocol(name="p", stages=stages).run(atoms, EMT_SPEC, folder, seed=1, **more)


def production(name: str = "p", **changes: object) -> Production:
    settings = {"temperature_K": 600, "duration_ps": 0.2, "record_every_fs": 4, **changes}
    return Production(name=name, **settings)


def flags_of(run) -> dict[str, list[str]]:
    return {entry.name: entry.flags for entry in run.stages}


def test_a_slab_with_a_held_layer_runs_and_says_what_it_is(tmp_path: Path) -> None:
    atoms = slab()
    run = run_stages(tmp_path / "run", atoms, production(record_velocities=True))
    trajectory, result = run.trajectory("p"), run.results["p"]
    held = never_moving(trajectory)
    assert np.flatnonzero(held).tolist() == atoms.constraints[0].get_indices().tolist()
    assert (trajectory.positions_A[:, held] == atoms.positions[held].astype(np.float32)).all()
    assert trajectory.pbc == (True, True, False)
    # No volume, no pressure, though EMT gives a stress.
    assert result["pressure_GPa"] is None
    assert trajectory.pressures_GPa is None
    assert result["n_held_atoms"] == 4
    assert run.manifest.stage("p").flags == ["fixed_atoms"]
    # 8 atoms that move: 24 degrees of freedom, by the recorded velocities.
    masses_kg = trajectory.masses_u[:, None] * 1.66053906660e-27
    kinetic_J = 0.5 * (masses_kg * (trajectory.velocities_A_fs[9].astype(float) * 1e5) ** 2).sum()
    assert trajectory.temperatures_K[9] == pytest.approx(
        2 * kinetic_J / 24 / 1.380649e-23, rel=1e-5
    )


def test_a_slab_is_interrupted_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    stages = (
        Equilibrate(name="e", temperature_K=600, duration_ps=0.1, thermostat="langevin"),
        production(thermostat="langevin", friction_per_ps=5.0),
    )
    whole = run_stages(tmp_path / "whole", slab(), *stages)
    token = StopToken()
    token.stop("asked")
    with pytest.raises(StoppedError):
        run_stages(tmp_path / "run", slab(), *stages, stop=token)
    assert_equal_bits(whole, run_stages(tmp_path / "run", slab(), *stages))


def test_recorded_pressure_counts_what_moves(tmp_path: Path) -> None:
    """P = M kB T / V less a third of the trace of the calculator's stress, M = 20 of 32."""
    atoms = bulk("Cu", cubic=True).repeat(2)
    atoms.set_constraint(FixAtoms(range(12)))
    trajectory = run_stages(tmp_path / "run", atoms, production()).trajectory("p")
    frame = Atoms(
        numbers=trajectory.numbers,
        positions=trajectory.positions_A[30],
        cell=trajectory.cell_A,
        pbc=True,
        calculator=EMT(),
    )
    virial = -np.trace(frame.get_stress(voigt=False)) / 3
    kinetic = 20 * units.kB * trajectory.temperatures_K[30] / frame.get_volume()
    expected = (virial + kinetic) / units.GPa
    assert trajectory.pressures_GPa[30] == pytest.approx(expected, abs=1e-4)
    all_atoms = 32 * units.kB * trajectory.temperatures_K[30] / frame.get_volume()
    assert abs((all_atoms - kinetic) / units.GPa) > 0.1


@pytest.mark.parametrize(
    ("stage", "why"),
    [
        (production(ensemble="npt"), "stage 'p' needs stress for npt"),
        (
            EquilibrateVolume(name="v", temperature_K=600),
            "stage 'v' needs stress to find the volume of zero pressure",
        ),
        (
            SampleInherentStructures(name="s", n_structures=2, every_ps=0.04),
            r"stage 's' needs stress to relax the cell \(relax_cell: false does without\)",
        ),
    ],
)
def test_a_cell_that_changes_is_refused_before_anything_is_done(
    tmp_path: Path, stage: Stage, why: str
) -> None:
    held = bulk("Cu", cubic=True).repeat(2)
    held.set_constraint(FixAtoms([0, 1]))
    for atoms, reason in (
        (held, "would move the 2 atoms that FixAtoms holds"),
        (slab(0), r"periodic as \[True, True, False\]; expected all three"),
    ):
        with pytest.raises(InputError, match=f"{why}.*{reason}") as caught:
            run_stages(tmp_path / "run", atoms, production("first"), stage)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()


def test_inherent_structures_of_a_slab_keep_what_is_held(tmp_path: Path) -> None:
    sample = SampleInherentStructures(
        name="s", n_structures=2, every_ps=0.04, relax_cell=False, max_force_eV_A=0.02
    )
    run = run_stages(tmp_path / "run", slab(), production(), sample)
    assert run.results["s"]["n_converged"] == 2


@pytest.mark.parametrize(
    ("pbc", "height", "message"),
    [
        ([True, True, False], 0.0, r"no cell vector along direction 2.*vacuum=10, axis=2\)"),
        ([True, False, False], None, r"periodic as \[True, False, False\]; expected all three"),
        ([False, False, False], None, "or two for a slab"),
    ],
)
def test_what_is_no_slab_is_told_what_to_do(pbc, height, message) -> None:
    atoms = slab()
    atoms.pbc = pbc
    if height is not None:
        atoms.cell[2] = height
    with pytest.raises(InputError, match=message) as caught:
        check_structure(atoms)
    assert "\n" not in str(caught.value)


def test_nothing_is_folded_along_what_is_open(tmp_path: Path) -> None:
    """An atom far above the slab stays there: in the file, in exports and when read again."""
    atoms = slab(0)
    positions = np.repeat(atoms.positions[None], 4, axis=0)
    positions[:, 0, 2] += np.array([0.0, 8.0, 16.0, 24.0])
    trajectory = Trajectory(
        positions, atoms.cell.array, atoms.numbers, 10.0 * np.arange(4), pbc=(True, True, False)
    )
    for name in ("t.h5md", "t.extxyz", "t.traj"):
        again = Trajectory.read(export_trajectory(trajectory, tmp_path / name))
        assert again.pbc == (True, True, False), name
        assert again.positions_A == pytest.approx(positions, abs=1e-5), name
    # In plane it is unwrapped as ever.
    wrapped = positions.copy()
    wrapped[:, :, :2] += np.linspace(0, 1, 4)[:, None, None] * atoms.cell.array[0, :2]
    images = [Atoms(atoms.numbers, p, cell=atoms.cell, pbc=atoms.pbc) for p in wrapped]
    for i, image in enumerate(images):
        image.wrap()
        image.info["time_fs"] = 10.0 * i
    from ase.io import write

    write(tmp_path / "wrapped.extxyz", images)
    moved = np.diff(Trajectory.read(tmp_path / "wrapped.extxyz").positions_A, axis=0)
    assert moved[:, 1:] == pytest.approx(np.diff(wrapped, axis=0)[:, 1:], abs=1e-5)


def test_distances_have_no_images_along_what_is_open() -> None:
    """Two layers 3 A apart in a cell of 8 A: across it they would be 5 A apart."""
    positions = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 4.03]])
    arguments = (positions[None], np.diag([20.0, 20.0, 8.0]), np.array([29, 29]), np.zeros(1))
    counted = {}
    for pbc in ((True, True, False), (True, True, True)):
        found = rdf(Trajectory(*arguments, pbc=pbc), r_max_A=7.0, bin_A=0.1)
        counted[pbc] = found.r_A[found.total.g > 0]
        assert found.density_A3 == pytest.approx(2 / 3200)
    assert counted[(True, True, False)] == pytest.approx([3.05])
    assert len(counted[(True, True, True)]) == 2
    # Half the smallest height is that of the directions that are periodic.
    assert rdf(Trajectory(*arguments, pbc=(True, True, False))).half_height_A == 10.0


def test_nearest_images_are_not_sought_along_what_is_open() -> None:
    """As ASE finds them, in a skewed cell, for atoms within it and far above it."""
    rng = np.random.default_rng(2)
    cell = np.diag([9.0, 10.0, 12.0]) + rng.uniform(-1, 1, (3, 3))
    for pbc in ([True, True, False], [False, True, True], [True, True, True]):
        atoms = Atoms("Cu6", scaled_positions=rng.random((6, 3)), cell=cell, pbc=pbc)
        atoms.positions[0] += 3.0 * cell[2]
        extent = np.ptp(atoms.positions @ np.linalg.inv(cell), axis=0)
        opened = opened_cells(cell, extent, atoms.pbc)
        found = np.linalg.norm(minimum_image(atoms.positions, opened), axis=0)
        exact = atoms.get_all_distances(mic=True)
        near = exact < 4.0  # half of the smallest height; beyond it rounding may miss one
        assert near.sum() > 6
        assert found[near] == pytest.approx(exact[near])
        assert (found >= exact - 1e-9).all()


@pytest.mark.parametrize("dense", [True, False])
def test_an_atom_that_leaves_a_slab_touches_nothing(
    monkeypatch: pytest.MonkeyPatch, dense: bool
) -> None:
    """At the height of the cell it would be on top of its own layer, were that periodic."""
    monkeypatch.setattr(contact_watch, "MOST_DENSE", 1000 if dense else 0)
    atoms = slab(0)
    atoms.positions[0, 2] += atoms.cell[2, 2]
    atoms.positions[0, :2] = atoms.positions[1, :2]
    assert contact_watch.ContactWatch(atoms, 0.4).touching() is None
    atoms.pbc = True
    found = contact_watch.ContactWatch(atoms, 0.4).touching()
    assert {found.first, found.second} == {0, 1}


def test_what_needs_a_volume_is_refused_for_a_slab() -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, 0.1, (200, 4, 3)), axis=0)
    trajectory = Trajectory(
        walk, 10 * np.eye(3), np.array([3, 3, 17, 17]), np.arange(200.0), pbc=(True, True, False)
    )
    with pytest.raises(InputError, match="a conductivity, which is by volume, takes all three"):
        conductivity(trajectory, {"Li": 1, "Cl": -1}, ["Li"], temperature_K=600)
    with pytest.raises(InputError, match=r"S\(q\) by its reciprocal vectors takes all three"):
        direct_structure_factor(trajectory)


def test_drift_is_not_taken_out_where_atoms_are_held(tmp_path: Path) -> None:
    run = run_stages(tmp_path / "run", slab(), production(duration_ps=0.4))
    trajectory = run.trajectory("p")
    for drift in ("cell", "framework", "none"):
        assert drift_A(trajectory, drift, "Cu") is None
    free = run_stages(tmp_path / "free", slab(0), production(duration_ps=0.4)).trajectory("p")
    assert not never_moving(free).any()
    assert drift_A(free, "cell", None) is not None
    summary = summarize(measured_stages(run))
    found = {
        finding.code: finding for finding in summary.findings if finding.message.startswith("p: ")
    }
    assert "no drift is taken out" in found["fixed_atoms"].message
    assert "there is no pressure" in found["open_boundary"].message
    assert found["fixed_atoms"].severity == "doubt"
    assert summary.stages["p"].species["Cu"].settings.drift == "none"


def test_friction_is_said_of_its_own_stage_alone(tmp_path: Path) -> None:
    atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    run = run_stages(
        tmp_path / "run",
        atoms,
        Equilibrate(name="e", temperature_K=600, duration_ps=0.1, thermostat="langevin"),
        production("brownian", thermostat="langevin", duration_ps=0.4),
        production("newtonian", duration_ps=0.4),
    )
    friction = ["langevin_friction"]
    assert flags_of(run) == {"e": friction, "brownian": friction, "newtonian": []}
    assert run.results["brownian"]["friction_per_ps"] == FRICTION_PER_PS
    summary = summarize(measured_stages(run))
    said = [finding for finding in summary.findings if finding.code == "langevin_friction"]
    assert said[0].message.startswith("brownian: D is biased: the friction of the Langevin")
    assert {finding.severity for finding in said} == {"doubt"}
    assert summary.stages["newtonian"].flags == ()


def test_a_protocol_without_langevin_is_the_protocol_of_before() -> None:
    """The field is not written where there is no friction, and always where there is."""
    assert "friction_per_ps" not in production().to_dict()
    assert "friction_per_ps" not in EquilibrateVolume(name="v", temperature_K=600).to_dict()
    for stage in (
        production(thermostat="langevin"),
        EquilibrateVolume(name="v", temperature_K=600, thermostat="langevin"),
    ):
        assert stage.to_dict()["friction_per_ps"] == FRICTION_PER_PS
        kept = {key: value for key, value in stage.to_dict().items() if key != "class"}
        assert type(stage).from_dict(kept) == stage
    assert production(thermostat="langevin", friction_per_ps=4).friction_per_ps == 4.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"friction_per_ps": 2.0}, "friction_per_ps is 2.0 with thermostat nose_hoover; only lang"),
        ({"thermostat": "langevin", "friction_per_ps": 0.0}, "friction_per_ps"),
        ({"thermostat": "langevin", "friction_per_ps": float("inf")}, "friction_per_ps"),
        ({"thermostat": "langevin", "ensemble": "npt"}, "langevin needs ensemble nvt; given npt"),
        ({"thermostat": "langevin", "ensemble": "nve"}, "langevin needs ensemble nvt; given nve"),
        ({"thermostat": "brownian"}, "expected nose_hoover or bussi or langevin"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        production(**settings)
    assert "\n" not in str(caught.value)
