"""A Lennard-Jones liquid that stands for ab initio dynamics, in files as programs write them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from systems import ARGON, argon

from mlmd import CalculatorSpec, Equilibrate, Production, Protocol, Trajectory
from mlmd.trajectory.export import export_trajectory

TEMPERATURE_K = 140.0
CUTOFF_A = 7.5
RIGHT = {"name": "lj", "options": {**ARGON, "cutoff_A": CUTOFF_A}}
WRONG = {
    "name": "lj",
    "options": {**ARGON, "sigma_A": 1.05 * ARGON["sigma_A"], "cutoff_A": CUTOFF_A},
}
"""The same with atoms that are 5 % too large."""


def make_reference(folder: Path, duration_ps: float, seed: int = 5) -> Trajectory:
    """Run 64 atoms and write them as ``ref.extxyz`` and, wrapped, as ``XDATCAR.gz``."""
    stage = {"temperature_K": TEMPERATURE_K, "timestep_fs": 4.0, "record_every_fs": 20.0}
    protocol = Protocol(
        name="aimd",
        stages=(
            Equilibrate(name="melt", duration_ps=3.0, **stage),
            Production(name="measure", duration_ps=duration_ps, **stage),
        ),
    )
    atoms = argon(4, temperature_K=TEMPERATURE_K, cutoff_A=CUTOFF_A)
    run = protocol.run(atoms, CalculatorSpec.of(RIGHT), folder / f"aimd-{seed}", seed=seed)
    trajectory = run.trajectory("measure")
    export_trajectory(trajectory, folder / "ref.extxyz")
    write_xdatcar(trajectory, folder / "XDATCAR.gz")
    return trajectory


def write_xdatcar(trajectory: Trajectory, path: Path) -> None:
    """Write as VASP does: scaled positions inside the cell, no times."""
    cell = trajectory.cells_A()[0]
    vectors = "\n".join(" ".join(f"{x:12.6f}" for x in row) for row in cell)
    counts = [str(len(trajectory.indices(symbol))) for symbol in trajectory.species]
    head = f"reference\n1.0\n{vectors}\n{' '.join(trajectory.species)}\n{' '.join(counts)}\n"
    lines = [head]
    for i, positions in enumerate(trajectory.positions_A, start=1):
        lines.append(f"Direct configuration= {i:5d}\n")
        scaled = (positions @ np.linalg.inv(cell)) % 1.0
        lines += [" ".join(f"{x:.8f}" for x in row) + "\n" for row in scaled]
    with gzip.open(path, "wt") as file:
        file.writelines(lines)
