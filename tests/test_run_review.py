"""What a reviewer broke: odd damage, odd places, odd input, two owners at once."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from runs import assert_equal_bits, command, finish, write_protocol

from mlmd import CalculatorSpec, Protocol, Run
from mlmd.calculators.models.lennard_jones import LennardJones
from mlmd.errors import (
    DamagedDataError,
    InputError,
    RunDirectoryError,
    StageFailedError,
    StoppedError,
)
from mlmd.files import write_atomically
from mlmd.protocol.engine import RunSettings
from mlmd.run.checkpoint import CheckpointStore
from mlmd.run.history import EventLog
from mlmd.run.identity import structure_from_text, structure_text
from mlmd.run.stopping import StopToken
from mlmd.stages.context import Progress
from mlmd.stages.dynamics.molecular_dynamics import MolecularDynamicsStage

When = Callable[[Progress], bool]


@pytest.fixture
def short(protocol: Protocol) -> Protocol:
    """Relax, melt, and a production that goes on from it."""
    return Protocol(name="short", stages=(*protocol.stages[:2], protocol.stages[3]))


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlmd.stages.context.REPORT_INTERVAL_S", 0.0)


def stopped_run(
    protocol: Protocol, atoms: Atoms, calculator: object, folder: Path, when: When
) -> None:
    """Run until progress says so, then stop."""
    stop = StopToken()

    def look(progress: Progress) -> None:
        if when(progress):
            stop.stop("asked")

    with pytest.raises(StoppedError):
        protocol.run(atoms, calculator, folder, progress=look, stop=stop)


# Damage


def test_any_damaged_byte_of_a_checkpoint_falls_back(tmp_path: Path) -> None:
    logging.getLogger("mlmd").setLevel(logging.ERROR)
    rng = np.random.default_rng(5)
    states = [
        {"nsteps": i, "x": rng.normal(size=(4, 3)), "rng": rng.bit_generator.state} for i in (1, 2)
    ]
    store = CheckpointStore(tmp_path)
    for state in states:
        store.save(state)
    whole = store.path.read_bytes()

    def load_damaged(content: bytes) -> None:
        store.path.write_bytes(content)
        read = store.load()
        assert read is not None
        expected = states[read["nsteps"] - 1]
        assert read.keys() == expected.keys()
        assert read["x"].tobytes() == expected["x"].tobytes()
        assert read["rng"] == expected["rng"]

    try:
        for at in range(len(whole)):
            for change in (0x01, 0xFF):
                load_damaged(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
        for at in range(0, len(whole), 64):
            load_damaged(whole[:at])
            load_damaged(whole[:at] + bytes(len(whole) - at))
    finally:
        logging.getLogger("mlmd").setLevel(logging.NOTSET)


def test_killed_between_the_two_renames_the_previous_checkpoint_is_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without hard links; elsewhere the newest is never away."""

    def no_links(*args: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    store = CheckpointStore(tmp_path)
    store.save({"nsteps": 1})
    store.save({"nsteps": 2})
    assert CheckpointStore(tmp_path).load() == {"nsteps": 2}
    honest = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target == store.path:
            raise KeyboardInterrupt
        return honest(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        store.save({"nsteps": 3})
    assert store.load() == {"nsteps": 2}
    monkeypatch.undo()
    store.save({"nsteps": 3})
    store.path.unlink()
    assert store.load() == {"nsteps": 2}


@pytest.mark.parametrize("lost", ["newest", "folder"])
def test_lost_end_of_a_finished_stage_is_made_again(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol, lost: str
) -> None:
    """The next stage must not start from the checkpoint before the end."""
    whole = short.run(atoms, calculator, tmp_path / "whole")
    folder = tmp_path / "run"
    stopped_run(short, atoms, calculator, folder, lambda p: p.stage == "production")
    shutil.rmtree(folder / "03-production")
    if lost == "newest":
        (folder / "02-melt" / "checkpoint.npz").write_bytes(b"gone")
    else:
        shutil.rmtree(folder / "02-melt")
    run = short.run(atoms, calculator, folder)
    assert_equal_bits(whole, run)
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    (again,) = [event for event in events if event["event"] == "stage repeated"]
    assert again["stage"] == "melt"


def test_damaged_structure_file_is_not_what_the_run_goes_on_with(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    whole = short.run(atoms, calculator, tmp_path / "whole")
    folder = tmp_path / "run"
    stopped_run(short, atoms, calculator, folder, lambda p: p.stage == "relax" and p.step > 3)
    (folder / "structure.extxyz").write_bytes(b"\xff\x00")
    assert_equal_bits(whole, short.run(atoms, calculator, folder))


def test_a_manifest_that_is_none_is_refused_in_one_line(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    file = short.run(atoms, calculator, tmp_path / "run").path / "run.json"
    whole = file.read_text()
    older = {**json.loads(whole), "schema": 2}  # before there was a checksum, which tells all
    del older["checksum"]
    first, *others = older["stages"]
    inside = {
        "stages": [None, 3, "relax", {"name": "relax"}, [first, 3], [{"name": "relax"}, *others]],
        "identity": [[]],
        "created": [None],
        "reproducible": ["yes"],
        "extensions": [[], {"production": "0.6"}],
        "sessions": [{}, [3]],
    }
    stage = {"name": [3, None], "settings": [None, []], "result": [[]], "flags": ["none", [3]]}
    bad = [{key: value} for key, values in inside.items() for value in values]
    bad += [{"stages": [{**first, k: value}, *others]} for k, v in stage.items() for value in v]
    bad += [{"stages": [{**first, "status": "finished"}]}, {"stages": [first, first]}]
    bad += [{"stages": [{**first, "folder": place}, *others]} for place in ("../a", "/tmp", "02-x")]
    bad += [{"identity": {**older["identity"], "seed": 99}}, {"schema": 3}]
    texts = [json.dumps({**older, **one}) for one in bad]
    for text in ("[]", "[1]", "3", '"text"', "null", "true", 10_000 * "[", "", *texts):
        file.write_text(text)
        with pytest.raises(DamagedDataError) as caught:
            Run.open(file.parent)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)
    for text in (json.dumps(older), whole):
        file.write_text(text)
        assert Run.open(file.parent).status == "done"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_trajectory_that_the_system_refuses_is_not_damaged(
    tmp_path: Path,
    atoms: Atoms,
    calculator: CalculatorSpec,
    short: Protocol,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """Too many open files today must not throw away the work of yesterday."""
    folder = tmp_path / "run"
    stopped_run(short, atoms, calculator, folder, lambda p: p.stage == "production" and p.step > 50)

    def refused(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(h5py, "File", refused)
        with pytest.raises(StageFailedError, match=os.strerror(number)):
            short.run(atoms, calculator, folder)
    assert list(folder.rglob("*damaged*")) == []
    steps: list[int] = []
    run = short.run(atoms, calculator, folder, progress=lambda p: steps.append(p.step))
    assert min(steps) > 50
    assert_equal_bits(short.run(atoms, calculator, tmp_path / "whole"), run)


def test_frames_whose_checkpoints_were_removed_are_kept(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    folder = tmp_path / "run"
    stopped_run(short, atoms, calculator, folder, lambda p: p.stage == "production" and p.step > 50)
    for path in (folder / "03-production").glob("checkpoint*"):
        path.unlink()
    frames = (folder / "03-production" / "trajectory.h5md").read_bytes()
    run = short.run(atoms, calculator, folder)
    assert (folder / "03-production" / "trajectory.damaged-1.h5md").read_bytes() == frames
    assert_equal_bits(short.run(atoms, calculator, tmp_path / "whole"), run)


def test_event_cut_short_by_a_full_disk_spoils_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EventLog(tmp_path)
    log.write("first")
    honest = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda handle, text: honest(handle, text[:7]))
        log.write("lost")
    log.write("last")
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["first", "last"]


# Two owners


def test_run_taken_over_while_it_goes_on_keeps_the_bits_of_the_second(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    """The first wakes up with the file open and frames unwritten: none may reach the disk."""
    whole = short.run(atoms, calculator, tmp_path / "whole")
    folder = tmp_path / "run"
    short.save(tmp_path / "p.yaml")
    write(tmp_path / "start.extxyz", atoms)
    arguments = command(tmp_path / "p.yaml", tmp_path / "start.extxyz", folder, "--take-over")
    second: list[int] = []

    def take_over(progress: Progress) -> None:
        if not second and progress.stage == "production" and progress.step > 60:
            second.append(finish(arguments).returncode)

    with pytest.raises(StoppedError, match="taken over"):
        short.run(atoms, calculator, folder, progress=take_over)
    assert second == [0]
    assert_equal_bits(whole, Run.open(folder))


def test_reader_in_the_same_process_does_not_disturb(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    """HDF5 opens a file once for a whole process: the reader has the writer's own."""
    held: list[h5py.File] = []

    def look(progress: Progress) -> None:
        if progress.stage == "production" and progress.step in (50, 150):
            path = tmp_path / "run" / "03-production" / "trajectory.h5md"
            held.append(h5py.File(path, "r", locking=False))
            Run.open(tmp_path / "run").trajectory("melt")

    run = short.run(atoms, calculator, tmp_path / "run", progress=look)
    positions = held[0]["particles/trajectory/position/value"][-1]
    assert np.abs(positions).max() > 1.0
    for file in held:
        file.close()
    assert_equal_bits(short.run(atoms, calculator, tmp_path / "whole"), run)


def test_two_threads_two_directories_one_spec(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    runs: dict[str, Run] = {}

    def work(name: str) -> None:
        runs[name] = short.run(atoms, calculator, tmp_path / name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_equal_bits(runs["one"], runs["other"])


# Extension


def test_extension_is_never_taken_back(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    short.run(atoms, calculator, tmp_path / "run")
    run = short.run(atoms, calculator, tmp_path / "run", extend={"production": 0.8})
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(InputError, match=r"already has 0\.8 ps; an extension to 0\.6 ps"):
        short.run(atoms, calculator, run.path, extend={"production": 0.6})
    assert (run.path / "run.json").read_bytes() == before


# Places


@pytest.mark.parametrize("place", ["file", "file/run", "dangling", "dangling/run"])
def test_places_that_cannot_be_a_directory(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol, place: str
) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunDirectoryError, match="is a file or a broken link"):
        short.run(atoms, calculator, tmp_path / place)
    assert (tmp_path / "file").read_text() == "precious"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["dangling", "file"]


def test_out_inside_a_file_is_bad_input(tmp_path: Path, atoms: Atoms) -> None:
    write(tmp_path / "start.extxyz", atoms)
    protocol = write_protocol(tmp_path / "p.yaml", 0.004, 0.004)
    out = tmp_path / "p.yaml" / "run"
    refused = finish(command(protocol, tmp_path / "start.extxyz", out))
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "is a file" in line


@pytest.mark.parametrize("name", ["structure.extxyz", "log.jsonl"])
def test_files_of_the_user_with_our_names_are_left_alone(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol, name: str
) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(RunDirectoryError, match=f"not empty and no run .{name}"):
        short.run(atoms, calculator, tmp_path)
    assert (tmp_path / name).read_text() == "precious"
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_moved_run_goes_on_also_through_a_link_with_an_odd_name(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol
) -> None:
    whole = short.run(atoms, calculator, tmp_path / "whole")
    stopped_run(short, atoms, calculator, tmp_path / "run", lambda p: p.stage == "melt")
    (tmp_path / "run").rename(tmp_path / "Bahn (1) – 走る")
    (tmp_path / "link").symlink_to(tmp_path / "Bahn (1) – 走る")
    assert_equal_bits(whole, short.run(atoms, calculator, tmp_path / "link"))


@pytest.mark.parametrize("target", ["/dev/full", "closed pipe"])
def test_nobody_listening_does_not_end_a_run(tmp_path: Path, atoms: Atoms, target: str) -> None:
    """``mlmd run ... 2>&1 | head``, or a log on a disk that is full."""
    if target == "/dev/full" and not Path(target).exists():
        pytest.skip("there is no /dev/full here")
    write(tmp_path / "start.extxyz", atoms)
    protocol = write_protocol(tmp_path / "p.yaml", 0.004, 0.004)
    if target == "closed pipe":
        read, stderr = os.pipe()
        os.close(read)
    else:
        stderr = os.open(target, os.O_WRONLY)
    arguments = command(protocol, tmp_path / "start.extxyz", tmp_path / "run")
    subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=stderr, check=False)
    os.close(stderr)
    assert Run.open(tmp_path / "run").status == "done"


# Input


@pytest.mark.parametrize("packing", [np.arange(3), {"a": float("nan")}, "two\nlines", object()])
def test_odd_packing_is_refused_and_nothing_written(
    tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec, short: Protocol, packing: object
) -> None:
    atoms.info["packing"] = packing
    with pytest.raises(InputError, match=r"atoms.info\['packing'\]"):
        short.run(atoms, calculator, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_a_calculator_may_start_from_is_kept(atoms: Atoms) -> None:
    atoms.info.update({"β": [1, {"x": None}], "line": "a\nb"})
    plain = structure_text(atoms)
    atoms.set_initial_magnetic_moments(np.zeros(27))
    assert structure_text(atoms) == plain
    atoms.set_initial_magnetic_moments(np.arange(27))
    atoms.set_initial_charges([1, -1, 0] * 9)
    atoms.set_masses([7.0] * 27)
    text = structure_text(atoms)
    again = structure_from_text(text)
    assert structure_text(again) == text
    for name in ("initial_magmoms", "initial_charges", "masses"):
        assert again.get_array(name) == pytest.approx(atoms.get_array(name))


class SinglePrecision(LennardJones):
    """Gives forces as some models do: float32, Fortran order, read-only."""

    def calculate(self, *args: object, **kwargs: object) -> None:
        super().calculate(*args, **kwargs)
        forces = np.asfortranarray(self.results["forces"].astype(np.float32))
        forces.setflags(write=False)
        self.results["forces"] = forces


def test_forces_in_single_precision_and_read_only(
    tmp_path: Path, atoms: Atoms, short: Protocol
) -> None:
    whole = short.run(atoms, SinglePrecision(cutoff_A=4.5), tmp_path / "whole")
    for stage in ("relax", "melt", "production"):
        folder = tmp_path / stage
        stopped_run(
            short,
            atoms,
            SinglePrecision(cutoff_A=4.5),
            folder,
            lambda p, stage=stage: p.stage == stage and p.step > 5,  # type: ignore[misc]
        )
        assert_equal_bits(whole, short.run(atoms, SinglePrecision(cutoff_A=4.5), folder))


def test_stages_of_one_step(tmp_path: Path, atoms: Atoms, calculator: CalculatorSpec) -> None:
    times = {"temperature_K": 300, "duration_ps": 0.002, "record_every_fs": 2}
    content = [
        {"name": "relax", "class": "Relax", "max_steps": 1},
        {"name": "melt", "class": "Equilibrate", **times},
        {"name": "cool", "class": "Quench", **times},
    ]
    protocol = Protocol.from_dict({"schema": 1, "name": "one", "stages": content})
    run = protocol.run(atoms, calculator, tmp_path / "run")
    assert [run.results[name].get("n_frames") for name in ("melt", "cool")] == [2, 2]
    stages = [s for s in protocol.stages if isinstance(s, MolecularDynamicsStage)]
    assert [stage.n_steps for stage in stages] == [1, 1]


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(1)])
def test_callback_that_raises_loses_nothing(
    tmp_path: Path,
    atoms: Atoms,
    calculator: CalculatorSpec,
    short: Protocol,
    error: BaseException,
) -> None:
    def raising(progress: Progress) -> None:
        if progress.stage == "production" and progress.step > 70:
            raise error

    settings = RunSettings(checkpoint_every_s=1e-9)
    expected = StageFailedError if isinstance(error, ValueError) else type(error)
    with pytest.raises(expected):
        short.run(atoms, calculator, tmp_path / "run", progress=raising, settings=settings)
    assert not (tmp_path / "run" / "lock").exists()
    steps: list[int] = []
    run = short.run(atoms, calculator, tmp_path / "run", progress=lambda p: steps.append(p.step))
    assert min(steps) > 70
    assert_equal_bits(short.run(atoms, calculator, tmp_path / "whole"), run)


def test_failed_write_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def failing(file: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        write_atomically(path, failing, previous=tmp_path / "older")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_a_place_where_nothing_may_be_written_is_told_before_anything_is_computed(
    tmp_path: Path, atoms: Atoms, short: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root writes everywhere but on a read-only disk; here the system says so."""

    class Silent(LennardJones):
        def calculate(self, *args: object, **kwargs: object) -> None:
            raise AssertionError("asked for forces")

    monkeypatch.setattr(os, "access", lambda *args, **kwargs: False)
    with pytest.raises(InputError, match="nothing may be written into"):
        short.run(atoms, Silent(cutoff_A=4.5), tmp_path / "new" / "run")
    assert list(tmp_path.iterdir()) == []
