"""The same histograms of pairs by a search tree: for cells much larger than the range."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlmd.periodic.cell import cell_heights

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.periodic.distance_bins import DistanceBins


# A pair that the tree finds costs as much as about ten of those that are merely formed.
_COST = 10.0
_FEWEST_ATOMS = 500


def tree_is_faster(n_atoms: int, cells_A: FloatArray, r_max_A: float) -> bool:
    """Whether to search pairs: only in orthorhombic cells, up to half their smallest height.

    Parameters
    ----------
    n_atoms
        Atoms in the cell.
    cells_A : (frames, 3, 3)
        Cell vectors as rows.
    r_max_A
        Range.
    """
    if n_atoms < _FEWEST_ATOMS or 2.0 * r_max_A >= float(cell_heights(cells_A).min()):
        return False
    edges = np.diagonal(cells_A, axis1=1, axis2=2)
    if np.count_nonzero(cells_A) != np.count_nonzero(edges) or (edges <= 0).any():
        return False
    share = 4.0 / 3.0 * np.pi * r_max_A**3 / float(np.prod(edges, axis=1).min())
    return share * _COST < 1.0


def tree_pair_counts(
    fractional: FloatArray, cells_A: FloatArray, groups: IntArray, bins: DistanceBins
) -> IntArray:
    """Count distances as :func:`mlmd.periodic.pair_counts.pair_counts`, frame by frame.

    Parameters
    ----------
    fractional : (frames, atoms, 3)
        Positions in units of the cell vectors, within [0, 1].
    cells_A : (frames, 3, 3)
        Cell vectors as rows, along the axes.
    groups : (atoms,)
        Group of each atom.
    bins
        The histogram.

    Returns
    -------
    (frames, groups, groups, bins)
        Counts of unordered pairs; only those with the first group at most the second are not
        zero.
    """
    from scipy.spatial import cKDTree

    n_groups = int(groups.max()) + 1
    counts = np.zeros((len(fractional), n_groups * n_groups * bins.n_bins), dtype=np.int64)
    for frame, cell in enumerate(cells_A):
        edges = np.diagonal(cell)
        # Rounding may put an atom onto the upper face, which the tree refuses.
        x = np.where(fractional[frame] < 1.0, fractional[frame], 0.0) * edges
        pairs = cKDTree(x, boxsize=edges).query_pairs(bins.r_max_A, output_type="ndarray")
        difference = x[pairs[:, 0]] - x[pairs[:, 1]]
        difference -= edges * np.rint(difference / edges)
        length = np.sqrt(np.einsum("pk,pk->p", difference, difference))
        index = (length / bins.width_A - bins.first_edge).astype(np.intp)
        inside = index < bins.n_bins
        kinds = np.sort(groups[pairs[inside]], axis=1)
        flat = (kinds[:, 0] * n_groups + kinds[:, 1]) * bins.n_bins + index[inside]
        counts[frame] = np.bincount(flat, minlength=counts.shape[1])
    return counts.reshape(len(fractional), n_groups, n_groups, bins.n_bins)
