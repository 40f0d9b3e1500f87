"""Blocks of frames to one trajectory: slices, restarts, times, unwrapping, room on disk."""

import logging
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from vasp_files import TRICLINIC, run, xdatcar

from mlmd import Trajectory
from mlmd.errors import InputError
from mlmd.trajectory.frame_block import FrameBlock
from mlmd.trajectory.joining import growing
from mlmd.trajectory.joining.clock import GivenTimes
from mlmd.trajectory.joining.join import join as arrays_of

N = 23


def pieces_of(*files, given=None, frames=slice(None), pieces=True, **settings) -> list[Trajectory]:
    """Join files, each of which is the blocks that a reader gives."""

    def opened():
        return ((f"file{i}", iter(blocks)) for i, blocks in enumerate(files))

    made = arrays_of(opened, "files", given or GivenTimes(), frames, pieces=pieces, **settings)
    return [Trajectory(**one) for one in made]


def block(n: int = N, wrapped: bool | None = True, seed: int = 0, **arrays) -> FrameBlock:
    """One run of n frames in one block, its atoms in the cell where `wrapped` says so."""
    made = run(n, seed=seed)
    scaled = made.wrapped if wrapped else made.scaled
    return FrameBlock(
        numbers=np.array([3] * 4 + [17] * 4),
        positions_A=scaled @ made.cells,
        cell_A=made.cells,
        wrapped=wrapped,
        **arrays,
    )


def parts(whole: FrameBlock, *borders: int) -> list[FrameBlock]:
    edges = [0, *borders, len(whole.cell_A)]
    return [whole.part(slice(begin, end)) for begin, end in pairwise(edges)]


def joined(*files, interval_fs=2.0, md_step_fs=None, **settings) -> Trajectory:
    given = GivenTimes.of(interval_fs, md_step_fs)
    (one,) = pieces_of(*files, given=given, pieces=False, **settings)
    return one


def walk(n: int = N, seed: int = 0) -> np.ndarray:
    return run(n, seed=seed).positions


# Slices


@pytest.mark.parametrize("borders", [(), (1, 2, 3), (7, 19), tuple(range(1, N))])
@pytest.mark.parametrize("every", [1, 2, 5, 40])
def test_frames_are_those_of_a_slice(borders, every):
    energies = np.arange(float(N))
    pieces = parts(block(energies_eV=energies), *borders)
    for start in (None, 0, 4, 22, 50, -1, -9, -60):
        for stop in (None, 0, 9, 23, 99, -1, -8, -40):
            which = slice(start, stop, every)
            taken = joined(pieces, frames=which)
            assert taken.energies_eV.tolist() == energies[which].tolist()
            assert taken.time_fs.tolist() == (2.0 * energies[which]).tolist()
            # Unwrapping begins with the first that is taken: in the cell.
            moved = walk()[which] - walk()[which][:1]
            assert taken.positions_A - taken.positions_A[:1] == pytest.approx(moved, abs=1e-12)
            assert taken.positions_A.shape[1:] == (8, 3)


def test_what_comes_after_the_stop_is_not_read():
    def blocks():
        yield from parts(block(), 5)[:1]
        raise AssertionError("read on")

    assert len(joined(blocks(), frames=slice(1, 5))) == 4


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"every": 0}, "every is 0"),
        ({"every": -1}, "every is -1"),
        ({"start": 1.5}, "start is 1.5"),
        ({"long_steps": "ignore"}, "refuse or warn or accept"),
        ({"timestep_fs": -1.0}, "timestep_fs is -1.0"),
    ],
)
def test_impossible_requests_are_refused(tmp_path, settings, match):
    (tmp_path / "XDATCAR").write_text(xdatcar(run(3)))
    with pytest.raises(InputError, match=match):
        Trajectory.read(tmp_path / "XDATCAR", **{"timestep_fs": 1.0, **settings})


def test_files_that_cannot_be_joined_are_refused(tmp_path):
    (tmp_path / "XDATCAR").write_text(xdatcar(run(3)))
    with pytest.raises(InputError, match="no file"):
        Trajectory.read([tmp_path / "XDATCAR", tmp_path / "gone"], timestep_fs=1.0)
    with pytest.raises(InputError, match="no file given"):
        Trajectory.read([], timestep_fs=1.0)
    (tmp_path / "t.h5md").touch()
    with pytest.raises(InputError, match="alone"):
        Trajectory.read([tmp_path / "XDATCAR", tmp_path / "t.h5md"], timestep_fs=1.0)
    other = xdatcar(run(3)).replace("   Li   Cl", "   Na   Cl")
    (tmp_path / "other").write_text(other)
    with pytest.raises(InputError, match="other: the atoms are not the same"):
        Trajectory.read([tmp_path / "XDATCAR", tmp_path / "other"], timestep_fs=1.0)


# Restarts


