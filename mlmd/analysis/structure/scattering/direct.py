"""Structure factors from the density waves of the cell itself."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.analysis.checks import check_bulk, checked_cells_A
from mlmd.analysis.structure.blocks import first_blocks, independent_blocks
from mlmd.analysis.structure.scattering.structure_factor import (
    StructureFactor,
    curve_of,
    weighted_curve,
)
from mlmd.checks import positive_number
from mlmd.errors import InputError
from mlmd.periodic.cell import cell_heights
from mlmd.periodic.pair_counts import fractional_coordinates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlmd.arrays import BoolArray, FloatArray, IntArray
    from mlmd.trajectory.trajectory import Trajectory


# All waves of one frame are held at once; 2e7 complex numbers are 320 MB.
MOST_WAVES = 20_000_000


def direct_structure_factor(
    trajectory: Trajectory, *, q_max_1_A: float = 6.0, bin_1_A: float = 0.1
) -> StructureFactor:
    r"""Structure factors at the reciprocal vectors of a constant cell, averaged over directions.

    .. math::

        c_a c_b [S_{ab}(\mathbf q) - 1] = \frac{1}{N} \langle \rho_a(\mathbf q)
        \rho_b^*(\mathbf q) \rangle - c_a \delta_{ab}, \quad
        \rho_a(\mathbf q) = \sum_{j \in a} e^{-i \mathbf q \cdot \mathbf r_j}

    No range is cut and no window is applied: the check on the route by way of g(r), and the
    better one at small q.

    Parameters
    ----------
    trajectory
        In a cell that does not change: the vectors would.
    q_max_1_A
        Largest wave number. The time grows with its third power.
    bin_1_A
        Vectors of nearly one length are averaged, in bins of this width; a value stands at the
        mean length in its bin. Empty bins are left out.

    Raises
    ------
    InputError
        If the cell changes, there is no frame, a position is not finite, or no vector or too
        many are in range.
    """
    check_bulk(trajectory, "S(q) by its reciprocal vectors")
    cell_A = checked_cells_A(trajectory)
    if cell_A.ndim == 3:
        raise InputError(
            f"the cell of {trajectory.source} changes, and its reciprocal vectors with it; use "
            "structure_factor of its g(r)"
        )
    positive_number("q_max_1_A", q_max_1_A, "1/A")
    positive_number("bin_1_A", bin_1_A, "1/A")
    most, chosen, lengths = _waves(cell_A, q_max_1_A)
    bin_of = (lengths / bin_1_A).astype(int)
    kept, bin_of = np.unique(bin_of, return_inverse=True)
    in_bin = np.bincount(bin_of).astype(float)

    species = list(trajectory.species)
    members = [trajectory.indices(symbol) for symbol in species]
    pairs = list(combinations_with_replacement(range(len(species)), 2))
    blocks = first_blocks(len(trajectory))
    frames = np.bincount(blocks)
    sums = np.zeros((len(frames), len(pairs), len(kept)))
    for frame, block in enumerate(blocks):
        x = fractional_coordinates(trajectory.positions_A[frame : frame + 1], cell_A)[0]
        waves = [_density_waves(x[atoms], most)[chosen] for atoms in members]
        for k, (a, b) in enumerate(pairs):
            product = (waves[a] * waves[b].conj()).real
            sums[block, k] += np.bincount(bin_of, weights=product, minlength=len(kept)) / in_bin
    equal = frames == frames[0]
    blocking = independent_blocks(sums[equal])
    means = sums / frames[:, None, None]
    n_atoms = trajectory.n_atoms
    fractions = {s: len(atoms) / n_atoms for s, atoms in zip(species, members, strict=True)}
    partials = {}
    for k, (a, b) in enumerate(pairs):
        c_a, c_b = fractions[species[a]], fractions[species[b]]

        def faber_ziman(
            mean: FloatArray, c_a: float = c_a, c_b: float = c_b, own: bool = a == b
        ) -> FloatArray:
            result: FloatArray = 1.0 + (mean / n_atoms - c_a * own) / (c_a * c_b)
            return result

        partials[species[a], species[b]] = curve_of(
            faber_ziman(frames @ means[:, k] / len(trajectory)),
            faber_ziman(blocking.join(means[equal][:, k])),
        )
    return StructureFactor(
        q_1_A=np.bincount(bin_of, weights=lengths) / in_bin,
        total=weighted_curve(partials, fractions, np.ones((len(species), len(kept)))),
        partials=partials,
        fractions=fractions,
        method="direct",
        q_min_1_A=float(lengths.min()),
        source=trajectory.source,
    )


def _waves(cell_A: FloatArray, q_max_1_A: float) -> tuple[IntArray, BoolArray, FloatArray]:
    """Return the largest indices, which of all in the box are in range, and their lengths.

    One of each pair of opposite vectors is taken: their waves are complex conjugates.
    """
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell_A).T
    # Planes of constant index h are 2 pi / |a| apart.
    most = np.floor(q_max_1_A / cell_heights(reciprocal) + 1e-9).astype(int)
    n_waves = float(np.prod(2.0 * most + 1.0))
    if n_waves > MOST_WAVES:
        raise InputError(
            f"a largest q of {q_max_1_A:g} 1/A means {n_waves:.1e} vectors of this cell; expected "
            f"at most {MOST_WAVES:.0e}: give a smaller q_max_1_A"
        )
    h, k, m = np.meshgrid(
        np.arange(-most[0], most[0] + 1),
        np.arange(-most[1], most[1] + 1),
        np.arange(most[2] + 1),
        indexing="ij",
    )
    lengths = np.linalg.norm(np.stack([h, k, m], axis=-1) @ reciprocal, axis=-1)
    half = (m > 0) | (k > 0) | ((k == 0) & (h > 0))
    chosen = half & (lengths <= q_max_1_A)
    if not chosen.any():
        raise InputError(
            f"no reciprocal vector of the cell is shorter than {q_max_1_A:g} 1/A; give a larger "
            "q_max_1_A"
        )
    return most, chosen, lengths[chosen]


def _density_waves(x: FloatArray, most: IntArray) -> NDArray[np.complexfloating[Any]]:
    """Return the sums over fractional coordinates (atoms, 3) of exp(-2 pi i h x), all h at once.

    A wave is the product of one along each axis, so that the sum over atoms is a product of
    matrices.
    """
    along = [
        np.exp(-2j * np.pi * x[:, axis, None] * np.arange(low, most[axis] + 1))
        for axis, low in enumerate((-most[0], -most[1], 0))
    ]
    plane = along[0][:, :, None] * along[1][:, None, :]
    waves: NDArray[np.complexfloating[Any]] = np.tensordot(plane, along[2], axes=(0, 0))
    return waves
