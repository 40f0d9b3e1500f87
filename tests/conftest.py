"""Fixtures of all tests: a small melt of Lennard-Jones atoms and ways to run it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from finished_campaign import make_campaign

from mlmd import CalculatorSpec, Protocol

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture
def atoms() -> Atoms:
    """27 atoms on a grid, far enough apart for any calculator."""
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    return Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)


@pytest.fixture
def calculator() -> CalculatorSpec:
    """Lennard-Jones: free, stateless, the same bits every time."""
    return CalculatorSpec("lj", options={"cutoff_A": 4.5})


@pytest.fixture
def protocol() -> Protocol:
    """Every kind of stage, a branch, and velocities in one of them; 650 steps."""
    return Protocol.from_dict(
        {
            "schema": 1,
            "name": "small",
            "stages": [
                {"name": "relax", "class": "Relax", "max_force_eV_A": 0.001, "max_steps": 20},
                {
                    "name": "melt",
                    "class": "Equilibrate",
                    "temperature_K": 1500,
                    "duration_ps": 0.4,
                    "record_every_fs": 4,
                },
                {
                    "name": "ramp",
                    "class": "Quench",
                    "from_temperature_K": 1500,
                    "temperature_K": 500,
                    "rate_K_ps": 5000,
                    "record_every_fs": 4,
                },
                {
                    "name": "production",
                    "class": "Production",
                    "temperature_K": 500,
                    "duration_ps": 0.4,
                    "record_every_fs": 4,
                    "record_velocities": True,
                },
                {
                    "name": "branch",
                    "class": "Quench",
                    "starts_from": "melt",
                    "temperature_K": 800,
                    "duration_ps": 0.3,
                    "record_every_fs": 4,
                },
            ],
        }
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 kB that can grow."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def six_cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a campaign that has ended; nobody changes what is beside it."""
    return make_campaign(tmp_path_factory.mktemp("six"))
