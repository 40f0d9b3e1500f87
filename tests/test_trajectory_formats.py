"""Other programs' trajectories, unwrapping, and export."""

import logging

import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.md.verlet import VelocityVerlet
from systems import argon

from mlmd import Trajectory
from mlmd.errors import InputError
from mlmd.trajectory.export import export_trajectory
from mlmd.trajectory.joining.unwrapping import Unwrapper

ORTHOGONAL = np.diag([10.0, 11.0, 12.5])
TRICLINIC = np.array([[10.0, 0.0, 0.0], [4.0, 9.5, 0.0], [-3.0, 5.0, 11.0]])


def unwrap(positions_A: np.ndarray, cells_A: np.ndarray, source: str) -> np.ndarray:
    unwrapper = Unwrapper(source, "warn")
    beside = unwrapper.add(positions_A, cells_A, wrapped=None)
    arrays = {"positions_A": positions_A.copy(), "cell_A": cells_A, **beside}
    unwrapper.finish(arrays)
    return arrays["positions_A"]


def assert_one_line(caught) -> None:
    assert "\n" not in str(caught.value)


# ASE's own molecular dynamics


def test_traj_of_ase_dynamics_knows_its_times(tmp_path):
    atoms = argon(3)
    path = tmp_path / "md.traj"
    expected = []
    dynamics = VelocityVerlet(atoms, 4 * units.fs, trajectory=str(path), loginterval=5)
    dynamics.attach(
        lambda: expected.append(
            (atoms.get_positions(), atoms.get_velocities(), atoms.get_potential_energy())
        ),
        interval=5,
    )
    dynamics.run(50)
    back = Trajectory.read(path)
    assert back.time_fs == pytest.approx(20.0 * np.arange(11))
    assert back.uniform_interval_fs() == pytest.approx(20.0)
    for i, (positions, velocities, energy) in enumerate(expected):
        assert (back.positions_A[i] == positions).all()
        assert back.velocities_A_fs[i] == pytest.approx(velocities * units.fs)
        assert back.energies_eV[i] == energy
    assert back.forces_eV_A.shape == (11, 27, 3)
    assert Trajectory.read(path, start=2, stop=-1, every=3).time_fs == pytest.approx(
        back.time_fs[2:-1:3]
    )


@pytest.mark.parametrize("name", ["t.traj", "t.extxyz"])
def test_times_that_nobody_recorded_have_to_be_given(tmp_path, name):
    path = tmp_path / name
    write(path, [argon(3)] * 4)
    with pytest.raises(InputError, match="--frame-interval-fs") as caught:
        Trajectory.read(path)
    assert_one_line(caught)
    back = Trajectory.read(path, timestep_fs=25.0)
    assert back.time_fs == pytest.approx([0, 25, 50, 75])
    # The time step is that of the file, whichever frames are taken.
    every_other = Trajectory.read(path, timestep_fs=25.0, start=1, every=2)
    assert every_other.time_fs == pytest.approx([25, 75])


@pytest.mark.parametrize("timestep_fs", [0.0, -2.0, float("nan"), float("inf")])
def test_impossible_time_steps_are_refused(tmp_path, timestep_fs):
    write(tmp_path / "t.extxyz", [argon(3)] * 2)
    with pytest.raises(InputError, match="timestep_fs") as caught:
        Trajectory.read(tmp_path / "t.extxyz", timestep_fs=timestep_fs)
    assert_one_line(caught)


def test_files_that_are_no_trajectory_are_refused(tmp_path):
    (tmp_path / "t.extxyz").write_text("not a structure\nat all\n")
    (tmp_path / "empty.extxyz").write_text("")
    (tmp_path / "t.traj").write_bytes(b"- of Ulm")
    for path in tmp_path.iterdir():
        with pytest.raises(InputError, match=path.name) as caught:
            Trajectory.read(path, timestep_fs=1.0)
        assert_one_line(caught)
    changing = tmp_path / "changing.extxyz"
    write(changing, [argon(3), argon(3)[:20]])
    with pytest.raises(InputError, match="not the same in every frame"):
        Trajectory.read(changing, timestep_fs=1.0)
    with pytest.raises(InputError, match="every is 0"):
        Trajectory.read(changing, timestep_fs=1.0, every=0)


# Unwrapping


