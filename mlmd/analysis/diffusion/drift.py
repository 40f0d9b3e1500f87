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
        If the name is unknown, or there is no framework.

    Notes
    -----
    With the "cell" reference, N independent walkers of equal mass diffuse by 1 - 1/N less:
    their centre diffuses too, and is taken for drift. In dynamics that conserve momentum
    the centre is at rest anyway.
    """
    drift = settled_drift(trajectory, drift)
    if drift == "none":
        return None
    masses = trajectory.masses_u
    assert masses is not None  # Trajectory fills them in
    weights = np.asarray(masses, dtype=float).copy()
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
