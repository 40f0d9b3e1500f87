"""How many neighbours the atoms have, and how that scatters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.checks import cells_of_distances_A, check_trajectory, checked_cells_A
from mlmd.analysis.structure.blocks import first_blocks, independent_blocks, standard_error
from mlmd.analysis.structure.first_shell import first_shell
from mlmd.analysis.structure.rdf import rdf
from mlmd.checks import positive_number
from mlmd.periodic.neighbours import neighbours_within

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Coordination:
    """Coordination numbers of one species by another.

    Attributes
    ----------
    centre, neighbour : str
        Species whose neighbours are counted, and what is counted.
    cutoff_A : float
        Distance below which an atom is a neighbour.
    cutoff_from : str
        ``given`` or ``first minimum of g(r)``.
    numbers : (n,)
        Coordination numbers 0, 1, ... up to the largest that occurs.
    fraction : (n,)
        Share of the atoms, over all frames, that have each; the sum is 1.
    fraction_stderr : (n,) or None
        Standard error of that, over blocks of time; None for a single frame.
    mean, mean_stderr : float, float or None
        Mean coordination number, and its standard error.
    errors_reliable : bool
        Whether there are at least five independent blocks.
    source : str
        Where the trajectory came from.
    """

    centre: str
    neighbour: str
    cutoff_A: float
    cutoff_from: str
    numbers: IntArray
    fraction: FloatArray
    fraction_stderr: FloatArray | None
    mean: float
    mean_stderr: float | None
    errors_reliable: bool
    source: str


def coordination(
    trajectory: Trajectory, centre: str, neighbour: str, cutoff_A: float | None = None
) -> Coordination:
    """Count the neighbours of each atom in each frame.

    Parameters
    ----------
    trajectory
        Positions and cells.
    centre, neighbour
        Chemical symbols, which may be the same.
    cutoff_A
        Distance below which an atom is a neighbour; where not given, the first minimum of
        g(r) (:func:`mlmd.analysis.structure.first_shell.first_shell`).

    Raises
    ------
    InputError
        If a species is absent, g(r) has no first minimum, or the cutoff is not positive.
    """
    check_trajectory(trajectory)
    centres, others = trajectory.indices(centre), trajectory.indices(neighbour)
    given = cutoff_A is not None
    cutoff_A = checked_cutoff_A(trajectory, centre, neighbour, cutoff_A)
    column = np.zeros(trajectory.n_atoms, dtype=np.intp)
    column[centres] = np.arange(len(centres))
    counts = np.zeros((len(trajectory), len(centres)), dtype=np.uint16)
    cells_A = cells_of_distances_A(trajectory)
    for found in neighbours_within(trajectory.positions_A, cells_A, cutoff_A, centres, others):
        if len(found.frame):
            frames = slice(int(found.frame[0]), int(found.frame[-1]) + 1)
            flat = (found.frame - frames.start) * len(centres) + column[found.centre]
            part = counts[frames]
            part += np.bincount(flat, minlength=part.size).reshape(part.shape).astype(np.uint16)
    most = int(counts.max(initial=0))
    per_frame = np.array([np.bincount(row, minlength=most + 1) for row in counts])
    blocks = first_blocks(len(trajectory))
    length = int(np.bincount(blocks)[0])
    n_blocks = len(trajectory) // length
    first = per_frame[: n_blocks * length].reshape(n_blocks, length, -1).mean(axis=1)
    blocking = independent_blocks(first)
    fractions = blocking.join(first) / len(centres)
    numbers = np.arange(per_frame.shape[1])
    mean_error = standard_error(fractions @ numbers)
    return Coordination(
        centre=centre,
        neighbour=neighbour,
        cutoff_A=cutoff_A,
        cutoff_from="given" if given else "first minimum of g(r)",
        numbers=numbers,
        fraction=per_frame.mean(axis=0) / len(centres),
        fraction_stderr=standard_error(fractions),
        mean=float(counts.mean()),
        mean_stderr=None if mean_error is None else float(mean_error),
        errors_reliable=blocking.is_reliable,
        source=trajectory.source,
    )


def checked_cutoff_A(
    trajectory: Trajectory, centre: str, neighbour: str, cutoff_A: float | None
) -> float:
    """Return a cutoff: the one given, or the first minimum of g(r).

    Raises
    ------
    InputError
        If there is no first minimum, the cutoff given is not positive, or the trajectory has no
        frame or is damaged.
    """
    checked_cells_A(trajectory)
    if cutoff_A is None:
        pair = (centre, neighbour)
        return first_shell(rdf(trajectory, pairs=[pair]), centre, neighbour).minimum_A
    return positive_number("cutoff_A", cutoff_A, "A")
