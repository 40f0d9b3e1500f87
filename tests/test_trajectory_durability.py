"""Files of a writer that is killed, or that finds the disk full."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import mlmd
from mlmd import Trajectory
from mlmd.errors import DamagedDataError
from mlmd.trajectory.h5md.writer import OBSERVABLES, H5MDWriter

N_ATOMS = 20
CELL = np.diag([10.0, 11.0, 12.0])


def frames(first: int, n: int) -> dict[str, np.ndarray]:
    """Frames whose every number tells which frame it is."""
    index = np.arange(first, first + n)
    return {
        "step": 5 * index,
        "time": 10.0 * index,
        "edges": np.broadcast_to(CELL, (n, 3, 3)),
        "position": np.broadcast_to((index + 1.0)[:, None, None], (n, N_ATOMS, 3)),
        **{name: index + 1.0 for name in OBSERVABLES},
    }


def create(path: Path, planned: int) -> H5MDWriter:
    return H5MDWriter.create(
        path,
        np.full(N_ATOMS, 18),
        np.full(N_ATOMS, 39.95),
        (True, True, True),
        n_frames_planned=planned,
    )


def assert_whole(path: Path, at_least: int) -> int:
    """Every frame in the file is the right one, read by us and as others would; count them."""
    read = Trajectory.read(path)
    index = np.arange(len(read))
    assert len(read) >= at_least
    assert (read.time_fs == 10.0 * index).all()
    assert (read.positions_A == (index + 1.0)[:, None, None]).all()
    assert (read.energies_eV == index + 1.0).all()
    assert (read.cell_A == CELL).all()
    with h5py.File(path, locking=False) as file:
        for name in ("particles/trajectory/position/value", "observables/temperature/value"):
            values = file[name][:at_least].reshape(at_least, -1 if at_least else 1)
            assert (values == np.arange(at_least)[:, None] + 1.0).all()
    return len(read)


WRITER = """
import sys
from pathlib import Path
from test_trajectory_durability import create, frames
writer = create(Path(sys.argv[1]), planned=1000)
block = 0
while True:
    writer.append(frames(7 * block, 7))
    block += 1
    print(7 * block, flush=True)
