"""The blocks that a reader of trajectories gives, put together."""

from dataclasses import fields

import numpy as np

from mlmd.trajectory.frame_block import FrameBlock
from mlmd.trajectory.text.source import TextSource

ONCE = ("numbers", "wrapped", "masses_u", "pbc")


def read_blocks(reader, path) -> FrameBlock:
    """Read a file with one reader; what one block lacks, the whole lacks."""
    with TextSource(path) as source:
        blocks = list(reader(source))
    assert blocks, "no frame"
    for block in blocks:
        assert (block.numbers == blocks[0].numbers).all()
        assert block.wrapped is blocks[0].wrapped
    arrays = {}
    for item in fields(FrameBlock):
        parts = [getattr(block, item.name) for block in blocks]
        if item.name in ONCE:
            arrays[item.name] = parts[0]
        elif all(part is not None for part in parts):
            arrays[item.name] = np.concatenate(parts)
    return FrameBlock(**arrays)


def random_frames(seed: int, n_frames: int = 5):
    """Positions, cells, velocities and forces of interleaved species in triclinic cells.

    Atoms lie up to two cells away. Lower-triangular cells, as LAMMPS has them.
    """
    rng = np.random.default_rng(seed)
    symbols = ["Li", "P", "S", "Li", "S", "Cl", "Li", "S"]
    cell = np.diag(rng.uniform(6, 9, 3))
    cell[np.tril_indices(3, -1)] = rng.uniform(-2.5, 2.5, 3)
    cells = cell * np.linspace(1.0, 1.1, n_frames)[:, None, None]
    scaled = rng.uniform(-1.5, 1.5, (len(symbols), 3)) + np.cumsum(
        rng.normal(0, 0.05, (n_frames, len(symbols), 3)), axis=0
    )
    positions = np.einsum("fai,fij->faj", scaled, cells)
    velocities, forces = rng.normal(0, 0.02, (2, n_frames, len(symbols), 3))
    return symbols, positions, cells, velocities, forces