@pytest.mark.parametrize("wrapped", [True, False, None])
@pytest.mark.parametrize("overlap", [0, 1])
def test_a_restart_that_counts_anew_or_not_at_all(wrapped, overlap, caplog):
    whole = block(wrapped=True)
    first, second = whole.part(slice(12)), whole.part(slice(12 - overlap, None))
    for steps in (False, True):
        files = [
            [replace(part, step=np.arange(1, len(part.cell_A) + 1) if steps else None)]
            for part in (first, second)
        ]
        caplog.clear()
        back = joined(*files)
        assert back.positions_A == pytest.approx(walk(), abs=1e-12)
        assert back.time_fs == pytest.approx(2.0 * np.arange(N))
        assert ("1 frame(s) repeat" in caplog.text) == bool(overlap)


@pytest.mark.parametrize("overlap", [0, 1, 4])
@pytest.mark.parametrize("in_one_file", [False, True])
@pytest.mark.parametrize("pieces", [(), (2,), (1, 2, 3, 4, 5)])
def test_a_restart_within_the_numbers_of_the_run_before(overlap, in_one_file, pieces):
    whole = block(step=1000 + 10 * np.arange(N), time_fs=5.0 * np.arange(N))
    first = [whole.part(slice(12))]
    second = parts(whole.part(slice(12 - overlap, None)), *pieces)
    files = [first + second] if in_one_file else [first, second]
    back = joined(*files, interval_fs=None)
    assert back.positions_A == pytest.approx(walk(), abs=1e-12)
    assert back.time_fs == pytest.approx(5.0 * np.arange(N))


def test_a_restart_may_put_the_atoms_back_into_the_cell():
    # A format without wrapping, whose program begins from wrapped positions.
    unwrapped = block(wrapped=False)
    second = unwrapped.part(slice(12, None))
    home = np.floor(run(N).scaled[12]) @ TRICLINIC
    second = replace(second, positions_A=second.positions_A - home)
    back = joined([unwrapped.part(slice(12))], [second])
    assert back.positions_A == pytest.approx(unwrapped.positions_A, abs=1e-12)


# Times


def test_times_of_a_restart_that_begins_at_zero_go_on():
    whole = block()
    first = replace(whole.part(slice(12)), time_fs=1.5 * np.arange(12))
    anew = replace(whole.part(slice(12, None)), time_fs=1.5 * np.arange(11))
    repeating = replace(whole.part(slice(11, None)), time_fs=1.5 * np.arange(12))
    later = replace(whole.part(slice(12, None)), time_fs=1.5 * np.arange(12, 23))
    for second in (anew, repeating, later):
        back = joined([first], [second], interval_fs=None)
        assert back.time_fs == pytest.approx(1.5 * np.arange(N))
    # A third run, after a time step that was changed.
    third = replace(whole.part(slice(18, None)), time_fs=0.5 * np.arange(5))
    back = joined([first], [anew.part(slice(6))], [third], interval_fs=None)
    assert back.time_fs[:18] == pytest.approx(1.5 * np.arange(18))
    assert back.time_fs[18:] == pytest.approx(1.5 * 17 + 0.5 * np.arange(1, 6))


def test_times_that_file_and_user_say_differently_are_refused():
    said = block(time_fs=1.5 * np.arange(N))
    assert joined([said], interval_fs=1.5).time_fs == pytest.approx(1.5 * np.arange(N))
    with pytest.raises(InputError, match=r"say 2 and 1.5 fs between frames 0 and 1; leave"):
        joined([said], interval_fs=2.0)


def test_times_that_nobody_says_are_asked_for_at_once():
    def blocks():
        yield block()
        raise AssertionError("read on")

    with pytest.raises(InputError, match="--frame-interval-fs"):
        joined(blocks(), interval_fs=None)


# Unwrapping across blocks


@pytest.mark.parametrize("borders", [(), (1,), (11, 12), tuple(range(1, N))])
def test_what_crossed_is_carried_from_block_to_block(borders):
    assert joined(parts(block(), *borders)).positions_A == pytest.approx(walk(), abs=1e-12)
    unknown = replace(block(), wrapped=None)
    assert joined(parts(unknown, *borders)).positions_A == pytest.approx(walk(), abs=1e-12)
    apart = block(wrapped=None)
    back = joined(parts(apart, *borders))
    assert (back.positions_A == apart.positions_A).all()


def one_atom(fractions: list[float]) -> list[FrameBlock]:
    """Two atoms in a cube of 10 A; the second goes along x."""
    positions = np.zeros((len(fractions), 2, 3))
    positions[:, 1, 0] = 10.0 * np.array(fractions)
    cell = np.broadcast_to(10.0 * np.eye(3), (len(fractions), 3, 3))
    return [FrameBlock(np.array([3, 3]), positions, cell, wrapped=True)]