def walk(cell, n_frames: int = 300, step: float = 0.05, seed: int = 1) -> np.ndarray:
    """Random walk of 12 atoms that leaves the cell many times, in angstrom."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, step, (n_frames, 12, 3))
    steps[0] = rng.uniform(0, 1, (12, 3))
    return np.cumsum(steps, axis=0) @ cell


def wrapped(positions: np.ndarray, cell: np.ndarray, origin: float = 0.0) -> np.ndarray:
    fractional = positions @ np.linalg.inv(cell)
    return (fractional - np.floor(fractional - origin)) @ cell


@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthogonal", "triclinic"])
@pytest.mark.parametrize("origin", [0.0, -0.5, 0.25])
def test_unwrapping_gives_the_walk_back(cell, origin):
    positions = walk(cell)
    folded = wrapped(positions, cell, origin)
    assert np.abs(np.diff(folded, axis=0)).max() > 5
    back = unwrap(folded, np.broadcast_to(cell, (len(folded), 3, 3)), "walk")
    # All but the choice of the cell that the first frame is in.
    assert back - back[0] == pytest.approx(positions - positions[0], abs=1e-9)
    assert back[0] == pytest.approx(folded[0])


def test_unwrapping_in_a_changing_cell_is_by_scaled_coordinates():
    cells = TRICLINIC * np.linspace(1.0, 1.3, 300)[:, None, None]
    scaled = walk(np.eye(3))
    positions = np.einsum("fai,fij->faj", scaled, cells)
    folded = np.einsum("fai,fij->faj", scaled - np.floor(scaled), cells)
    back = unwrap(folded, cells, "walk")
    shift = np.einsum("ai,fij->faj", np.floor(scaled[0]), cells)
    assert back == pytest.approx(positions - shift, abs=1e-9)


def test_unwrapped_positions_stay_as_they_are():
    positions = walk(ORTHOGONAL)
    cells = np.broadcast_to(ORTHOGONAL, (300, 3, 3))
    assert (unwrap(positions, cells, "walk") == positions).all()


def test_ambiguous_steps_are_told(caplog):
    cells = np.broadcast_to(ORTHOGONAL, (300, 3, 3))
    with caplog.at_level(logging.WARNING):
        unwrap(wrapped(walk(ORTHOGONAL, step=0.02), ORTHOGONAL), cells, "fine")
        assert not caplog.records
        unwrap(wrapped(walk(ORTHOGONAL, step=0.2), ORTHOGONAL), cells, "coarse")
        assert "coarse: an atom moves by" in caplog.text
        # Atoms wrapped molecule by molecule spread over more than a cell, and yet jump.
        free = walk(ORTHOGONAL, step=0.02)
        molecules = wrapped(free, ORTHOGONAL)
        molecules[:, :2] += 3.0
        back = unwrap(molecules, cells, "molecules")
        assert back - back[0] == pytest.approx(free - free[0], abs=1e-9)
        assert "molecules: atoms spread over" in caplog.text


@pytest.mark.parametrize("name", ["t.traj", "t.extxyz"])
@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthogonal", "triclinic"])
def test_wrapped_files_are_unwrapped_when_read(tmp_path, name, cell):
    positions = walk(cell)
    images = [Atoms("Li12", positions=frame, cell=cell, pbc=True) for frame in positions]
    for image in images:
        image.wrap()
    write(tmp_path / name, images)
    back = Trajectory.read(tmp_path / name, timestep_fs=1.0)
    moved = back.positions_A - back.positions_A[0]
    assert moved == pytest.approx(positions - positions[0], abs=1e-5)
    # A part that begins later moves as the whole does.
    part = Trajectory.read(tmp_path / name, timestep_fs=1.0, start=100)
    assert part.positions_A - part.positions_A[0] == pytest.approx(
        positions[100:] - positions[100], abs=1e-5
    )


def test_frames_that_are_left_out_do_not_spoil_the_unwrapping(tmp_path):
    # Between every 40th frame atoms move by more than half a cell.
    positions = walk(ORTHOGONAL, n_frames=400)
    images = [Atoms("Li12", positions=frame, cell=ORTHOGONAL, pbc=True) for frame in positions]
    for image in images:
        image.wrap()
    write(tmp_path / "t.traj", images)
    sparse = Trajectory.read(tmp_path / "t.traj", timestep_fs=1.0, every=40).positions_A
    expected = positions[::40]
    assert np.abs(np.diff(expected, axis=0)).max() > 6
    assert sparse - sparse[0] == pytest.approx(expected - expected[0], abs=1e-9)


# Export


@pytest.fixture
def trajectory():
    """Everything that can be known, far from the origin, in a changing triclinic cell."""
    rng = np.random.default_rng(5)
    n = 20
    return Trajectory(
        positions_A=walk(TRICLINIC, n_frames=n, step=0.3),
        cell_A=TRICLINIC * np.linspace(1, 1.01, n)[:, None, None],
        numbers=np.array([3, 17] * 6),
        masses_u=np.array([6.0, 35.0] * 6),
        time_fs=100_000.25 + 12.5 * np.arange(n),
        velocities_A_fs=rng.normal(0, 0.01, (n, 12, 3)),
        energies_eV=rng.normal(-40, 1, n),
    )


@pytest.mark.parametrize(
    ("suffix", "rel", "abs_A"),
    [(".extxyz", 1e-6, 1e-7), (".xyz", 1e-6, 1e-7), (".traj", 1e-12, 1e-12), (".h5md", 1e-6, 1e-5)],
)
def test_export_and_back(tmp_path, trajectory, suffix, rel, abs_A):
    path = export_trajectory(trajectory, tmp_path / f"t{suffix}")
    back = Trajectory.read(path)
    assert back.positions_A == pytest.approx(trajectory.positions_A, rel=rel, abs=abs_A)
    assert back.cells_A() == pytest.approx(trajectory.cells_A(), rel=1e-6)
    assert (back.numbers == trajectory.numbers).all()
    assert back.masses_u == pytest.approx(trajectory.masses_u)
    assert back.time_fs == pytest.approx(trajectory.time_fs, rel=1e-12)
    assert back.velocities_A_fs == pytest.approx(trajectory.velocities_A_fs, rel=1e-5, abs=1e-8)
    assert back.energies_eV == pytest.approx(trajectory.energies_eV, rel=1e-7)
    # Nothing is left over, and the file is not overwritten.
    assert list(tmp_path.iterdir()) == [path]
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists") as caught:
        export_trajectory(trajectory, path)
    assert_one_line(caught)
    assert path.read_bytes() == before


def test_exported_files_are_read_by_ase(tmp_path, trajectory):
    for suffix in (".extxyz", ".traj"):
        images = read(export_trajectory(trajectory, tmp_path / f"t{suffix}"), ":")
        assert len(images) == len(trajectory)
        last = images[-1]
        assert last.get_potential_energy() == pytest.approx(trajectory.energies_eV[-1])
        assert last.get_velocities() * units.fs == pytest.approx(
            trajectory.velocities_A_fs[-1], rel=1e-5, abs=1e-8
        )
        assert last.pbc.all()


def test_export_of_positions_alone_and_of_nothing(tmp_path):
    bare = Trajectory(
        positions_A=walk(ORTHOGONAL, n_frames=5),
        cell_A=ORTHOGONAL,
        numbers=np.full(12, 3),
        time_fs=np.arange(5.0),
    )
    for suffix in (".extxyz", ".traj", ".h5md"):
        back = Trajectory.read(export_trajectory(bare, tmp_path / f"bare{suffix}"))
        assert back.positions_A == pytest.approx(bare.positions_A, abs=1e-5)
        assert back.cell_A.shape == (3, 3)
        assert back.velocities_A_fs is None
        assert back.energies_eV is None


def test_export_refuses_what_it_cannot_write(tmp_path, trajectory):
    with pytest.raises(InputError, match=r"\.dcd.*extxyz"):
        export_trajectory(trajectory, tmp_path / "t.dcd")
    with pytest.raises(InputError, match="does not exist"):
        export_trajectory(trajectory, tmp_path / "nowhere" / "t.traj")
    assert list(tmp_path.iterdir()) == []


def test_results_of_ase_files_are_taken_over(tmp_path):
    rng = np.random.default_rng(3)
    images = []
    for i in range(3):
        atoms = Atoms("Li12", positions=rng.uniform(0, 9, (12, 3)), cell=ORTHOGONAL, pbc=True)
        atoms.calc = SinglePointCalculator(
            atoms, energy=-float(i), forces=rng.normal(size=(12, 3)), stress=rng.normal(size=6)
        )
        images.append(atoms)
    for name in ("t.traj", "t.extxyz"):
        write(tmp_path / name, images)
        back = Trajectory.read(tmp_path / name, timestep_fs=10.0, long_steps="warn")
        assert back.energies_eV == pytest.approx([0.0, -1.0, -2.0])
        assert back.forces_eV_A == pytest.approx(
            np.array([image.get_forces() for image in images]), abs=1e-7
        )
        assert back.stresses_eV_A3 == pytest.approx(
            np.array([image.get_stress() for image in images]), abs=1e-7
        )


def test_a_result_that_one_frame_lacks_is_not_made_up(tmp_path):
    with AseTrajectory(tmp_path / "t.traj", "w") as file:
        atoms = argon(3)
        atoms.get_forces()
        file.write(atoms)
        atoms.calc = None
        file.write(atoms)
    assert Trajectory.read(tmp_path / "t.traj", timestep_fs=1.0).energies_eV is None
