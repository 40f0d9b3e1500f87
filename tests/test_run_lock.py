"""One process at a time, and no lock outlives its process."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlmd.errors import (
    DiskFullError,
    InputError,
    RunDirectoryError,
    RunLockedError,
    RunLostError,
    StoppedError,
)
from mlmd.files import disk_full_is_a_stop, write_json
from mlmd.processes import this_process
from mlmd.run.history import EventLog, wall_times
from mlmd.run.lock import FILES, RunLock, is_at_work, read_owner


def write_lock(folder: Path, **changes: object) -> None:
    owner = {**this_process(), "nonce": "another", **changes}
    (folder / "lock").write_text(json.dumps(owner))


def test_second_in_the_same_process_is_refused_by_name(tmp_path: Path) -> None:
    with RunLock(tmp_path), pytest.raises(RunLockedError, match=f"process {os.getpid()} on"):
        RunLock(tmp_path).__enter__()
    assert read_owner(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_dead_process_on_this_host_is_taken_over(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write_lock(tmp_path, pid=dead.pid)
    with RunLock(tmp_path):
        owner = read_owner(tmp_path)
        assert owner is not None
        assert owner["pid"] == os.getpid()


def test_process_number_used_again_is_not_the_owner(tmp_path: Path) -> None:
    write_lock(tmp_path, process_start="1")
    with RunLock(tmp_path):
        pass


def test_lock_cut_short_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"host": "somewh')
    with RunLock(tmp_path):
        pass


UNSEEN = [
    {"host": "elsewhere", "pid": 17},
    {"boot_id": "another", "pid": 17},
    {"pid_namespace": "pid:[1]", "pid": 17},
    {"pid_namespace": None, "pid": 17},
    {"pid_namespace": "pid:[1]"},  # our own number, which means another process there
    {"host": "elsewhere", "boot_id": None, "process_start": None, "pid": 17},
]
"""Owners whose number says nothing here: of another host, boot or process namespace."""


@contextlib.contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Somebody's heartbeat."""
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(0.02):
            count += 1
            (folder / "heartbeat").write_text(f"another {count}")

    (folder / "heartbeat").write_text("another 0")
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("owner", UNSEEN)
def test_an_unseen_owner_with_a_growing_heartbeat_is_refused(tmp_path: Path, owner: Any) -> None:
    write_lock(tmp_path, **owner)
    said = f"process {owner.get('pid', os.getpid())} on"
    with beating(tmp_path), pytest.raises(RunLockedError, match=said):
        RunLock(tmp_path, patience_s=0.4).__enter__()


@pytest.mark.parametrize("owner", UNSEEN)
@pytest.mark.parametrize("heartbeat", ["another 4", "", None])
def test_an_unseen_owner_whose_heartbeat_stands_still_is_taken_over(
    tmp_path: Path, owner: Any, heartbeat: str | None
) -> None:
    write_lock(tmp_path, **owner)
    if heartbeat is not None:
        (tmp_path / "heartbeat").write_text(heartbeat)
    with RunLock(tmp_path, patience_s=0.2):
        taken = read_owner(tmp_path)
        assert taken is not None
        assert taken["nonce"] != "another"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lost", ["host", "boot_id", "pid_namespace"])
def test_only_a_young_heartbeat_says_that_an_unseen_owner_is_at_work(
    tmp_path: Path, lost: str
) -> None:
    write_lock(tmp_path, **{lost: "another"})
    heartbeat = tmp_path / "heartbeat"
    heartbeat.write_text("another 1")
    assert is_at_work(tmp_path)
    os.utime(heartbeat, (1e9, 1e9))
    assert is_at_work(tmp_path) == (lost == "host")  # whose clock is another's


