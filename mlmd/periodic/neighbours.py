"""Neighbours of every atom within a distance, with their vectors, frame after frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.images import pair_images
from mlmd.periodic.pair_counts import fractional_coordinates, squared_lengths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmd.arrays import FloatArray, IntArray


# Pairs that are formed at once; their vectors stay in the cache.
_CHUNK_PAIRS = 40_000


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Neighbours of some atoms in one frame or a few.

    Attributes
    ----------
    frame, centre, neighbour : (n,)
        Frame and indices of the two atoms; sorted by frame, then by centre.
    vector_A : (n, 3)
        From the centre to the neighbour's image, in angstrom.
    """

    frame: IntArray
    centre: IntArray
    neighbour: IntArray
    vector_A: FloatArray


def neighbours_within(
    positions_A: FloatArray,
    cells_A: FloatArray,
    cutoff_A: float,
    centres: IntArray,
    others: IntArray,
) -> Iterator[Neighbours]:
    """Give the neighbours at less than a distance, with every periodic image.

    An atom is not its own neighbour, but its images are.

    Parameters
    ----------
    positions_A : (frames, atoms, 3)
        Finite positions in angstrom.
    cells_A : (3, 3) or (frames, 3, 3)
        Cell vectors as rows, in angstrom, of cells with a volume.
    cutoff_A
        Distance in angstrom, which may exceed the cell.
    centres, others : (n,), (m,)
        Indices of the atoms whose neighbours are given, and of what may be one.

    Yields
    ------
    Neighbours
        Of a few frames, or of a few centres of one frame.
    """
    cells_A = np.broadcast_to(cells_A, (len(positions_A), 3, 3))
    frames_at_once = max(1, _CHUNK_PAIRS // (len(centres) * len(others)))
    centres_at_once = len(centres) if frames_at_once > 1 else max(1, _CHUNK_PAIRS // len(others))
    for start in range(0, len(positions_A), frames_at_once):
        part = slice(start, start + frames_at_once)
        cells = cells_A[part]
        images = pair_images(cells, cutoff_A)
        x = fractional_coordinates(positions_A[part], cells).transpose(2, 0, 1)
        to = np.ascontiguousarray(x[:, :, None, others])
        for low in range(0, len(centres), centres_at_once):
            some = centres[low : low + centres_at_once]
            difference = to - x[:, :, some, None]
            difference -= np.rint(difference)
            yield _near(difference, cells, images, cutoff_A, start, some, others)


def _near(
    difference: FloatArray,
    cells_A: FloatArray,
    images: IntArray,
    cutoff_A: float,
    start: int,
    centres: IntArray,
    others: IntArray,
) -> Neighbours:
    """Pick the near ones of fractional differences (3, frames, centres, others)."""
    metric = np.moveaxis(cells_A @ cells_A.transpose(0, 2, 1), 0, -1)[..., None, None]
    squared, work = np.empty(difference.shape[1:]), np.empty(difference.shape[1:])
    found: list[tuple[IntArray, ...]] = []
    picked: list[FloatArray] = []
    for image in images:
        squared_lengths(difference, image, metric, squared, work)
        near = squared < cutoff_A**2
        if not image.any():
            near &= centres[:, None] != others
        places = np.nonzero(near)
        fractional = difference[:, near].T + image
        found.append(places)
        picked.append(np.einsum("nk,nkl->nl", fractional, cells_A[places[0]]))
    frame, i, j = (np.concatenate(each) for each in zip(*found, strict=True))
    vectors = np.concatenate(picked)
    if len(images) > 1:
        order = np.argsort(frame * len(centres) + i, kind="stable")
        frame, i, j, vectors = frame[order], i[order], j[order], vectors[order]
    return Neighbours(frame + start, centres[i], others[j], vectors)
