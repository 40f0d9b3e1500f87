"""A run of 20,000 atoms, from its structure to its numbers, in less than a gigabyte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MOST_KB = 10**6
RUN = """
import json, sys
from pathlib import Path
from ase.build import bulk
from mlmd import CalculatorSpec, Protocol
from mlmd.descriptors import featurize

atoms = bulk("LiCl", "rocksalt", a=5.2, cubic=True) * (14, 14, 13)
protocol = Protocol.from_dict({"schema": 1, "name": "large", "stages": [
    {"name": "production", "class": "Production", "temperature_K": 300, "duration_ps": 0.03,
     "record_every_fs": 2},
]})
options = {"sigma_A": 2.2, "epsilon_eV": 0.02, "cutoff_A": 5.0}
run = protocol.run(atoms, CalculatorSpec("lj", options=options), Path(sys.argv[1]))
trajectory = run.trajectory("production")
featurize([trajectory.part(stop=1)], "Li")
# Not getrusage: that counts what the process that started this one had.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
used = int(status["VmHWM"].split()[0])
json.dump({"atoms": len(atoms), "frames": len(trajectory), "kB": used}, sys.stdout)
"""


@pytest.mark.slow
def test_a_run_of_20000_atoms_takes_less_than_a_gigabyte(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["atoms"] == 20384
    assert result["frames"] == 16
    assert result["kB"] < MOST_KB
