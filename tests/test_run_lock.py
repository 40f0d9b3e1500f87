"""One process at a time, and no lock outlives its process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlmd.errors import RunLockedError, StoppedError
from mlmd.run.lock import RunLock, read_owner, this_process


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


def test_lock_of_an_earlier_boot_is_taken_over(tmp_path: Path) -> None:
    write_lock(tmp_path, boot_id="before")
    with RunLock(tmp_path):
        pass


def test_lock_cut_short_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"host": "somewh')
    with RunLock(tmp_path):
        pass


def test_other_host_with_a_growing_heartbeat_is_refused(tmp_path: Path) -> None:
    write_lock(tmp_path, host="elsewhere", pid=17)
    ended = threading.Event()

    def beat() -> None:
        count = 0
        while not ended.wait(0.05):
            count += 1
            (tmp_path / "heartbeat").write_text(f"another {count}")

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with pytest.raises(RunLockedError, match="process 17 on elsewhere"):
            RunLock(tmp_path, patience_s=2.0).__enter__()
    finally:
        ended.set()
        beating.join()


def test_other_host_whose_heartbeat_stands_still_is_taken_over(tmp_path: Path) -> None:
    write_lock(tmp_path, host="elsewhere", pid=17)
    (tmp_path / "heartbeat").write_text("another 4")
    with RunLock(tmp_path, patience_s=0.4):
        pass


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
    write_lock(folder, boot_id="before")
    arguments = [sys.executable, "-c", program, str(folder), str(refused)]
    tries = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    said = sorted(process.communicate()[0].strip() for process in tries)
    assert said.count("held") == 1, said
