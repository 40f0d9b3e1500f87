"""The motion of the reference frame that is not diffusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.checks import choice
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import BoolArray, FloatArray
    from mlmd.trajectory.trajectory import Trajectory

Drift = Literal["cell", "framework", "none"]
"""What is held at rest: the whole cell's centre of mass, the framework's, or nothing."""

_CHUNK_FRAMES = 4096
# Pairs of frames, half a run apart, that are enough to see whether a centre moves.
_LAGS = 100
# Of the motion that the centre of independent atoms has; where it is at rest rounding is left.
_MOVES = 0.1


def check_drift(drift: str) -> None:
    """Raise InputError if the name is none of :data:`Drift`."""
    choice("drift", drift, get_args(Drift))


def never_moving(trajectory: Trajectory) -> BoolArray:
    """Return which atoms are at the same place to the last bit in every frame, shape (atoms,).

    Only atoms that were held in place are, by ``FixAtoms`` or another program's way. Where no
    atom moves at all there is nothing to tell them by: none.
    """
    positions_A, frames = trajectory.positions_A, len(trajectory)
    still = np.arange(trajectory.n_atoms)
    start, stop = 1, 2
    while start < frames and len(still):
        part = positions_A[start : min(stop, frames)][:, still]
        still = still[(part == positions_A[0, still]).all(axis=(0, 2))]
        start, stop = stop, min(2 * stop, stop + _CHUNK_FRAMES)
    if len(still) == trajectory.n_atoms:
        still = still[:0]
    held = np.zeros(trajectory.n_atoms, dtype=bool)
    held[still] = True
    return held


def settled_drift(trajectory: Trajectory, drift: Drift) -> Drift:
    """Return what drift there is to take out: none where held atoms define the frame."""
    check_drift(drift)
    return "none" if drift != "none" and never_moving(trajectory).any() else drift


def drift_A(trajectory: Trajectory, drift: Drift, mobile: str | None) -> FloatArray | None:
    """Displacement of the reference since the first frame.

    Parameters
    ----------
    trajectory
        Unwrapped positions and masses.
    drift
        "cell": mass-weighted centre of all atoms. "framework": mass-weighted centre of all
        atoms other than the mobile species. "none": no reference.
    mobile
        Symbol of the species that is not framework; needed for "framework" only.

    Returns
    -------
    (frames, 3) or None
        In angstrom; None for "none", and where atoms are held in place: what they push against
        does not keep its momentum, and they are the frame of reference.

    Raises
    ------
    InputError
        If the name is unknown, there is no framework, or the cell has one atom.

    Notes
    -----
    With the "cell" reference, N independent walkers of equal mass diffuse by 1 - 1/N less:
    their centre diffuses too, and is taken for drift. In dynamics that conserve momentum
    the centre is at rest anyway. See :func:`share_of_centre`.
    """
    drift = settled_drift(trajectory, drift)
    if drift == "none":
        return None
    masses = trajectory.masses_u
    assert masses is not None  # Trajectory fills them in
    weights = np.asarray(masses, dtype=float).copy()
    if drift == "cell" and trajectory.n_atoms == 1:
        raise InputError(
            f"{trajectory.source} has one atom: the centre of mass that is held at rest is that "
            "atom itself, which then never moves; take --drift none (drift='none')"
        )
    if drift == "framework":
        if mobile is None:
            raise InputError(
                "drift 'framework' without a mobile species was given: no framework is left; "
                "name the mobile species, or take drift 'cell'"
            )
        weights[trajectory.indices(mobile)] = 0.0
        if not weights.any():
            raise InputError(
                f"all atoms of {trajectory.source} are {mobile}: there is no framework whose "
                "drift could be removed; take drift 'cell'"
            )
    weights /= weights.sum()
    centre = np.empty((len(trajectory), 3))
    for start in range(0, len(trajectory), _CHUNK_FRAMES):  # memory-mapped files stay on disk
        part = slice(start, start + _CHUNK_FRAMES)
        centre[part] = np.einsum("fax,a->fx", trajectory.positions_A[part], weights)
    centre -= centre[0].copy()
    return centre


def share_of_centre(trajectory: Trajectory, drift: Drift) -> float:
    r"""Part of the motion of independent atoms that their own moving centre takes from them.

    .. math:: \sum_i \left(m_i \Big/ \sum_j m_j\right)^2

    with the "cell" reference, which is 1/N for N atoms of equal mass. It is 0 where another
    reference is held at rest, and where the centre hardly moves beside the atoms: then nothing is
    taken.

    Parameters
    ----------
    trajectory
        Unwrapped positions and masses.
    drift
        What is held at rest.
    """
    if len(trajectory) < 2 or settled_drift(trajectory, drift) != "cell":
        return 0.0
    masses = np.asarray(trajectory.masses_u, dtype=float)
    share = float((masses**2).sum() / masses.sum() ** 2)
    centre = drift_A(trajectory, "cell", None)
    assert centre is not None  # of the cell there is one
    half = len(trajectory) // 2
    apart = np.linspace(0, len(trajectory) - half - 1, _LAGS).astype(int)
    moved = trajectory.positions_A[apart + half] - trajectory.positions_A[apart]
    of_atoms = float((moved.astype(float) ** 2).sum(axis=2).mean())
    of_centre = float(((centre[apart + half] - centre[apart]) ** 2).sum(axis=1).mean())
    return share if of_centre > _MOVES * share * of_atoms else 0.0
