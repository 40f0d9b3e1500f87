"""A fault at every file operation: the run goes on to the same bits, or says what is the matter.

Here a few operations of each kind, evenly spread; all of them with ``MLMD_FAULTS=1000``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = os.environ.get("MLMD_FAULTS", "12")


def try_faults(folder: Path, mode: str, level: str, **environment: str) -> None:
    """Run `faults.py` and see that it found no problems."""
    (folder / "runs").mkdir()
    done = subprocess.run(
        [sys.executable, str(HERE / "faults.py"), str(folder / "runs"), mode, level, CASES],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["operations"] > 50
    assert report["tried"] >= 10
    assert report["problems"] == {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["kill", "full", "error"])
def test_fault_at_an_operation_of_python(tmp_path: Path, mode: str) -> None:
    try_faults(tmp_path, mode, "python")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["kill", "torn", "full", "error"])
def test_fault_at_an_operation_of_the_system(tmp_path: Path, mode: str) -> None:
    """As above, with the writes inside HDF5 and the C library."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and Linux's LD_PRELOAD")
    library = tmp_path / "faults.so"
    arguments = ["-shared", "-fPIC", "-o", str(library), str(HERE / "faults.c"), "-ldl"]
    subprocess.run([compiler, *arguments], check=True)
    try_faults(tmp_path, mode, "system", LD_PRELOAD=str(library))


@pytest.mark.slow
def test_disks_too_small_at_any_point(tmp_path: Path) -> None:
    """Too few blocks or too few files: full before the start, at run.json, in a trajectory."""
    (tmp_path / "try").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", str(tmp_path / "try")],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    subprocess.run(["umount", str(tmp_path / "try")], check=True)
    try_faults(tmp_path, "disk", "python")
