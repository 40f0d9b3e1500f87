"""Runs a small protocol again and again, with a fault at its n-th file operation each time.

A program of its own: ``python faults.py FOLDER MODE LEVEL CASES`` prints one JSON object. It
imports everything once and forks for each case. With LEVEL ``system`` the operations are those
of the C library (`faults.c` is preloaded, so that HDF5's own writes count), with ``python``
those of Python's ``os`` and of h5py. The modes: ``kill``; ``torn``, a kill half way through a
write; ``error``, one operation finds no space, even one that needs none; ``full``, from one
operation on nothing can grow; ``disk``, a real file system with too little space or too few
files, which needs the right to mount.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from runs import assert_equal_bits

import mlmd.dynamics.bussi
import mlmd.dynamics.nose_hoover
import mlmd.stages.context
import mlmd.stages.dynamics.frames
from mlmd import CalculatorSpec, Protocol, Run
from mlmd.errors import DiskFullError
from mlmd.protocol.settings import RunSettings

MODES = {"count": 0, "kill": 1, "torn": 2, "error": 3, "full": 4}
FINISHED, DISK_FULL, BROKEN = 0, 3, 5

PROTOCOL = {
    "schema": 1,
    "name": "tiny",
    "stages": [
        {"name": "relax", "class": "Relax", "max_force_eV_A": 1e-4, "max_steps": 2},
        {
            "name": "melt",
            "class": "Equilibrate",
            "temperature_K": 1500,
            "duration_ps": 0.006,
            "record_every_fs": 2,
        },
        {
            "name": "production",
            "class": "Production",
            "temperature_K": 500,
            "duration_ps": 0.004,
            "record_every_fs": 4,
            "record_velocities": True,
        },
    ],
}


class SystemFaults:
    """Faults in the C library; see `faults.c`."""

    def __init__(self) -> None:
        library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self.arm: Callable[[int, int], None] = library.fault_arm
        self.count: Callable[[], int] = library.fault_count


class PythonFaults:
    """Faults in what Python's ``os`` and h5py offer, where there is no C compiler."""

    def __init__(self) -> None:
        self._at = self._count = self._mode = 0
        opening = os.open
        names = ("replace", "rename", "link", "fsync", "open", "write", "mkdir", "posix_fallocate")
        for name in names:
            setattr(os, name, self._wrapped(getattr(os, name), opening))
        h5py.Dataset.resize = self._wrapped(h5py.Dataset.resize)
        h5py.Dataset.__setitem__ = self._wrapped(h5py.Dataset.__setitem__)
        h5py.File.flush = self._wrapped(h5py.File.flush)
        h5py.File.close = self._wrapped(h5py.File.close)

    def arm(self, at: int, mode: int) -> None:
        self._at, self._mode, self._count = at, mode, 0

    def count(self) -> int:
        return self._count

    def _wrapped(self, honest: Callable[..., Any], opening: Any = None) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if honest is opening and not args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return honest(*args, **kwargs)  # a full disk can be read
            self._count += 1
            if self._at > 0 and self._mode == MODES["kill"] and self._count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)
            once = self._mode == MODES["error"] and self._count == self._at
            if once or (self._mode == MODES["full"] and 0 < self._at <= self._count):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return honest(*args, **kwargs)

        return counted


def atoms() -> Atoms:
    """Eight atoms: little to compute, little to write."""
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3), -1).reshape(-1, 3)
    positions = 3.2 * grid + np.random.default_rng(1).normal(0, 0.25, (8, 3))
    return Atoms("Li4Cl4", positions=positions, cell=[6.4] * 3, pbc=True)


def run(folder: Path) -> Run:
    """Run the protocol with a checkpoint at every step."""
    calculator = CalculatorSpec("lj", options={"cutoff_A": 3.2})
    settings = RunSettings(checkpoint_every_s=1e-9)
    return Protocol.from_dict(PROTOCOL).run(atoms(), calculator, folder, seed=4, settings=settings)