"""


def killed_writer(path: Path, after_s: float) -> int:
    """Kill a writer some time after its first append; return the frames it said it had."""
    folders = (Path(mlmd.__file__).parents[1], Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders)},
        stdout=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    assert first
    time.sleep(after_s)
    os.kill(process.pid, signal.SIGKILL)
    said = process.stdout.read().splitlines()
    process.wait()
    # The last line may have been cut by the kill.
    return int(said[-2]) if len(said) > 1 else int(first)


@pytest.mark.slow
def test_kill_at_random_moments_keeps_every_flushed_frame(tmp_path):
    rng = random.Random(11)
    for attempt in range(6):
        path = tmp_path / f"{attempt}.h5md"
        flushed = killed_writer(path, rng.uniform(0.0, 0.08))
        there = assert_whole(path, flushed)
        # It can be continued after any of them.
        keep = rng.randint(1, there)
        with H5MDWriter.resume(path, keep) as writer:
            assert writer.n_frames == keep
            writer.append(frames(keep, 30))
        assert assert_whole(path, keep + 30) == keep + 30


class WriteLog:
    """A file in memory that remembers each write, so that a kill between any two can be seen."""

    def __init__(self):
        self._content = bytearray()
        self._at = 0
        self.images: list[bytes] = []

    def _changed(self) -> None:
        self.images.append(bytes(self._content))

    def write(self, data) -> int:
        data = bytes(data)
        end = self._at + len(data)
        self._content.extend(bytes(max(0, end - len(self._content))))
        self._content[self._at : end] = data
        self._at = end
        self._changed()
        return len(data)

    def read(self, size: int) -> bytes:
        data = bytes(self._content[self._at : self._at + size])
        self._at += len(data)
        return data

    def readinto(self, buffer) -> int:
        data = self._content[self._at : self._at + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def truncate(self, size: int) -> None:
        self._content.extend(bytes(max(0, size - len(self._content))))
        del self._content[size:]
        self._changed()

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = (0, self._at, len(self._content))[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """Nothing is buffered."""


def test_every_moment_between_two_writes_is_safe(tmp_path, monkeypatch):
    """All writes of several appends, in the order HDF5 makes them; a kill after each."""
    monkeypatch.setattr(H5MDWriter, "_reserve", lambda *arguments: None)
    with create(tmp_path / "t.h5md", planned=100) as writer:
        writer.append(frames(0, 20))
    log = WriteLog()
    log.write((tmp_path / "t.h5md").read_bytes())
    log.seek(0)
    file = h5py.File(log, "r+", rdcc_nbytes=0)
    writer = H5MDWriter(file)
    known = []
    for first in (20, 45, 70):
        before = len(log.images)
        writer.append(frames(first, 25))
        known += [first] * (len(log.images) - before)
    assert len(known) > 20
    for number, (image, flushed) in enumerate(zip(log.images[-len(known) :], known, strict=True)):
        path = tmp_path / f"{number}.h5md"
        path.write_bytes(image)
        assert_whole(path, flushed)
        with H5MDWriter.resume(path, flushed) as again:
            again.append(frames(flushed, 25))
        assert_whole(path, flushed + 25)
    file.close()


def test_resume_drops_what_came_after_the_checkpoint(tmp_path):
    path = tmp_path / "t.h5md"
    with create(path, planned=200) as writer:
        writer.append(frames(0, 120))
    with H5MDWriter.resume(path, 50) as writer:
        assert writer.n_frames == 50
    assert assert_whole(path, 50) == 50
    with H5MDWriter.resume(path, 50) as writer:
        writer.append(frames(50, 10))
    assert assert_whole(path, 60) == 60
    assert [item.name for item in tmp_path.iterdir()] == ["t.h5md"]


def test_resume_to_nothing(tmp_path):
    path = tmp_path / "t.h5md"
    with create(path, planned=10) as writer:
        writer.append(frames(0, 4))
    with H5MDWriter.resume(path, 0) as writer:
        writer.append(frames(0, 10))
    assert assert_whole(path, 10) == 10


def test_resume_with_a_longer_plan(tmp_path):
    path = tmp_path / "t.h5md"
    with create(path, planned=30) as writer:
        writer.append(frames(0, 30))
    with H5MDWriter.resume(path, 30, n_frames_planned=300) as writer:
        for first in range(30, 300, 54):
            writer.append(frames(first, 54))
    assert assert_whole(path, 300) == 300
    # The longer plan is one piece again, not a piece of the old length for each 30 frames.
    with h5py.File(path) as file:
        assert file["particles/trajectory/position/value"].id.get_num_chunks() == 1


def test_fewer_frames_than_the_checkpoint_knows_are_refused(tmp_path):
    path = tmp_path / "t.h5md"
    with create(path, planned=30) as writer:
        writer.append(frames(0, 30))
    with pytest.raises(DamagedDataError, match=r"holds 30 frames; .* after 31"):
        H5MDWriter.resume(path, 31)
    assert assert_whole(path, 30) == 30


def append_until_full(writer: H5MDWriter) -> int:
    """Append until the disk is full; return the frames that are in."""
    while writer.n_frames < 100_000:
        try:
            writer.append(frames(writer.n_frames, 64))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return writer.n_frames
            raise
    raise AssertionError("the disk was never full")


@pytest.mark.parametrize("closes", [True, False])
def test_full_disk_keeps_what_was_appended_and_can_go_on(small_disk, closes):
    path = small_disk / "t.h5md"
    writer = create(path, planned=10_000)
    done = append_until_full(writer)
    assert done > 300
    assert assert_whole(path, done) == done
    # Still full: again refused, nothing lost.
    with pytest.raises(OSError, match="No space left"):
        writer.append(frames(done, 64))
    if closes:
        writer.close()
    else:
        writer.abandon()  # as a kill would
    assert assert_whole(path, done) == done
    with H5MDWriter.resume(path, done) as again, pytest.raises(OSError, match="No space left"):
        again.append(frames(done, 64))
    assert assert_whole(path, done) == done
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    with H5MDWriter.resume(path, done) as again:
        again.append(frames(done, 1000))
    assert assert_whole(path, done + 1000) == done + 1000


def test_writer_that_met_a_full_disk_goes_on_when_there_is_space_again(small_disk):
    writer = create(small_disk / "t.h5md", planned=10_000)
    done = append_until_full(writer)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    writer.append(frames(done, 500))
    writer.close()
    assert assert_whole(small_disk / "t.h5md", done + 500) == done + 500


@pytest.mark.parametrize("free_bytes", [0, 4096, 65536, 200_000])
def test_a_disk_too_full_to_begin_leaves_nothing_broken(small_disk, free_bytes):
    ballast = small_disk / "ballast"
    status = os.statvfs(small_disk)
    ballast.write_bytes(bytes(status.f_bavail * status.f_frsize - free_bytes))
    path = small_disk / "t.h5md"
    try:
        with create(path, planned=100_000) as writer:
            done = append_until_full(writer)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        assert list(small_disk.iterdir()) == [ballast]
    else:
        assert assert_whole(path, done) == done
    ballast.unlink()
    path.unlink(missing_ok=True)
    with create(path, planned=64) as writer:
        writer.append(frames(0, 64))
    assert assert_whole(path, 64) == 64
