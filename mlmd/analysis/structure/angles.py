"""Angles between the bonds of an atom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import cells_of_distances_A, check_trajectory
from mlmd.analysis.structure.blocks import first_blocks, independent_blocks, standard_error
from mlmd.analysis.structure.coordination import checked_cutoff_A
from mlmd.errors import InputError
from mlmd.periodic.neighbours import neighbours_within

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray, FloatArray, IntArray
    from mlmd.periodic.neighbours import Neighbours
    from mlmd.trajectory.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class BondAngles:
    r"""Distribution of the angles a-centre-b.

    Attributes
    ----------
    ends : (str, str)
        Species a and b.
    centre : str
        Species in the middle.
    cutoffs_A : (float, float)
        Length below which centre-a and centre-b are bonds.
    angle_deg : (bins,)
        Middles of the bins, in degrees.
    density_1_deg : (bins,)
        Probability density per degree; its integral over 0 to 180 degrees is 1.
    relative : (bins,)
        The same divided by that of independent directions, :math:`\tfrac12 \sin\theta`,
        which is integrated exactly over each bin: 1 for bonds that do not see each other.
    density_stderr_1_deg, relative_stderr : (bins,) or None
        Standard errors over blocks of time; None where there is one block.
    n_angles : int
        Angles counted.
    errors_reliable : bool
        Whether there are at least five independent blocks.
    source : str
        Where the trajectory came from.
    """

    ends: tuple[str, str]
    centre: str
    cutoffs_A: tuple[float, float]
    angle_deg: FloatArray
    density_1_deg: FloatArray
    relative: FloatArray
    density_stderr_1_deg: FloatArray | None
    relative_stderr: FloatArray | None
    n_angles: int
    errors_reliable: bool
    source: str


def bond_angles(
    trajectory: Trajectory,
    centre: str,
    ends: tuple[str, str],
    *,
    cutoff_A: float | tuple[float, float] | None = None,
    bin_deg: float = 2.0,
) -> BondAngles:
    """Distribution of the angles between two bonds of an atom.

    Parameters
    ----------
    trajectory
        Positions and cells.
    centre
        Species in the middle.
    ends
        Species at the two ends, which may be the same.
    cutoff_A
        Longest bond, or one for each end; where not given, the first minima of g(r).
    bin_deg
        Width of the bins, about: 180 degrees are divided evenly.

    Raises
    ------
    InputError
        If a species is absent, there is no cutoff, or no atom has two bonds.
    """
    check_trajectory(trajectory)
    if not 0 < bin_deg <= 90:
        raise InputError(f"bin_deg is {bin_deg:g}; expected an angle up to 90 degrees")
    given = cutoff_A if isinstance(cutoff_A, tuple) else (cutoff_A, cutoff_A)
    centres = trajectory.indices(centre)
    others = [trajectory.indices(end) for end in ends]
    cutoffs_A = [
        checked_cutoff_A(trajectory, centre, end, one) for end, one in zip(ends, given, strict=True)
    ]
    n_bins = round(180.0 / bin_deg)
    block_of_frame = first_blocks(len(trajectory))
    counts = np.zeros((int(block_of_frame[-1]) + 1, n_bins))
    cells_A = cells_of_distances_A(trajectory)
    for found in neighbours_within(
        trajectory.positions_A,
        cells_A,
        max(cutoffs_A),
        centres,
        np.unique(np.concatenate(others)),
    ):
        lengths_A = np.linalg.norm(found.vector_A, axis=1)
        bonds = [
            np.isin(found.neighbour, other) & (lengths_A < cutoff) & (lengths_A > 0)
            for cutoff, other in zip(cutoffs_A, others, strict=True)
        ]
        frames, cosines = _cosines(found, lengths_A, bonds[0], bonds[1], ends[0] == ends[1])
        angle = np.arccos(np.clip(cosines, -1.0, 1.0))
        index = np.minimum((angle * (n_bins / np.pi)).astype(int), n_bins - 1)
        flat = np.bincount(block_of_frame[frames] * n_bins + index, minlength=counts.size)
        counts += flat.reshape(counts.shape)
    total = float(counts.sum())
    if total == 0:
        raise InputError(
            f"no {centre} atom of {trajectory.source} has bonds to {' and '.join(ends)} shorter "
            f"than {cutoffs_A[0]:.3g} and {cutoffs_A[1]:.3g} A; give a larger cutoff_A"
        )
    edges = np.linspace(0.0, np.pi, n_bins + 1)
    isotropic = -0.5 * np.diff(np.cos(edges))
    frames_in = np.bincount(block_of_frame)
    equal = counts[frames_in == frames_in[0]]
    # Blocks over the mean count, not each over its own: a block without an angle is no error.
    blocking = independent_blocks(equal)
    blocks = blocking.join(equal)
    blocks = blocks / max(float(blocks.sum(axis=1).mean()), np.finfo(float).tiny)
    error = standard_error(blocks)
    share = counts.sum(axis=0) / total
    width = 180.0 / n_bins
    return BondAngles(
        ends=ends,
        centre=centre,
        cutoffs_A=(cutoffs_A[0], cutoffs_A[1]),
        angle_deg=(np.arange(n_bins) + 0.5) * width,
        density_1_deg=share / width,
        relative=share / isotropic,
        density_stderr_1_deg=None if error is None else error / width,
        relative_stderr=None if error is None else error / isotropic,
        n_angles=int(total),
        errors_reliable=blocking.is_reliable,
        source=trajectory.source,
    )


def _cosines(
    found: Neighbours, lengths_A: FloatArray, first: BoolArray, second: BoolArray, same: bool
) -> tuple[IntArray, FloatArray]:
    """Return frame and cosine of each angle between a first and a second bond of an atom.

    Bonds of one kind (`same`) are paired with those after them only.
    """
    starts = np.diff(found.frame, prepend=-1).astype(bool) | np.diff(
        found.centre, prepend=-1
    ).astype(bool)
    atom = np.cumsum(starts) - 1
    frames = found.frame[starts]
    directions = found.vector_A / lengths_A[:, None]
    a, has_a = _padded(directions[first], atom[first], len(frames))
    b, has_b = (a, has_a) if same else _padded(directions[second], atom[second], len(frames))
    pairs = has_a[:, :, None] & has_b[:, None, :]
    if same:
        pairs &= np.triu(np.ones(pairs.shape[1:], dtype=bool), 1)
    cosines = (a @ b.transpose(0, 2, 1))[pairs]
    return np.repeat(frames, pairs.sum(axis=(1, 2))), cosines


def _padded(vectors: FloatArray, atom: IntArray, n_atoms: int) -> tuple[FloatArray, BoolArray]:
    """Arrange vectors sorted by atom as (atoms, most, 3), and say which are there."""
    counts = np.bincount(atom, minlength=n_atoms)
    there: BoolArray = np.arange(max(1, int(counts.max(initial=0)))) < counts[:, None]
    padded = np.zeros((*there.shape, 3))
    padded[there] = vectors
    return padded, there
