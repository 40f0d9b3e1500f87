"""The cell's own motion is no diffusion; nor is what a few atoms' centre takes from them."""

import numpy as np
import pytest
from synthetic_motion import CELL_MOTIONS, STEP_A, UNDER_PRESSURE_D_CM2_S, under_pressure

from mlmd import Trajectory, diffusivity, mean_squared_displacement
from mlmd.analysis import charge_diffusivity, diffusion_tensor, summarize
from mlmd.analysis.diffusion.cell_motion import without_cell_motion
from mlmd.analysis.diffusion.drift import drift_A, share_of_centre
from mlmd.errors import InputError
from mlmd.trajectory.joining import growing

D_CM2_S = UNDER_PRESSURE_D_CM2_S
INTERVAL_FS = 100.0


@pytest.mark.parametrize("kind", CELL_MOTIONS)
def test_a_moving_cell_adds_nothing_to_D(kind):
    """Over 12 runs D is the true one, and scatters as in a cell at rest."""
    found = [diffusivity(under_pressure(kind, seed), "Li", drift="framework") for seed in range(12)]
    values = np.array([one.D_raw_cm2_s for one in found]) / D_CM2_S
    errors = np.array([one.D_stderr_cm2_s for one in found]) / D_CM2_S
    assert abs(values.mean() - 1.0) < 3.0 * errors.mean() / np.sqrt(12)
    assert abs(values.mean() - 1.0) < 0.04
    inside = [one.D_interval68_cm2_s[0] <= D_CM2_S <= one.D_interval68_cm2_s[1] for one in found]
    assert sum(inside) >= 5


@pytest.mark.parametrize("kind", CELL_MOTIONS)
def test_paths_are_those_of_the_same_steps_in_a_cell_at_rest(kind):
    moving = without_cell_motion(under_pressure(kind, 1))
    still = without_cell_motion(under_pressure("still", 1))
    # Steps differ by the cell's strain within one frame, the framework's by its drift with that.
    steps = np.diff(moving.positions_A, axis=0), np.diff(still.positions_A, axis=0)
    if kind != "is pressed together":
        assert np.abs(steps[0] - steps[1]).max() < 0.05
    framework = moving.positions_A[:, 20:]
    away = framework - framework.mean(axis=0)
    assert away.std() == pytest.approx(0.15, rel=0.03)
    assert moving.cell_A.shape == (3, 3)
    msd = mean_squared_displacement(under_pressure(kind, 1), "O", drift="none").msd_A2
    assert msd[1000] == pytest.approx(6.0 * 0.15**2, rel=0.15)


def test_atoms_that_go_with_the_cell_rest_and_charges_and_tensors_agree():
    trajectory = under_pressure("is pressed together", 3)
    still = without_cell_motion(trajectory)
    assert without_cell_motion(still) is still
    fixed = Trajectory(
        np.broadcast_to(np.random.default_rng(0).uniform(0, 1, (9, 3)), (1500, 9, 3))
        @ trajectory.cell_A,
        trajectory.cell_A,
        np.full(9, 3),
        trajectory.time_fs,
    )
    assert np.ptp(without_cell_motion(fixed).positions_A, axis=0).max() < 1e-9
    tensors = [diffusion_tensor(one, "Li", drift="framework") for one in (trajectory, still)]
    assert (tensors[0].tensor_cm2_s == tensors[1].tensor_cm2_s).all()
    charges = [charge_diffusivity(one, {"Li": 1, "O": -1}, "Li") for one in (trajectory, still)]
    assert charges[0].D_raw_cm2_s == pytest.approx(charges[1].D_raw_cm2_s, rel=1e-9)


def test_vectors_that_are_not_periodic_scale_nothing():
    """A box that LAMMPS shrinks about a slab follows the atoms, not they the box."""
    rng = np.random.default_rng(2)
    path = 5.0 + np.cumsum(rng.normal(0.0, 0.1, (200, 8, 3)), axis=0)
    cells = np.broadcast_to(10.0 * np.eye(3), (200, 3, 3)).copy()
    cells[:, 2, 2] = path[..., 2].max(axis=1) - path[..., 2].min(axis=1)
    slab = Trajectory(path, cells, np.full(8, 3), np.arange(200.0), pbc=(True, True, False))
    found = without_cell_motion(slab).positions_A
    assert found - found[0] == pytest.approx(path - path[0], abs=1e-9)


def test_large_ones_lie_on_disk_and_are_the_same(monkeypatch):
    trajectory = under_pressure("fluctuates", 5)
    in_memory = without_cell_motion(trajectory)
    monkeypatch.setattr(growing, "SPILL_BYTES", 10_000)
    on_disk = without_cell_motion(trajectory)
    assert isinstance(on_disk.positions_A, np.memmap)
    assert (on_disk.positions_A == in_memory.positions_A).all()


# The centre of a few atoms


def walkers(atoms: int, frames: int = 3000, hold_centre: bool = False) -> Trajectory:
    rng = np.random.default_rng(4)
    steps = rng.normal(0.0, STEP_A, (frames, atoms, 3))
    if hold_centre:
        steps -= steps.mean(axis=1, keepdims=True)
    cell = 50.0 * np.eye(3)
    return Trajectory(
        np.cumsum(steps, axis=0), cell, np.full(atoms, 3), INTERVAL_FS * np.arange(frames)
    )


def test_the_centre_of_one_atom_is_that_atom():
    one = walkers(1)
    for measure in (diffusivity, mean_squared_displacement):
        with pytest.raises(InputError, match="--drift none"):
            measure(one, "Li")
    D = diffusivity(one, "Li", drift="none").D_raw_cm2_s
    assert pytest.approx(D_CM2_S, rel=0.4) == D
    assert share_of_centre(one, "none") == 0.0


@pytest.mark.parametrize("atoms", [2, 4, 8, 20])
def test_what_the_centre_of_a_few_atoms_takes_is_said(atoms):
    trajectory = walkers(atoms)
    assert share_of_centre(trajectory, "cell") == pytest.approx(1.0 / atoms)
    raw, held = (
        mean_squared_displacement(trajectory, "Li", drift=drift).msd_A2[1]
        for drift in ("none", "cell")
    )
    assert held / raw == pytest.approx(1.0 - 1.0 / atoms, abs=0.03)
    for drift in ("cell", "none"):
        summary = summarize({"stage": (trajectory, None)}, drift=drift)
        found = [one.code for one in summary.findings]
        assert ("centre_of_few_atoms" in found) == (drift == "cell" and atoms < 10)


def test_a_centre_at_rest_takes_nothing():
    trajectory = walkers(2, hold_centre=True)
    assert np.abs(drift_A(trajectory, "cell", None)).max() < 1e-9
    assert share_of_centre(trajectory, "cell") == 0.0