def nobody() -> Iterator[str]:
    """Contents of a lock that name no process, from what a lock holds."""
    yield from ("", "null", "true", "17", '"lock"', "[]", "[{}]", "{}", "{", "\x00", "[" * 100000)
    owner = {**this_process(), "nonce": "another"}
    text = json.dumps(owner)
    yield from (text[: len(text) * i // 5] for i in range(1, 5))
    for key in ("host", "pid"):
        yield json.dumps({name: value for name, value in owner.items() if name != key})
        others: list[Any] = [None, True, [], {}, 1.5, -3, 0, 2**70, "self", "../../etc"]
        for value in others[: 5 if key == "host" else None]:
            yield json.dumps({**owner, key: value})


@pytest.mark.parametrize("content", list(nobody()), ids=lambda text: text[:40])
def test_a_lock_that_names_nobody_is_judged_by_the_heartbeat(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    assert read_owner(tmp_path) is None
    assert not is_at_work(tmp_path)
    with RunLock(tmp_path):  # without a heartbeat nobody was at work: no waiting
        owner = read_owner(tmp_path)
        assert owner is not None
        assert owner["pid"] == os.getpid()
    (tmp_path / "lock").write_text(content)
    with beating(tmp_path), pytest.raises(RunLockedError, match="does not name"):
        RunLock(tmp_path, patience_s=0.4).__enter__()
    assert (tmp_path / "lock").read_text() == content


def put_folder(place: Path, aim: Path) -> None:
    place.mkdir()


def put_pipe(place: Path, aim: Path) -> None:
    os.mkfifo(place)


def put_socket(place: Path, aim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(place))  # an address is short


def put_link(place: Path, aim: Path) -> None:
    aim.write_text("precious")
    place.symlink_to(aim)


def put_dangling(place: Path, aim: Path) -> None:
    place.symlink_to(aim)


def put_circle(place: Path, aim: Path) -> None:
    place.symlink_to(place)


def put_link_to_device(place: Path, aim: Path) -> None:
    place.symlink_to("/dev/zero")


def put_device(place: Path, aim: Path) -> None:
    try:
        os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero never ends
    except PermissionError:
        pytest.skip("devices cannot be made here")


KINDS = {
    put_folder: "is a folder",
    put_pipe: "is a pipe",
    put_socket: "is a socket",
    put_link: "is a symbolic link",
    put_dangling: "is a symbolic link",
    put_circle: "is a symbolic link",
    put_link_to_device: "is a symbolic link",
    put_device: "is a device",
}
PLACES = (*FILES, "01-melt/trajectory.h5md", "01-melt/checkpoint.npz", "01-melt/unstable.extxyz")


@pytest.mark.parametrize("place", [*PLACES, "01-melt", "12-quench/volume-1.02"])
@pytest.mark.parametrize("put", KINDS)
def test_what_is_no_file_is_refused_and_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, put: Callable[[Path, Path], None]
) -> None:
    if put is put_folder and place not in FILES:
        pytest.skip("a folder is right there")
    folder, aim = tmp_path / "run", tmp_path / "aim"
    (folder / place).parent.mkdir(parents=True)
    monkeypatch.chdir((folder / place).parent)
    put(folder / place, aim)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for take_over in (False, True):
        with pytest.raises(RunDirectoryError, match=f"{re.escape(place)} {KINDS[put]}") as caught:
            RunLock(folder, take_over=take_over, patience_s=0.2).__enter__()
        assert "\n" not in str(caught.value)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert not aim.exists() or aim.read_text() == "precious"
    assert read_owner(folder) is None
    # Nor is it where it is put there while the run is going on.
    EventLog(folder).write("stage started", stage="melt")
    assert not aim.exists() or aim.read_text() == "precious"
    wall_times(folder, at_work=False)


@pytest.mark.parametrize("put", KINDS)
def test_a_file_written_whole_does_not_follow_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, Path], None]
) -> None:
    """Neither under its own name nor under that of the part."""
    if put is put_folder:
        pytest.skip("a folder is not replaced by a file")
    monkeypatch.chdir(tmp_path)
    for name in ("run.json", ".run.json.partial"):
        aim = tmp_path / "aim"
        put(tmp_path / name, aim)
        write_json(tmp_path / "run.json", {"a": 1})
        assert json.loads((tmp_path / "run.json").read_text()) == {"a": 1}
        assert (tmp_path / "run.json").is_file()
        assert not (tmp_path / "run.json").is_symlink()
        assert not aim.exists() or aim.read_text() == "precious"
        assert not os.path.lexists(tmp_path / ".run.json.partial")
        aim.unlink(missing_ok=True)
        (tmp_path / "run.json").unlink()


def removed(folder: Path) -> None:
    (folder / "lock").unlink()


def left_by_another(folder: Path) -> None:
    with RunLock(folder, take_over=True):
        pass


def emptied(folder: Path) -> None:
    (folder / "lock").write_text("")


def another(folder: Path) -> None:
    write_lock(folder, host="elsewhere", pid=17)


