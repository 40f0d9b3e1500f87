"""Real models so small that they are trained when a test needs them, on Lennard-Jones labels.

They know Li and Cl within some 10 % of the forces of :data:`TRUTH`; that is enough to tell a
wrong sign, unit or order of atoms. Run as a program, it trains MACE in the environment of MACE:
``python tiny_models.py LABELS.extxyz OUT.model``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

SYMBOLS = ("Li", "Cl")
CUTOFF_A = 4.5
TRUTH = {"sigma": 2.35, "epsilon": 0.15, "rc": CUTOFF_A, "ro": 3.5, "smooth": True}
"""What ASE's Lennard-Jones, which allows small cells, made the labels with (eV, angstrom)."""


def salt(a_A: float = 5.13, rattle_A: float = 0.1, seed: int = 2) -> Atoms:
    """Eight rattled atoms of rock salt LiCl in a cell sheared by a few per cent."""
    atoms = bulk("LiCl", "rocksalt", a=a_A, cubic=True)
    rng = np.random.default_rng(seed)
    strain = np.eye(3) + rng.normal(scale=0.03, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.positions += rng.normal(scale=rattle_A, size=(len(atoms), 3))
    return atoms


def labelled(number: int = 24) -> list[Atoms]:
    """Compressed, relaxed and stretched cells with energies (eV) and forces (eV/angstrom)."""
    truth = LennardJones(**TRUTH)
    made = []
    for seed, a_A in enumerate(np.linspace(4.9, 5.7, number)):
        atoms = salt(a_A, seed=seed)
        atoms.calc = truth
        energy_eV, forces_eV_A = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy_eV, forces=forces_eV_A)
        made.append(atoms)
    return made


def m3gnet(folder: Path, steps: int = 120) -> Path:
    """Train an M3GNet of matgl and save it in `folder`, as matgl does."""
    import torch
    from matgl.apps.pes import Potential
    from matgl.ext.ase import Atoms2Graph
    from matgl.models import M3GNet
    from torch_geometric.data import Batch

    torch.manual_seed(0)
    model = M3GNet(
        element_types=SYMBOLS,
        is_intensive=False,
        nblocks=1,
        units=16,
        dim_node_embedding=16,
        dim_edge_embedding=16,
        cutoff=CUTOFF_A,
        threebody_cutoff=3.0,
    )
    frames = labelled()
    mean_eV = np.mean([atoms.get_potential_energy() / len(atoms) for atoms in frames])
    potential = Potential(model, element_refs=np.full(len(SYMBOLS), mean_eV))
    convert = Atoms2Graph(SYMBOLS, CUTOFF_A).get_graph
    graphs, cells, _ = zip(*[convert(atoms) for atoms in frames], strict=True)
    batch, cells = Batch.from_data_list(list(graphs)), torch.cat(cells)
    optimizer = torch.optim.Adam(potential.parameters(), lr=0.01)
    sizes = torch.tensor([len(atoms) for atoms in frames])
    energies, forces = (_tensor(torch, frames, what) for what in ("energy", "forces"))
    for _ in range(steps):
        guessed_energies, guessed_forces, *_ = potential(batch, cells, None)
        loss = ((guessed_energies - energies) / sizes).square().mean() * 10
        loss = loss + (guessed_forces - forces).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    potential.save(folder)
    return folder


def mace(file: Path, python: str) -> Path:
    """Train a MACE in its environment, whose interpreter is `python`, and save it as `file`."""
    from ase.io import write

    labels = file.with_suffix(".extxyz")
    write(labels, labelled())
    done = subprocess.run(
        [python, __file__, str(labels), str(file)],
        env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return file


def _train_mace(labels: Path, file: Path, steps: int = 80) -> None:
    """Train a MACE of one interaction in single precision; runs in the environment of MACE."""
    import torch
    from ase.io import read
    from mace import data, modules
    from mace.tools import AtomicNumberTable, torch_geometric

    torch.manual_seed(0)
    # After mace, which has torch load what this package loads when it is imported.
    from e3nn import o3

    frames = read(labels, ":")
    numbers = AtomicNumberTable(sorted({int(z) for atoms in frames for z in atoms.numbers}))
    graphs = [
        data.AtomicData.from_config(data.config_from_atoms(a), z_table=numbers, cutoff=CUTOFF_A)
        for a in frames
    ]
    mean_eV = np.mean([atoms.get_potential_energy() / len(atoms) for atoms in frames])
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    model = modules.ScaleShiftMACE(
        r_max=CUTOFF_A,
        num_bessel=6,
        num_polynomial_cutoff=5,
        max_ell=1,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=1,
        num_elements=len(numbers),
        hidden_irreps=o3.Irreps("8x0e"),
        MLP_irreps=o3.Irreps("8x0e"),
        atomic_energies=np.full(len(numbers), mean_eV),
        avg_num_neighbors=float(
            np.mean([g.edge_index.shape[1] / len(g.positions) for g in graphs])
        ),
        atomic_numbers=numbers.zs,
        correlation=1,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=1.0,
        atomic_inter_shift=0.0,
    )
    batch = torch_geometric.Batch.from_data_list(graphs).to_dict()
    energies, forces = (_tensor(torch, frames, what) for what in ("energy", "forces"))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        out = model(batch, training=True)
        loss = ((out["energy"] - energies) / len(frames[0])).square().mean() * 10
        loss = loss + (out["forces"] - forces).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(model, file)


def _tensor(torch, frames: list[Atoms], what: str):
    """Return the labels of all frames, one after another, in single precision."""
    values = [np.atleast_1d(atoms.calc.results[what]) for atoms in frames]
    return torch.tensor(np.concatenate(values), dtype=torch.float32)


if __name__ == "__main__":
    _train_mace(Path(sys.argv[1]), Path(sys.argv[2]))
