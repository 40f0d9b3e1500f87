"""Groups of atoms that rotate where they are: they move far, and go nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.walkers import Walkers
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory

_FRAMES, _ATOMS = 32, 50  # that are looked at, at most: a sample tells
_REACH_A = 6.0
"""Atoms of one group are nearer than that: the far corners of a B12H12 are 5.8 A apart."""
_RIGID, _RIGID_A = 0.12, 0.35
"""A distance that varies by less than this part of how far the atom has moved (root of the mean
squares), and than this length, is kept: 0.1 to 0.3 A for bonds and edges of polyhedra at 1000 K,
where a rotation moves the atom by 1.5 A and more. That of two atoms that diffuse varies by about
what they move."""
_PARTNERS = 3
"""Atoms that keep their distance, at least: an ion that circles one or two others is in none."""
_CARRIED = 0.5  # of the squared displacement of a species, by atoms of rigid groups
_HELD = 0.5  # centres that move by less than this part of their atoms' squares stay


@dataclass(frozen=True)
class Rotation:
    """Atoms of a species that belong to groups whose shape does not change.

    Attributes
    ----------
    partner : str
        Species of the atoms at a constant distance.
    distance_A : float
        That distance.
    share : float
        Part of the squared displacement of the species that such atoms carry.
    """

    partner: str
    distance_A: float
    share: float


def rotation(trajectory: Trajectory, walkers: Walkers) -> Rotation | None:
    """Recognise groups that rotate in place; None where there are none, or they travel.

    An atom is in a group with every atom whose distance from it stays the same while it moves
    itself. The group rotates in place if its centre moves much less than its atoms.

    Parameters
    ----------
    trajectory
        What was measured.
    walkers
        The atoms of the species, with their drift.
    """
    frames = np.unique(np.linspace(0, len(trajectory) - 1, _FRAMES).astype(int))
    positions = trajectory.positions_A[frames].astype(float)
    if walkers.offset_A is not None:
        positions -= walkers.offset_A[frames, None, :]
    carried, total, found = 0.0, 0.0, []
    for atom in walkers.atoms[:: -(-walkers.n // _ATOMS)]:
        own = positions[:, atom]
        squares = _half_apart(own)
        total += squares
        partners, vectors = _near(trajectory, positions, int(atom))
        lengths = np.linalg.norm(vectors, axis=2)
        rigid = lengths.std(axis=0) < min(_RIGID * np.sqrt(squares), _RIGID_A)
        if rigid.sum() < _PARTNERS:
            continue
        # The centre of the atom and all that keep their distance from it.
        centre = own + vectors[:, rigid].sum(axis=1) / (1.0 + rigid.sum())
        if _half_apart(centre) > _HELD * squares:
            continue
        carried += squares
        nearest = int(np.argmin(np.where(rigid, lengths.mean(axis=0), np.inf)))
        found.append((int(partners[nearest]), float(lengths[:, nearest].mean())))
    if not found or carried < _CARRIED * total:
        return None
    kinds = [trajectory.symbols[partner] for partner, _ in found]
    usual = max(set(kinds), key=kinds.count)
    distances = [d for kind, (_, d) in zip(kinds, found, strict=True) if kind == usual]
    return Rotation(usual, float(np.median(distances)), carried / total)


def _half_apart(path: FloatArray) -> float:
    """Mean squared displacement over half of what is looked at."""
    half = len(path) // 2
    moved = path[half:] - path[: len(path) - half]
    return float((moved**2).sum(axis=1).mean())


def _near(trajectory: Trajectory, positions: FloatArray, atom: int) -> tuple[IntArray, FloatArray]:
    """Atoms near to one in the first frame, and the vectors (frames, n, 3) to the same images."""
    cell = trajectory.cells_A()[0]
    start = positions[0] - positions[0, atom]
    fractions = start @ np.linalg.pinv(cell)
    shift = -(np.round(fractions) * np.array(trajectory.pbc)) @ cell
    near = np.linalg.norm(start + shift, axis=1) < _REACH_A
    near[atom] = False
    partners = np.flatnonzero(near)
    return partners, positions[:, partners] - positions[:, atom, None] + shift[partners]