def moved(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


def moved_and_made_again(folder: Path) -> None:
    moved(folder)
    folder.mkdir()
    write_lock(folder)


def deleted(folder: Path) -> None:
    shutil.rmtree(folder)


def linked(folder: Path) -> None:
    removed(folder)
    (folder / "lock").symlink_to("/dev/zero")


def made_a_pipe(folder: Path) -> None:
    removed(folder)
    os.mkfifo(folder / "lock")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (removed, "lock was removed during the run"),
        (left_by_another, "was taken over by another process that has ended, or"),
        (emptied, "was changed during the run and names no process"),
        (another, "another process has taken over .*: process 17 on elsewhere"),
        (moved, "was moved to .*/moved during the run.*--out .*/moved"),
        (moved_and_made_again, "was moved to .*/moved during the run"),
        (deleted, "was moved or deleted"),
        (linked, "cannot be read .*is a symbolic link"),
        (made_a_pipe, "cannot be read .*is a pipe"),
    ],
)
def test_a_lost_lock_is_told_as_it_is(
    tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with RunLock(folder) as lock:
        lock.check()
        change(folder)
        left = sorted(str(path) for path in tmp_path.rglob("*"))
        with pytest.raises(RunLostError, match=said) as caught:
            lock.check()
        assert "stops without writing" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert sorted(str(path) for path in tmp_path.rglob("*")) == left
    if (tmp_path / "moved").exists():
        assert list((tmp_path / "moved").iterdir()) == []  # the lock goes, wherever it is
    elif folder.exists():
        assert not (folder / "heartbeat").exists()  # nobody waits for one that has ended
    if change is moved_and_made_again:
        assert read_owner(folder) is not None


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE])
@pytest.mark.parametrize("times", [1, 2, 99])
def test_a_lock_that_cannot_be_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, times: int
) -> None:
    monkeypatch.setattr("mlmd.run.lock.RETRIES_S", (0.0, 0.0, 0.0))
    honest, failed = os.open, [0]

    def failing(path: Any, *args: Any, **kwargs: Any) -> int:
        if os.path.basename(path) == "lock" and failed[0] < times:
            failed[0] += 1
            raise OSError(number, os.strerror(number), str(path))
        return honest(path, *args, **kwargs)

    with RunLock(tmp_path) as lock:
        monkeypatch.setattr(os, "open", failing)
        if times < 4:
            lock.check()
        else:
            said = f"cannot be read .{os.strerror(number)}.*stops without writing"
            with pytest.raises(RunLostError, match=said):
                lock.check()
        monkeypatch.setattr(os, "open", honest)
    assert failed[0] == min(times, 4)


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.EROFS, StoppedError, "become read-only while x.npz was to be written"),
        (errno.ENOSPC, DiskFullError, "no space left"),
    ],
)
def test_a_disk_that_takes_nothing_any_more_stops_a_run(number: int, kind: type, said: str) -> None:
    with pytest.raises(kind, match=said), disk_full_is_a_stop("x.npz"):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "kind", "said"),
    [
        (errno.EROFS, InputError, "cannot be locked .*ead-only"),
        (errno.ENOSPC, DiskFullError, "no space"),
        (errno.EDQUOT, DiskFullError, "no space"),
        (errno.EACCES, InputError, "cannot be locked .*Permission"),
        (errno.EIO, InputError, "cannot be locked .*nput/output"),
    ],
)
def test_a_folder_that_cannot_be_written_is_told_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type, said: str
) -> None:
    honest = os.open

    def failing(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number), str(path))
        return honest(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", failing)
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    with pytest.raises(kind, match=said):
        RunLock(tmp_path).__enter__()
    assert len(before) == (len(os.listdir("/proc/self/fd")) if before else 0)
    assert list(tmp_path.iterdir()) == []


def test_taken_over_by_force_the_first_stops_before_it_writes(tmp_path: Path) -> None:
    with RunLock(tmp_path) as first:
        first.check()
        with RunLock(tmp_path, take_over=True) as second:
            with pytest.raises(StoppedError, match="taken over"):
                first.check()
            second.check()
    # The first must not remove a lock that is not its own.
    write_lock(tmp_path)
    first.__exit__(None, None, None)
    assert read_owner(tmp_path) is not None


@pytest.mark.parametrize("name", ["lock", "heartbeat"])
@pytest.mark.parametrize("dead", [True, False])
def test_a_disk_that_fills_leaves_no_half_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dead: bool
) -> None:
    if dead:
        write_lock(tmp_path, process_start="1")
    honest = RunLock._write

    def write(self: RunLock, path: Path, text: str, how: int) -> None:
        if path.name == name:
            honest(self, path, "", how)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(self, path, text, how)

    monkeypatch.setattr(RunLock, "_write", write)
    with pytest.raises(DiskFullError):
        RunLock(tmp_path).__enter__()
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    with RunLock(tmp_path):  # at once
        pass


def test_only_one_of_many_gets_a_dead_lock(tmp_path: Path) -> None:
    """Eight processes find the same dead lock at once."""
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from mlmd.run.lock import RunLock\n"
        "from mlmd.errors import RunLockedError\n"
        "folder, refused = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "try:\n"
        "    with RunLock(folder):\n"
        "        print('held', flush=True)\n"
        "        deadline = time.monotonic() + 60\n"
        "        while len(list(refused.iterdir())) < 7 and time.monotonic() < deadline:\n"
        "            time.sleep(0.02)\n"
        "except RunLockedError:\n"
        "    (refused / str(os.getpid())).touch()\n"
        "    print('refused')\n"
    )
    folder, refused = tmp_path / "run", tmp_path / "refused"
    folder.mkdir()
    refused.mkdir()
    write_lock(folder, process_start="1")
    arguments = [sys.executable, "-c", program, str(folder), str(refused)]
    tries = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = sorted(process.communicate()[0].strip() for process in tries)
    assert said.count("held") == 1, said
