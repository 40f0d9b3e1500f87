"""What a file and its user say of times is held against each other, and against the motion."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.data import atomic_masses
from ase.io import read, write
from ase.io.trajectory import Trajectory as AseTrajectory
from ase.md.verlet import VelocityVerlet
from hypothesis import given, settings
from hypothesis import strategies as st
from vasp_files import run, xdatcar

from mlmd import Trajectory, diffusivity
from mlmd.analysis import summarize
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError

SIDE_A = 20.0


def flight(
    kelvin: float = 1000.0, number: int = 3, interval_fs: float = 100.0, frames=60, atoms=30, seed=0
) -> np.ndarray:
    """A gas without collisions: no atoms of that temperature move farther between frames."""
    rng = np.random.default_rng(seed)
    speed = np.sqrt(units.kB * kelvin / atomic_masses[number]) * units.fs
    velocities = rng.normal(0.0, speed, (atoms, 3))
    start = rng.uniform(0.0, SIDE_A, (atoms, 3))
    return start + velocities * (interval_fs * np.arange(frames))[:, None, None]


def dump(path, positions: np.ndarray, steps, symbol: str = "Li"):
    """Write unwrapped positions as LAMMPS does, which counts steps and says no times."""
    box = f"ITEM: BOX BOUNDS pp pp pp\n0 {SIDE_A}\n0 {SIDE_A}\n0 {SIDE_A}\n"
    text = ""
    for step, frame in zip(steps, positions, strict=True):
        rows = "".join(
            f"{i + 1} {symbol} {x:.9g} {y:.9g} {z:.9g}\n" for i, (x, y, z) in enumerate(frame)
        )
        text += f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(frame)}\n{box}"
        text += f"ITEM: ATOMS id element xu yu zu\n{rows}"
    path.write_text(text)
    return path


def found(trajectory: Trajectory, code: str):
    return next((one for one in trajectory.findings if one.code == code), None)


# What is given


def test_an_interval_implies_an_md_step_where_steps_are_counted(tmp_path):
    path = dump(tmp_path / "run.lammpstrj", flight(), 5000 + 50 * np.arange(60))
    back = Trajectory.read(path, frame_interval_fs=100.0)
    note = found(back, "md_step_implied")
    assert note.severity == "note"
    assert note.numbers == {
        "md_step_fs": 2.0,
        "frame_interval_fs": 100.0,
        "steps_between_frames": 50.0,
    }
    assert back.time_fs == pytest.approx(100.0 * np.arange(60))
    by_step = Trajectory.read(path, md_step_fs=2.0)
    assert by_step.time_fs == pytest.approx(10_000.0 + 100.0 * np.arange(60))
    assert found(by_step, "frame_interval_implied").numbers["frame_interval_fs"] == 100.0


@pytest.mark.parametrize(
    ("interval_fs", "likely"), [(2.0, "was the MD step given"), (5000.0, "is that the time")]
)
def test_an_md_step_that_is_none_is_refused_unless_it_is_given(tmp_path, interval_fs, likely):
    path = dump(tmp_path / "run.lammpstrj", flight(), 50 * np.arange(60))
    with pytest.raises(InputError, match=rf"MD step of {interval_fs / 50:g} fs: {likely}"):
        Trajectory.read(path, frame_interval_fs=interval_fs)
    assert Trajectory.read(path, md_step_fs=interval_fs / 50).time_fs[1] == interval_fs


def test_times_that_contradict_each_other_are_refused(tmp_path):
    counted = dump(tmp_path / "run.lammpstrj", flight(), 50 * np.arange(60))
    with pytest.raises(InputError, match="its old name"):
        Trajectory.read(counted, timestep_fs=100.0, frame_interval_fs=50.0)
    same = Trajectory.read(counted, timestep_fs=100.0, frame_interval_fs=100.0)
    assert same.time_fs[-1] == pytest.approx(5900.0)
    with pytest.raises(InputError, match="md_step_fs and frame_interval_fs say 50 and 100 fs"):
        Trajectory.read(counted, frame_interval_fs=100.0, md_step_fs=1.0)
    assert Trajectory.read(counted, frame_interval_fs=100.0, md_step_fs=2.0).time_fs[1] == 100.0
    images = [Atoms("Li30", frame, cell=[SIDE_A] * 3, pbc=True) for frame in flight()]
    write(tmp_path / "a.extxyz", images)
    with pytest.raises(InputError, match=r"does not count its steps.*--frame-interval-fs"):
        Trajectory.read(tmp_path / "a.extxyz", md_step_fs=2.0)
    for i, image in enumerate(images):
        image.info["time_fs"] = 100.0 * i
    write(tmp_path / "b.extxyz", images)
    with pytest.raises(InputError, match=r"say 50 and 100 fs .* leave .*time_fs=\.\.\."):
        Trajectory.read(tmp_path / "b.extxyz", frame_interval_fs=50.0)
    # The way for whose file is wrong, as the message says.
    mended = replace(Trajectory.read(tmp_path / "b.extxyz"), time_fs=50.0 * np.arange(60))
    assert mended.uniform_interval_fs() == 50.0


# Uneven frames


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("last", [True, False])
def test_a_frame_at_an_end_that_is_off_the_interval_is_left_out(tmp_path, first, last):
    steps = np.array([0, *(5000 + 50 * np.arange(58)), 7863])[1 - first : 60 if last else -1]
    path = dump(tmp_path / "run.lammpstrj", flight(frames=len(steps)), steps)
    for how in ({"frame_interval_fs": 100.0}, {"md_step_fs": 2.0}):
        back = Trajectory.read(path, **how)
        assert len(back) == 58
        assert back.uniform_interval_fs() == pytest.approx(100.0)
        assert (found(back, "frame_off_interval") is not None) == (first or last)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (np.concatenate([10 * np.arange(30), 290 + 100 * np.arange(1, 31)]), r"290.* \(frame 29\)"),
        (np.delete(10 * np.arange(61), 40), r"390.* \(frame 39\)"),
        (2 ** np.arange(60), r"2.* \(frame 1\)"),
    ],
)
def test_uneven_frames_are_refused_with_where_and_what(tmp_path, steps, said):
    path = dump(tmp_path / "run.lammpstrj", flight(), steps)
    with pytest.raises(InputError, match=rf"steps .* apart up to {said}.*--md-step-fs.*--pieces"):
        Trajectory.read(path, frame_interval_fs=10.0)
    whole = Trajectory.read(path, md_step_fs=1.0)  # the times are known, and g(r) needs no more
    assert whole.time_fs == pytest.approx(steps.astype(float))
    with pytest.raises(InputError, match=r"not evenly spaced: times .* fs apart up to"):
        whole.uniform_interval_fs()


def test_a_gap_that_the_steps_say_is_told_by_them_wherever_it_is(tmp_path):
    rng = np.random.default_rng(0)
    places = np.cumsum(rng.normal(0, 0.1, (400, 12, 3)), axis=0)
    kept = np.r_[:40, 240:400]
    text = ""
    for i in kept:
        text += f"ITEM: TIMESTEP\n{10 * i}\nITEM: NUMBER OF ATOMS\n12\n"
        text += "ITEM: BOX BOUNDS pp pp pp\n" + "0 30\n" * 3 + "ITEM: ATOMS id type xu yu zu\n"
        text += "".join(f"{j} 1 {x} {y} {z}\n" for j, (x, y, z) in enumerate(places[i].tolist()))
    (tmp_path / "t.lammpstrj").write_text(text)
    back = Trajectory.read(tmp_path / "t.lammpstrj", md_step_fs=1.0, elements=["Li"])
    assert back.time_fs == pytest.approx(10.0 * kept)
    with pytest.raises(InputError, match=r"times 10 fs apart up to 390 fs \(frame 39\)"):
        diffusivity(back, "Li")


def test_pieces_are_measured_and_combined(tmp_path, capsys):
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(0.0, 0.4, (1200, 20, 3)), axis=0)
    gap = np.concatenate([100 * np.arange(500), 100 * np.arange(600, 1300)])
    path = dump(tmp_path / "run.lammpstrj", walk, gap)
    pieces = Trajectory.read_pieces(path, md_step_fs=1.0)
    assert [len(piece) for piece in pieces] == [500, 700]
    assert found(pieces[0], "cut_into_pieces").numbers["n_pieces"] == 2
    command = ["analyze", str(path), "--md-step-fs", "1", "--drift", "none", "--json"]
    assert run_command_line(command) == 2
    assert "--pieces" in capsys.readouterr().err
    assert run_command_line([*command, "--pieces"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content["stages"]) == ["piece 1", "piece 2"]
    # 0.4 A along each axis in 100 fs: D = 0.16 / 2 / 0.1 A2/ps.
    li = content["replicas"]["trajectory"]["species"]["Li"]
    assert li["D_cm2_s"] == pytest.approx(8e-5, rel=0.1)
    assert "cut_into_pieces" in [one["code"] for one in content["findings"]]


# What is read and judged


def test_what_lies_outside_of_start_and_stop_is_not_judged(tmp_path):
    positions = flight(300.0)
    positions[10:] += 5.0 * np.random.default_rng(2).normal(size=(30, 3))  # another run
    positions[50:] += 6.0 * np.random.default_rng(0).normal(size=(30, 3))  # and another
    steps = 50 * np.arange(60)
    steps[55:] += 1000  # a gap
    frames = np.random.default_rng(1).normal(0.0, 0.1, positions.shape)
    path = dump(tmp_path / "run.lammpstrj", positions + frames, steps)
    text = path.read_text().replace("xu yu zu", "x y z")
    path.write_text(text)
    for start, stop in ((0, 10), (12, 50), (51, 55), (12, -11)):
        part = Trajectory.read(path, frame_interval_fs=100.0, start=start, stop=stop)
        moved = (positions + frames)[start:stop]
        assert part.positions_A - part.positions_A[0] == pytest.approx(moved - moved[0], abs=1e-6)
        assert part.time_fs == pytest.approx(100.0 * np.arange(60)[start:stop])
    for start, stop in ((0, 12), (12, 52), (52, 60)):
        with pytest.raises(InputError):
            Trajectory.read(path, frame_interval_fs=100.0, start=start, stop=stop)


def test_frames_are_thinned_after_unwrapping(tmp_path):
    # Between every tenth frame atoms cross more than half the cell.
    (tmp_path / "XDATCAR").write_text(xdatcar(run(60)))
    path = tmp_path / "XDATCAR"
    every = Trajectory.read(path, frame_interval_fs=2.0)
    tenth = Trajectory.read(path, frame_interval_fs=2.0, every=10)
    assert (tenth.positions_A == every.positions_A[::10]).all()
    assert tenth.time_fs == pytest.approx(every.time_fs[::10])


# Speeds


@given(
    st.floats(100.0, 20_000.0),
    st.sampled_from([1, 3, 11, 29, 82]),
    st.floats(0.2, 5.0),
    st.integers(1, 60),
    st.integers(0, 3),
)
@settings(max_examples=30, deadline=None, database=None)
def test_no_honest_gas_is_too_fast(kelvin, number, interval_fs, atoms, seed):
    moved = flight(kelvin, number, interval_fs, 12, atoms, seed)
    gas = Trajectory(
        moved, SIDE_A * np.eye(3), np.full(atoms, number), interval_fs * np.arange(12.0)
    )
    from mlmd.trajectory.thermal_speed import refuse_impossible_speed

    assert refuse_impossible_speed(gas, kelvin) == []
    # Twice as hot as it is said to be: cooled down from a melt, say.
    assert refuse_impossible_speed(gas, kelvin / 2) == []


def melt(tmp_path, frames: int = 200):
    """An XDATCAR of Li at 1000 K, each of whose frames is 50 steps of 2 fs after the last."""
    rng = np.random.default_rng(3)
    positions = rng.uniform(0.0, 12.0, (1, 27, 3)) + np.cumsum(
        rng.normal(0.0, 0.5, (frames, 27, 3)), axis=0
    )
    header = "Li\n1.0\n12 0 0\n0 12 0\n0 0 12\nLi\n27\n"
    body = "".join(
        f"Direct configuration= {i + 1}\n"
        + "".join("{:.8f} {:.8f} {:.8f}\n".format(*atom) for atom in frame)
        for i, frame in enumerate(positions / 12.0 % 1.0)
    )
    (tmp_path / "XDATCAR").write_text(header + body)
    return tmp_path / "XDATCAR"


def test_the_md_step_given_for_the_interval_is_refused(tmp_path):
    path = melt(tmp_path)
    right = Trajectory.read(path, frame_interval_fs=100.0)
    assert found(right, "faster_than_thermal") is None
    assert summarize({"a": (right, 1000.0)}).stages["a"].species["Li"].D_raw_cm2_s == pytest.approx(
        1.25e-4, rel=0.2
    )
    wrong = Trajectory.read(path, frame_interval_fs=2.0)
    assert found(wrong, "faster_than_thermal").severity == "invalid"
    pattern = r"Li moves by 0\.8\d+ A \(rms\) in the 2 fs .*K.*frames several steps apart"
    with pytest.raises(InputError, match=pattern):
        diffusivity(wrong, "Li")
    # With the temperature known smaller errors are seen: here a twentieth of the interval.
    short = Trajectory.read(path, frame_interval_fs=5.0)
    with pytest.raises(InputError, match=r"and the temperature is 1000 K: .*--temperature-K"):
        summarize({"a": (short, 1000.0)})
    accepted = Trajectory.read(path, frame_interval_fs=2.0, long_steps="warn")
    assert found(accepted, "faster_than_thermal").severity == "doubt"
    assert diffusivity(accepted, "Li").D_raw_cm2_s > 1e-3


def test_half_the_interval_is_a_doubt_that_every_face_shows():
    gas = Trajectory(
        flight(4000.0, atoms=200),
        SIDE_A * np.eye(3),
        np.full(200, 3),
        100.0 * np.arange(60.0),
    )
    summary = summarize({"hot": (gas, 500.0)}, drift="none")
    (doubt,) = [one for one in summary.findings if one.message.startswith("hot: Li moves")]
    assert doubt.code == "faster_than_thermal"
    assert doubt.severity == "doubt"
    assert 3000 < doubt.numbers["temperature_K"] < 5000


# Restarts of ASE


def test_appended_restarts_of_ase_write_their_first_frame_again(tmp_path):
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    rng = np.random.default_rng(0)
    atoms.set_velocities(rng.normal(0.0, 0.01, (32, 3)))
    positions = []
    for part in range(4):
        atoms.calc = EMT()
        mode = "a" if part else "w"
        with AseTrajectory(tmp_path / "md.traj", mode, atoms) as file:
            dynamics = VelocityVerlet(atoms, 5.0 * units.fs)
            dynamics.attach(file.write, interval=2)
            dynamics.run(20)
        atoms = read(tmp_path / "md.traj")
        positions = [image.positions for image in read(tmp_path / "md.traj", ":")]
    back = Trajectory.read(tmp_path / "md.traj", timestep_fs=10.0)
    assert len(positions) == 44
    assert len(back) == 41
    assert back.time_fs == pytest.approx(10.0 * np.arange(41))
    kept = np.delete(np.array(positions), [11, 22, 33], axis=0)
    assert back.positions_A == pytest.approx(kept, abs=1e-9)
    assert found(back, "frames_repeat").numbers["n_frames"] == 3


@pytest.mark.parametrize(("end", "begin"), [(150, 100), (140, 60), (150, 0), (70, 64), (6, 2)])
@pytest.mark.parametrize("another_way", [False, True])
def test_a_run_appended_from_an_earlier_frame_replaces_what_came_after(
    tmp_path, end, begin, another_way
):
    rng = np.random.default_rng(0)
    places = np.cumsum(rng.normal(0, 0.1, (200, 12, 3)), axis=0) + rng.uniform(0, 9, (12, 3))
    later = places[begin:]
    if another_way:
        steps = rng.normal(0, 0.1, (199 - begin, 12, 3))
        later = places[begin] + np.concatenate([np.zeros((1, 12, 3)), np.cumsum(steps, axis=0)])
    frames = [Atoms("Li12", one, cell=[9] * 3, pbc=True) for one in [*places[:end], *later]]
    write(tmp_path / "md.traj", frames)
    back = Trajectory.read(tmp_path / "md.traj", timestep_fs=10.0)
    assert back.time_fs == pytest.approx(10.0 * np.arange(200))
    kept = np.concatenate([places[:begin], later])
    assert back.positions_A - back.positions_A[0] == pytest.approx(kept - kept[0], abs=1e-9)
    assert found(back, "branch_left_out" if another_way else "frames_repeat")


@pytest.mark.parametrize("shape", ["turns round", "goes round"])
def test_motion_that_comes_back_by_itself_is_no_restart(tmp_path, shape):
    angle = 2.0 * np.pi * np.arange(120) / 24.0
    moved = np.cos(angle) if shape == "turns round" else np.exp(np.cos(angle))
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 9, (12, 3)) + moved[:, None, None] * rng.normal(0, 0.3, (12, 3))
    write(tmp_path / "md.traj", [Atoms("Li12", one, cell=[9] * 3, pbc=True) for one in places])
    assert len(Trajectory.read(tmp_path / "md.traj", timestep_fs=10.0)) == 120


def test_a_model_on_a_lattice_may_stand_still(tmp_path):
    """Kinetic Monte Carlo: frames repeat where nothing jumped, and are none too many."""
    rng = np.random.default_rng(0)
    jumps = (rng.random((80, 12, 1)) < 0.02) * 2.0 * np.eye(3)[rng.integers(0, 3, (80, 12))]
    places = np.cumsum(jumps, axis=0)
    assert (jumps == 0).all(axis=(1, 2)).sum() > 30
    images = [Atoms("Li12", frame, cell=[SIDE_A] * 3, pbc=True) for frame in places]
    write(tmp_path / "kmc.traj", images)
    assert len(Trajectory.read(tmp_path / "kmc.traj", frame_interval_fs=1000.0)) == 80


@pytest.mark.parametrize("n_atoms", [1, 2, 3])
def test_few_atoms_may_jump_between_frames(tmp_path, n_atoms):
    rng = np.random.default_rng(n_atoms)
    places = rng.normal(0.0, 0.1, (200, n_atoms, 3))
    places[60:, :, 2] += 4.0
    places[130:, 0, 0] -= 4.0
    images = [Atoms(f"Li{n_atoms}", frame + 6.0, cell=[SIDE_A] * 3, pbc=True) for frame in places]
    write(tmp_path / "hop.traj", images)
    back = Trajectory.read(tmp_path / "hop.traj", frame_interval_fs=100.0)
    assert back.positions_A - 6.0 == pytest.approx(places, abs=1e-6)


# Command line


def test_both_names_of_the_interval_may_be_given_if_they_agree(tmp_path, capsys):
    path = str(melt(tmp_path))
    names = ["--frame-interval-fs", "100", "--timestep-fs"]
    assert run_command_line(["analyze", path, *names, "100"]) == 0
    assert run_command_line(["analyze", path, *names, "50"]) == 2
    assert "give it once" in capsys.readouterr().err
    assert run_command_line(["analyze", path, "--timestep-fs", "2", "--temperature-K", "1000"]) == 2
    assert "--frame-interval-fs" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".extxyz", ".traj", ".h5md"])
def test_any_trajectory_is_exported(tmp_path, suffix, capsys):
    path, out = melt(tmp_path), tmp_path / f"out{suffix}"
    command = ["export", str(path), "-o", str(out), "--start", "20", "--stop", "120", "--every=5"]
    assert run_command_line(command) == 2
    assert "--frame-interval-fs" in capsys.readouterr().err
    assert run_command_line([*command, "--frame-interval-fs", "100", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["n_frames"] == 20
    assert [one["code"] for one in content["findings"]] == ["md_step_implied"]
    one = Trajectory.read(path, frame_interval_fs=100.0, start=20, stop=120, every=5)
    other = Trajectory.read(out)
    assert other.positions_A == pytest.approx(one.positions_A, abs=1e-5)
    assert other.time_fs == pytest.approx(one.time_fs)
    for name in ("velocities_A_fs", "energies_eV", "forces_eV_A", "temperatures_K"):
        assert getattr(other, name) is None


def test_a_run_is_exported_by_the_name_of_a_stage(tmp_path, capsys):
    assert run_command_line(["export", str(tmp_path), "-o", str(tmp_path / "a.xyz")]) == 2
    assert re.search("run directory|not a run|run.json", capsys.readouterr().err)
