"""Damaged files of every kind that is read: our own errors, soon, and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INPUTS = int(os.environ.get("MLMD_FUZZ_INPUTS", "2000"))
"""How many damaged files in all; ``MLMD_FUZZ_INPUTS=100000`` takes about an hour."""
SEED = int(os.environ.get("MLMD_FUZZ_SEED", "0"))
MOST_BYTES = 10**9
SHARES = {"trajectories": 0.5, "structures": 0.25, "tables": 0.25}


@pytest.mark.parametrize("group", SHARES)
def test_whatever_is_done_to_a_file_it_is_read_or_refused(group: str, tmp_path: Path) -> None:
    if group == "tables":
        for package in ("sklearn", "skops", "pandas", "optuna"):
            pytest.importorskip(package, reason="needs the model extra")
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    number = str(round(SHARES[group] * INPUTS))
    done = subprocess.run(
        [sys.executable, str(here / "hostile_inputs.py"), group, number, str(SEED), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    current = tmp_path / "current"
    at = current.read_text() if current.exists() else "the files themselves"
    assert done.returncode == 0, f"ended ({done.returncode}) by {at}: {done.stderr[-2000:]}"
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["wrong"] == []
    assert result["bytes"] < MOST_BYTES
    assert set(result["ended"]) == {"read", "refused"}  # both happen, or nothing was tried