def in_a_fork(work: Callable[[], Any]) -> tuple[int, str]:
    """Do `work` in a child that ends like a program does; return its status and its errors."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code, said = FINISHED, ""
        try:
            work()
        except DiskFullError:
            code = DISK_FULL
        except BaseException:
            code, said = BROKEN, traceback.format_exc()
        fault.arm(0, 0)
        os.write(write, said.encode()[-4000:])
        sys.exit(code)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status, said


def vouched_step(folder: Path) -> dict[str, int]:
    """Return the step of the newest checkpoint of each stage."""
    steps = {}
    for path in folder.glob("*/checkpoint.npz"):
        with np.load(path) as checkpoint:
            steps[path.parent.name] = json.loads(str(checkpoint["plain"]))["nsteps"]
    return steps


def resumed(folder: Path) -> None:
    """Go on, and see that no force is computed that a checkpoint already holds."""
    from mlmd.dynamics.restartable import RestartableDynamics

    before = vouched_step(folder)
    honest = RestartableDynamics.step

    def step(dynamics: RestartableDynamics) -> None:
        stage = "02-melt" if type(dynamics).__name__ == "Bussi" else "03-production"
        assert dynamics.nsteps >= before.get(stage, 0), f"{stage}: done again"
        honest(dynamics)

    RestartableDynamics.step = step  # type: ignore[method-assign]
    run(folder)


def problems(folder: Path, mode: str, number: int) -> Iterator[str]:
    """Do one case; say what is wrong with it."""

    def faulty() -> None:
        fault.arm(number, MODES[mode])
        run(folder)

    status, said = in_a_fork(faulty)
    expected = (-signal.SIGKILL, FINISHED) if mode in ("kill", "torn") else (FINISHED, DISK_FULL)
    if status not in expected:
        yield f"ended with {status}: {said}"
    yield from failed_stages(folder)
    yield from problems_of_going_on(folder)


def failed_stages(folder: Path) -> Iterator[str]:
    """Say which stages are noted as failed: a fault of the disk is none of theirs."""
    if (folder / "run.json").exists():
        for entry in Run.open(folder).stages:
            if entry.status == "failed":
                yield f"stage {entry.name} is failed: {entry.error}"
    if (folder / "log.jsonl").exists():
        for line in (folder / "log.jsonl").read_text().splitlines():
            json.loads(line)


def problems_of_going_on(folder: Path) -> Iterator[str]:
    """Give the same command again; say what is wrong with that."""
    was_done = (folder / "run.json").exists() and Run.open(folder).status == "done"
    status, said = in_a_fork(lambda: resumed(folder))
    if status != FINISHED:
        yield f"does not go on: {status} {said}"
        return
    try:
        assert_equal_bits(Run.open(whole), Run.open(folder))
    except AssertionError as error:
        yield f"other bits: {error}"
    left = [item.name for item in folder.rglob("*") if "partial" in item.name]
    left += [item.name for item in folder.rglob("*damaged*")]
    if not was_done:  # nothing is touched then, not even the lock of the one that was killed
        left += [name for name in ("lock", "heartbeat") if (folder / name).exists()]
    if left:
        yield f"left behind: {left}"


def small_disk_problems(disk: Path, limit: str) -> Iterator[str]:
    """Run on a file system that is too small, then on the same one when it has grown."""
    disk.mkdir()
    parent = os.getpid()
    subprocess.run(["mount", "-t", "tmpfs", "-o", limit, "tmpfs", str(disk)], check=True)
    try:
        status, said = in_a_fork(lambda: run(disk / "run"))
        if status != DISK_FULL:
            yield f"ended with {status}: {said}"
        yield from failed_stages(disk / "run")
        grown = "remount,size=64m,nr_inodes=1000"
        subprocess.run(["mount", "-o", grown, str(disk)], check=True)
        yield from problems_of_going_on(disk / "run")
    finally:
        if os.getpid() == parent:  # a fork comes by here on its way out
            subprocess.run(["umount", "-l", str(disk)], check=True)


def main(mode: str, cases: int) -> None:
    """Try `cases` of the operations of a whole run, evenly spread."""
    mlmd.stages.context.REPORT_INTERVAL_S = 0.0
    fault.arm(0, MODES["count"])
    run(whole)
    total = fault.count()
    found, tried = {}, 0
    if mode == "disk":
        needed_kB = sum(path.stat().st_blocks for path in whole.rglob("*")) // 2
        sizes_kB = np.linspace(4, 0.9 * needed_kB, cases // 2).astype(int) // 4 * 4
        limits = [f"size={size}k" for size in sizes_kB]
        limits += [f"size=64m,nr_inodes={n}" for n in range(1, 15)][: cases - len(limits)]
        for limit in limits:
            tried += 1
            if wrong := list(small_disk_problems(whole.parent / f"disk-{tried}", limit)):
                found[limit] = wrong
    else:
        for number in sorted({round(n) for n in np.linspace(1, total, cases)}):
            folder = whole.parent / f"{mode}-{number}"
            tried += 1
            if wrong := list(problems(folder, mode, number)):
                found[str(number)] = wrong
            else:
                shutil.rmtree(folder)
    sys.stdout.write(json.dumps({"operations": total, "tried": tried, "problems": found}))


if __name__ == "__main__":
    fault = SystemFaults() if sys.argv[3] == "system" else PythonFaults()
    whole = Path(sys.argv[1]) / "whole"
    main(sys.argv[2], int(sys.argv[4]))
