"""Histograms of the distances of all pairs of atoms, with every periodic image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.images import pair_images, self_images
from mlmd.periodic.tree_pair_counts import tree_is_faster, tree_pair_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmd.arrays import FloatArray, IntArray
    from mlmd.periodic.distance_bins import DistanceBins


# Pairs of one atom in all frames of a chunk: its arrays then stay in the cache. At 100 atoms,
# 20,000 to 100,000 were within 10 %, 6,400 took twice as long.
_CHUNK_PAIRS = 40_000
# Bins that one row of pairs is sorted into at once.
_CHUNK_BINS = 20_000


def pair_counts(
    positions_A: FloatArray,
    cells_A: FloatArray,
    groups: IntArray,
    bins: DistanceBins,
    segments: IntArray,
) -> IntArray:
    """Count the distances of distinct atoms, by the groups of the two and by segments of time.

    Every unordered pair is counted once for each of its periodic images in range. The images
    of an atom itself are not among them: see :func:`self_image_counts`.

    Parameters
    ----------
    positions_A : (frames, atoms, 3)
        Positions in angstrom, in or out of the cell.
    cells_A : (3, 3) or (frames, 3, 3)
        Cell vectors as rows, in angstrom, of any shape.
    groups : (atoms,)
        Group of each atom, 0, 1, ...
    bins
        The histogram.
    segments : (frames,)
        Segment of each frame, 0, 1, ..., never falling.

    Returns
    -------
    (segments, groups, groups, bins)
        Counts; only those with the first group at most the second are not zero.

    Notes
    -----
    All pairs are formed, one atom against those after it, in chunks of frames that fit into the
    cache; frames are the fastest axis, so that rows are long also in small cells. Atoms are
    sorted by group first, which makes all pairs of two groups contiguous. Nothing is skipped
    beyond the range, so the time grows as atoms squared times images; where the range is a small
    part of a large orthorhombic cell a search tree finds the pairs instead.
    """
    frames, n_atoms = positions_A.shape[:2]
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups))
    counts = np.zeros((int(segments[-1]) + 1, len(ends), len(ends), bins.n_bins), dtype=np.int64)
    step = max(1, _CHUNK_PAIRS // n_atoms) if n_atoms < _CHUNK_PAIRS // 16 else 1
    constant = cells_A.ndim == 2
    searched = tree_is_faster(n_atoms, cells_A[None] if constant else cells_A, bins.r_max_A)
    for start in range(0, frames, step):
        part = slice(start, min(start + step, frames))
        cells = cells_A if constant else cells_A[part]
        if searched:
            fractional = fractional_coordinates(positions_A[part], cells)
            each = np.broadcast_to(cells, (len(fractional), 3, 3))
            found = tree_pair_counts(fractional, each, groups, bins)
            np.add.at(counts, segments[part], found)
            continue
        fractional = fractional_coordinates(positions_A[part][:, order], cells)
        for cut in _few_segments(segments[part], bins):
            first = int(segments[part][cut][0])
            own = segments[part][cut] - first
            _count_chunk(
                np.ascontiguousarray(fractional[cut].transpose(2, 1, 0)),
                cells if constant else cells[cut],
                ends,
                bins,
                own,
                counts[first : first + int(own[-1]) + 1],
            )
    return counts


def self_image_counts(cells_A: FloatArray, bins: DistanceBins) -> IntArray:
    """Count the non-zero lattice vectors by length, shape (frames, bins).

    They are the distances from an atom to its own images, the same for every atom.

    Parameters
    ----------
    cells_A : (frames, 3, 3)
        Cell vectors as rows, in angstrom.
    bins
        The histogram.
    """
    vectors = self_images(cells_A, bins.r_max_A) @ cells_A
    index = _bin(np.linalg.norm(vectors, axis=2), bins)
    frame, image = np.nonzero(index < bins.n_bins)
    flat = frame * bins.n_bins + index[frame, image]
    return np.bincount(flat, minlength=len(cells_A) * bins.n_bins).reshape(len(cells_A), -1)


def fractional_coordinates(positions_A: FloatArray, cells_A: FloatArray) -> FloatArray:
    """Return positions (frames, atoms, 3) in units of the cell vectors, within [0, 1]."""
    fractional: FloatArray = np.asarray(positions_A, dtype=float) @ np.linalg.inv(cells_A)
    fractional -= np.floor(fractional)
    return fractional


def _few_segments(segments: IntArray, bins: DistanceBins) -> Iterator[slice]:
    """Cut a chunk so that no part has more segments than can be sorted into at once."""
    most = max(1, _CHUNK_BINS // bins.n_bins)
    start = 0
    while start < len(segments):
        stop = int(np.searchsorted(segments, segments[start] + most))
        yield slice(start, stop)
        start = stop


def _count_chunk(
    x: FloatArray,
    cells_A: FloatArray,
    ends: IntArray,
    bins: DistanceBins,
    segments: IntArray,
    counts: IntArray,
) -> None:
    """Add the pairs of coordinates (3, atoms, frames) to counts (segments, groups, groups, bins).

    Distances are in units of the bin width throughout, so that their whole part is the bin.
    """
    n_atoms, frames = x.shape[1:]
    cells = cells_A[None] if cells_A.ndim == 2 else cells_A
    images = pair_images(cells, bins.r_max_A)
    metric = np.moveaxis(cells @ cells.transpose(0, 2, 1), 0, -1) / bins.width_A**2
    # No distance reaches the next segment's bins, so that nothing need be cut off.
    longest = (np.abs(images).max(axis=0) + 0.5) @ np.linalg.norm(cells, axis=2).max(axis=0)
    stride = int(longest / bins.width_A) + 3
    n_segments = len(counts)
    offsets = segments * float(stride) - bins.first_edge
    shifted = bool(offsets.any())
    difference = np.empty((3, n_atoms, frames))
    squared = np.empty((n_atoms, frames))
    work = np.empty((n_atoms, frames))
    index = np.empty((n_atoms, frames), dtype=np.intp)
    group = 0
    for i in range(n_atoms - 1):
        group += int(i >= ends[group])
        n = n_atoms - 1 - i
        d, r, w = difference[:, :n], squared[:n], work[:n]
        for axis in range(3):
            np.subtract(x[axis, i + 1 :], x[axis, i], out=d[axis])
            np.subtract(d[axis], np.rint(d[axis], out=w), out=d[axis])
        for image in images:
            squared_lengths(d, image, metric, r, w)
            np.sqrt(r, out=r)
            if shifted:
                np.add(r, offsets, out=r)
            np.copyto(index[:n], r, casting="unsafe")
            low = i + 1
            for other in range(group, len(ends)):
                high = int(ends[other])
                if low < high:
                    found = np.bincount(
                        index[low - i - 1 : high - i - 1].ravel(), minlength=n_segments * stride
                    ).reshape(n_segments, stride)[:, : bins.n_bins]
                    counts[:, group, other, : found.shape[1]] += found
                    low = high


def squared_lengths(
    d: FloatArray, image: IntArray, metric: FloatArray, out: FloatArray, work: FloatArray
) -> None:
    """Write the squared lengths of fractional differences plus a translation, by the metric.

    Parameters
    ----------
    d : (3, ...)
        Differences in units of the cell vectors.
    image : (3,)
        Added to them.
    metric : (3, 3, ...)
        Products of the cell vectors with each other.
    out, work : (...)
        Written to.
    """
    terms = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    for k, m in terms:
        factor = metric[k, m] * (1.0 if k == m else 2.0)
        if k != m and not factor.any():
            continue
        left = np.add(d[k], float(image[k]), out=work) if image[k] else d[k]
        right = left if k == m else d[m] + float(image[m]) if image[m] else d[m]
        if k == m == 0:
            np.multiply(left, right, out=out)
            np.multiply(out, factor, out=out)
            continue
        np.multiply(left, right, out=work)
        np.multiply(work, factor, out=work)
        np.add(out, work, out=out)
    # A skewed cell's mixed terms may leave -1e-17 for atoms on top of each other.
    np.maximum(out, 0.0, out=out)


def _bin(distances_A: FloatArray, bins: DistanceBins) -> IntArray:
    """Return the bin of each distance; at least `n_bins` for those beyond the last."""
    index: IntArray = (distances_A / bins.width_A - bins.first_edge).astype(np.intp)
    return index
