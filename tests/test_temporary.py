"""What killed processes leave in the temporary folder is cleared, and nothing else is."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlmd.temporary import OWNER, PREFIXES, TemporaryFolder, clear_leftovers

MAKE = """
import sys
from mlmd.calculators.isolation.ipi_server import IpiServer
from mlmd.calculators.isolation.process import private_folder
from mlmd.temporary import TemporaryFolder

kept = [private_folder(), TemporaryFolder("pack"), TemporaryFolder("dry-run")]
for one in kept:
    (one.path / "s").write_text("a lot")
print(*(one.path for one in kept), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty temporary folder of the system; a short name, for the sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("mlmd.temporary.SHORT_PARENT", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def made_by_another(place: Path) -> tuple[subprocess.Popen[str], list[Path]]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    made = [Path(word) for word in process.stdout.readline().split()]
    assert sorted(place.iterdir()) == sorted(made)
    return process, made


def test_a_killed_process_leaves_nothing_to_the_next(place: Path) -> None:
    process, made = made_by_another(place)
    clear_leftovers()
    assert sorted(place.iterdir()) == sorted(made)  # it lives
    process.kill()
    process.communicate()
    assert sorted(place.iterdir()) == sorted(made)
    clear_leftovers()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_a_process_that_ends_removes_its_own(place: Path, number: signal.Signals | None) -> None:
    process, _ = made_by_another(place)
    if number is not None:
        process.send_signal(number)
    process.communicate("")
    if number is None:
        assert list(place.iterdir()) == []
    clear_leftovers()
    assert list(place.iterdir()) == []


def test_many_clear_at_once(place: Path) -> None:
    for number in range(50):
        folder = TemporaryFolder(f"x{number}")
        (folder.path / "file").write_text("x")
        folder.remove.detach()
        os.close(folder._handle)
    mine = TemporaryFolder("mine")
    threads = [threading.Thread(target=clear_leftovers) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(place.iterdir()) == [mine.path]
    mine.remove()


def test_what_is_not_surely_a_leftover_stays(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / OWNER).touch()
    (other / "data").touch()
    (place / f"{PREFIXES[0]}link").symlink_to(other)
    (place / f"{PREFIXES[0]}notes.txt").write_text("mine")
    for name in (f"{PREFIXES[0]}vasp-x", "other-x"):
        (place / name).mkdir()
        (place / name / "OUTCAR").touch()
    (place / "other-x" / OWNER).touch()
    (place / f"{PREFIXES[0]}young").mkdir()
    old = place / f"{PREFIXES[0]}old"
    old.mkdir()
    os.utime(old, (1e9, 1e9))
    linked = place / f"{PREFIXES[1]}linked"
    linked.mkdir()
    (linked / OWNER).symlink_to(other / OWNER)
    before = {path for path in place.rglob("*") if path != old}
    clear_leftovers()
    assert set(place.rglob("*")) == before
    assert sorted(path.name for path in other.iterdir()) == [OWNER, "data"]


def test_another_users_folder_stays(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place / f"{PREFIXES[0]}theirs"
    folder.mkdir()
    (folder / OWNER).touch()
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    clear_leftovers()
    assert folder.exists()


def test_a_fork_that_ends_leaves_it_to_its_owner(place: Path) -> None:
    with TemporaryFolder("x") as folder:
        program = (
            "import os, sys\n"
            "from mlmd.temporary import TemporaryFolder\n"
            "folder = TemporaryFolder('y')\n"
            "if os.fork() == 0:\n"
            "    sys.exit()\n"
            "os.wait()\n"
            "assert folder.path.exists()\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True)
        assert list(place.iterdir()) == [folder]
    assert list(place.iterdir()) == []


def test_what_somebody_is_to_look_at_is_kept(place: Path) -> None:
    folder = TemporaryFolder("dry-run")
    (folder.path / "vasp.out").touch()
    folder.keep()
    folder.remove()
    clear_leftovers()
    assert [path.name for path in folder.path.iterdir()] == ["vasp.out"]
    empty = TemporaryFolder("dry-run")
    empty.keep()
    assert not empty.path.exists()


POOL = """
import multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
from mlmd.processes import end_with_parent, started_safely

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with started_safely(), ProcessPoolExecutor(1, context, end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        sys.stdin.read()
"""


def test_a_killed_caller_leaves_no_process_of_its_pool(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(POOL)
    caller = subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert caller.stdout is not None
    worker = int(caller.stdout.readline())
    caller.kill()
    caller.communicate()
    deadline = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.kill(worker, 0)
            time.sleep(0.05)
        pytest.fail("it is still there")
