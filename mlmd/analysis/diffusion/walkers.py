"""Positions of the atoms that are measured, without the drift, a few frames at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.diffusion.drift import drift_A
from mlmd.checks import listed, whole_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.analysis.diffusion.drift import Drift
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Walkers:
    """The diffusing atoms of a trajectory, which may be mapped from a file.

    Attributes
    ----------
    positions_A : (frames, atoms, 3)
        Unwrapped positions of all atoms.
    atoms : (n,)
        Indices of those that are measured.
    offset_A : (frames, 3) or None
        Drift that is subtracted.
    """

    positions_A: FloatArray
    atoms: IntArray
    offset_A: FloatArray | None

    @classmethod
    def of(
        cls,
        trajectory: Trajectory,
        species: str,
        drift: Drift,
        mobile: str | None = None,
        atoms: Sequence[int] | None = None,
    ) -> Walkers:
        """Atoms of one species, all or those chosen, with the drift of the whole trajectory."""
        offset_A = drift_A(trajectory, drift, mobile or species)
        return cls(trajectory.positions_A, chosen_atoms(trajectory, species, atoms), offset_A)

    def __len__(self) -> int:
        """Return the number of frames."""
        return int(self.positions_A.shape[0])

    @property
    def n(self) -> int:
        """Number of atoms that are measured."""
        return len(self.atoms)

    def at(self, frames: IntArray) -> FloatArray:
        """Positions (len(frames), n, 3) in float64."""
        first, last = int(self.atoms[0]), int(self.atoms[-1])
        taken: FloatArray
        if last - first == self.n - 1 and (np.diff(self.atoms) == 1).all():
            taken = self.positions_A[frames, first : last + 1].astype(np.float64)  # one copy
        else:
            taken = self.positions_A[frames][:, self.atoms].astype(np.float64)
        if self.offset_A is not None:
            taken -= self.offset_A[frames, None, :]
        return taken


def checked_atoms(atoms: Sequence[int] | None) -> tuple[int, ...] | None:
    """Return indices of atoms in order, each once; None where all are meant."""
    if atoms is None:
        return None
    as_list = list(atoms) if isinstance(atoms, range | np.ndarray) else atoms
    given = listed("atoms", as_list, "indices")
    if not len(given):
        raise InputError("atoms is an empty list; expected indices from 0, or None for all atoms")
    return tuple(sorted({whole_number("an index of atoms", one, least=0) for one in given}))


def chosen_atoms(trajectory: Trajectory, species: str, atoms: Sequence[int] | None) -> IntArray:
    """Return the indices of the atoms of a species, of those that were chosen where any were.

    Raises
    ------
    InputError
        If there is no such atom.
    """
    found, chosen = trajectory.indices(species), checked_atoms(atoms)
    if chosen is None:
        return found
    if chosen[-1] >= trajectory.n_atoms:
        raise InputError(
            f"atom {chosen[-1]} was chosen of {trajectory.source}, which has "
            f"{trajectory.n_atoms}; expected indices from 0 to {trajectory.n_atoms - 1}"
        )
    found = np.intersect1d(found, chosen)
    if not len(found):
        raise InputError(
            f"none of the {len(chosen)} atoms that were chosen of {trajectory.source} is {species}"
        )
    return found
