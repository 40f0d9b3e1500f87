"""The box of a LAMMPS dump: orthogonal, restricted or general triclinic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray
    from mlmd.trajectory.text.source import TextSource


@dataclass(frozen=True)
class Box:
    """Cell vectors as rows, its corner, and which of them it is periodic along."""

    cell: FloatArray
    origin: FloatArray
    pbc: tuple[bool, bool, bool]


def read_box(source: TextSource, words: list[str]) -> Box | None:
    """Read the three lines below ``ITEM: BOX BOUNDS``, or None where the text ends.

    The bounds of a tilted box are those of the box that encloses it [1]_.

    Parameters
    ----------
    source
        Where to read.
    words
        What follows ``BOX BOUNDS``: ``xy xz yz`` or ``abc origin``, and the boundaries.

    References
    ----------
    .. [1] https://docs.lammps.org/Howto_triclinic.html
    """
    general = words[:2] == ["abc", "origin"]
    following = source.peek_line()
    # Old versions tilt a box without saying so.
    tilted = words[:3] == ["xy", "xz", "yz"] or len((following or "").split()) == 3
    table = source.read_table(3, 4 if general else 3 if tilted else 2)
    if table is None:
        return None
    if general:
        cell, origin = table[:, :3], table[:, 3]
    else:
        xy, xz, yz = table[:, 2] if tilted else np.zeros(3)
        low = table[:, 0] - [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
        high = table[:, 1] - [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
        cell, origin = np.diag(high - low), low
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
    volume = abs(float(np.linalg.det(cell)))
    if not (np.isfinite(volume) and volume > 0.0 and (general or (np.diag(cell) > 0.0).all())):
        raise source.error("a box without a volume", "low and high bounds of three edges")
    boundaries = [word for word in words if len(word) <= 2 and set(word) <= set("pfsm")]
    x, y, z = ["p" in word for word in boundaries] if len(boundaries) == 3 else [True] * 3
    return Box(cell, origin, (x, y, z))
