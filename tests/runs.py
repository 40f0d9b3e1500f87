"""Comparing runs bit by bit, and driving the command line in other processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mlmd import Run
from mlmd.run.checksums import checksum
from mlmd.run.identity import digest


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change what run.json says as mlmd itself would write it: with its checksums."""
    content = json.loads((folder / "run.json").read_text())
    change(content)
    content.pop("checksum", None)
    content["identity_sha256"] = digest(content["identity"])
    text = json.dumps(content, sort_keys=True)
    content["checksum"] = checksum(text.encode())
    (folder / "run.json").write_text(json.dumps(content))


PROTOCOL = """\
schema: 1
name: durable
stages:
  - {name: relax, class: Relax, max_force_eV_A: 0.001, max_steps: 30}
  - {name: melt, class: Equilibrate, temperature_K: 1500, duration_ps: %(melt)s, record_every_fs: 4}
  - {name: production, class: Production, temperature_K: 800, duration_ps: %(production)s,
     record_every_fs: 4, record_velocities: true}
"""


def write_protocol(path: Path, melt_ps: float, production_ps: float) -> Path:
    """Write a protocol of a given length."""
    path.write_text(PROTOCOL % {"melt": melt_ps, "production": production_ps})
    return path


def command(protocol: Path, structure: Path, out: Path, *more: str) -> list[str]:
    """Return the command line of a Lennard-Jones run."""
    return [
        sys.executable,
        "-m",
        "mlmd.cli",
        "run",
        str(protocol),
        "--structure",
        str(structure),
        "--calculator",
        "lj",
        "--calculator-option",
        "cutoff_A=4.5",
        "--out",
        str(out),
        *more,
    ]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a process with one thread and its output kept."""
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a process to its end."""
    process = start(arguments)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def recorded(run: Run) -> dict[str, np.ndarray]:
    """Return every dataset of every trajectory of a run, by stage and name."""
    data: dict[str, np.ndarray] = {}
    for entry in run.stages:
        path = run.path / entry.folder / "trajectory.h5md"
        if not path.exists():
            continue
        with h5py.File(path, "r", locking=False) as file:

            def keep(name: str, item: object, stage: str = entry.name) -> None:
                if isinstance(item, h5py.Dataset):
                    data[f"{stage}/{name}"] = item[()]

            file.visititems(keep)
    return data


def assert_equal_bits(one: Run, other: Run) -> None:
    """Assert that two runs recorded the same bits and found the same results."""
    first, second = recorded(one), recorded(other)
    assert first
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert values.dtype == second[name].dtype, name
        assert values.tobytes() == second[name].tobytes(), name
    assert one.results == other.results