def test_steps_too_long_to_unwrap_are_refused_or_told(caplog):
    short = joined(one_atom([0.1, 0.4, 0.75, 0.1, 0.45]))
    assert short.positions_A[:, 1, 0] == pytest.approx([1.0, 4.0, 7.5, 11.0, 14.5])
    long = one_atom([0.1, 0.2, 0.3, 0.74, 0.8])
    with pytest.raises(InputError, match=r"files: an atom moves by 0\.44") as caught:
        joined(long)
    message = str(caught.value)
    assert "atom 1, to frame 3, both counted from 0" in message
    assert "long_steps='warn'" in message
    assert "\n" not in message
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        back = joined(long, long_steps="warn")
    assert back.positions_A[:, 1, 0] == pytest.approx([1.0, 2.0, 3.0, 7.4, 8.0])
    assert "an atom moves by 0.44" in caplog.text


def test_a_step_too_long_at_the_border_of_two_files_is_refused():
    # A run between the two is missing.
    with pytest.raises(
        InputError, match=r"frame 2 .* does not follow the last of file0|to frame 2"
    ):
        joined(one_atom([0.1, 0.2]), one_atom([0.65, 0.7]))
    unwrapped = [
        [replace(part[0], wrapped=False)] for part in (one_atom([0.1, 0.2]), one_atom([1.65, 1.7]))
    ]
    with pytest.raises(
        InputError, match=r"frame 2 .* does not follow the last of file0|to frame 2"
    ):
        joined(*unwrapped)


def test_files_of_ase_take_the_same_way(tmp_path):
    frames = [
        Atoms("Li4Cl4", positions=frame, cell=TRICLINIC, pbc=True)
        for frame in run(N).wrapped @ TRICLINIC
    ]
    write(tmp_path / "a.traj", frames[:12])
    write(tmp_path / "b.extxyz", frames[11:])
    back = Trajectory.read([tmp_path / "a.traj", str(tmp_path / "b.extxyz")], timestep_fs=2.0)
    assert back.positions_A == pytest.approx(walk(), abs=1e-6)
    assert back.time_fs == pytest.approx(2.0 * np.arange(N))


# Results and room


def test_what_one_block_lacks_is_left_out_and_told(caplog):
    forces = np.random.default_rng(1).normal(size=(N, 8, 3))
    pieces = parts(block(forces_eV_A=forces, energies_eV=np.arange(float(N))), 9)
    pieces[1] = replace(pieces[1], energies_eV=None)
    back = joined(pieces)
    assert back.energies_eV is None
    assert (back.forces_eV_A == forces).all()
    assert "energies_eV is left out" in caplog.text


def test_a_cell_that_stays_is_one_cell():
    assert joined(parts(block(), 9)).cell_A.shape == (3, 3)
    changed = block()
    cells = changed.cell_A.copy()
    cells[-1] *= 1.001
    assert joined(parts(replace(changed, cell_A=cells), 9)).cell_A.shape == (N, 3, 3)


@pytest.mark.parametrize("name", ["positions_A", "cell_A", "forces_eV_A"])
def test_numbers_that_are_not_finite_are_refused(name):
    whole = block(forces_eV_A=np.zeros((N, 8, 3)))
    array = getattr(whole, name).copy()
    array[5, 0, 0] = np.inf
    with pytest.raises(InputError, match=f"file0: {name} is not finite"):
        joined([replace(whole, **{name: array})])


@pytest.mark.parametrize("frames", [slice(None), slice(3, None, 4), slice(-7, None), slice(0, -3)])
@pytest.mark.parametrize("spill_bytes", [0, 500, 1500])
def test_large_results_lie_on_disk_and_are_the_same(monkeypatch, frames, spill_bytes, tmp_path):
    whole = block(forces_eV_A=np.random.default_rng(2).normal(size=(N, 8, 3)))
    in_memory = joined(parts(whole, 2, 11), frames=frames)
    monkeypatch.setattr(growing, "SPILL_BYTES", spill_bytes)
    monkeypatch.setattr(growing.tempfile, "tempdir", str(tmp_path))
    on_disk = joined(parts(whole, 2, 11), frames=frames)
    assert list(tmp_path.iterdir()) == []
    for name in ("positions_A", "forces_eV_A", "time_fs", "cell_A"):
        assert (getattr(on_disk, name) == getattr(in_memory, name)).all()
    arrays = [on_disk.positions_A, on_disk.forces_eV_A]
    assert any(isinstance(array, np.memmap) for array in arrays)
    with pytest.raises(ValueError, match="read-only"):
        on_disk.positions_A[0] = 0.0


def test_a_full_disk_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setattr(growing, "SPILL_BYTES", 0)
    full = partial(open, "/dev/full", "r+b")
    monkeypatch.setattr(growing.tempfile, "TemporaryFile", full)
    with pytest.raises(InputError, match=r"No space left.*TMPDIR"):
        joined([block()])
