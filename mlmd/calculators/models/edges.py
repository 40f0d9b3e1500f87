"""Pairs of near atoms of many structures at once, in one order that depends on the atoms alone.

On a CPU pymatgen's search is the fastest of the well-kept ones (100 atoms within 6 A: 0.19 ms,
vesin 0.32, matscipy 1.8, of some 80 ms of a model). On a GPU, where launching a kernel for each
structure would cost more than the search, all distances of a batch are formed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.errors import InputError
from mlmd.periodic.cell import cell_heights

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray

ITSELF_A = 1e-8
"""An atom is no neighbour of itself, but of its images."""
MARGIN_A = 1e-6
"""Beyond the cutoff: searches round, and may find an edge there without its reverse."""
MOST_DENSE = 1500
"""Atoms of a structure up to which a GPU forms all its distances."""
PAIRS_AT_ONCE = 2**24
"""Distances that are formed together, 24 bytes each."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Directed edges of a batch, sorted by structure, first atom, second atom and image.

    Attributes
    ----------
    first, second : (edges,) tensors of int64
        Atoms, counted through the batch.
    vector_A : (edges, 3) tensor of float64
        From the image of the second atom to the first.
    distance_A : (edges,) tensor of float64
    bond : (edges,) tensor of int64
        The undirected edge that this one and its reverse belong to.
    edge_of_bond : (bonds,) tensor of int64
        The first of the two.
    structure : (atoms,) tensor of int64
        Which structure an atom is of.
    n_edges : list of int
        Of each structure.
    """

    first: Any
    second: Any
    vector_A: Any
    distance_A: Any
    bond: Any
    edge_of_bond: Any
    structure: Any
    n_edges: list[int]

    def angles(self, cutoff_A: float) -> tuple[Any, Any]:
        """Return all ordered pairs of different edges, below a cutoff, that begin at one atom."""
        import torch

        near = torch.nonzero(self.distance_A < cutoff_A).flatten()
        centre = self.first[near]
        partners = torch.bincount(centre, minlength=len(self.structure))
        begins = torch.cumsum(partners, 0) - partners
        each = partners[centre]
        one = torch.repeat_interleave(torch.arange(len(near), device=near.device), each)
        rank = torch.arange(len(one), device=near.device) - (torch.cumsum(each, 0) - each)[one]
        other = begins[centre[one]] + rank
        differ = torch.nonzero(one != other).flatten()
        return near[one[differ]], near[other[differ]]


def edges_of(structures: Sequence[Atoms], cutoff_A: float, device: Any) -> Edges:
    """Find all pairs closer than a cutoff.

    Parameters
    ----------
    structures
        Any cell and boundaries; positions wrapped or not.
    cutoff_A
        In angstrom.
    device
        torch device that the search runs on, and that the tensors are on.
    """
    import torch

    cells = [_whole_cell(atoms) for atoms in structures]
    wrapped = [_wrapped(atoms, cell) for atoms, cell in zip(structures, cells, strict=True)]
    counts = torch.tensor([len(atoms) for atoms in structures])
    starts = (torch.cumsum(counts, 0) - counts).tolist()
    found = []
    dense = _forms_all_distances(device)
    small = [k for k, atoms in enumerate(structures) if dense and len(atoms) <= MOST_DENSE]
    reach_A = cutoff_A + MARGIN_A
    for chosen in _chunks(structures, cells, small, reach_A):
        found += _all_distances(structures, wrapped, cells, starts, chosen, reach_A, device)
    for k in sorted(set(range(len(structures))) - set(small)):
        found.append(_searched(structures[k], wrapped[k], cells[k], starts[k], reach_A, device))
    positions = torch.from_numpy(np.concatenate(wrapped)).to(device)
    all_cells = torch.from_numpy(np.stack(cells)).to(device)
    structure = torch.repeat_interleave(torch.arange(len(structures)), counts).to(device)
    first, second, image = (torch.cat(parts) for parts in zip(*found, strict=True))
    shift = torch.einsum("ek,ekl->el", image.double(), all_cells[structure[first]])
    vector = positions[first] - positions[second] - shift
    # These are the same to the last bit for an edge and its reverse: both are in or both are out.
    distance = torch.linalg.norm(vector, dim=1)
    near = torch.nonzero(distance < cutoff_A).flatten()
    first, second, image = first[near], second[near], image[near]
    order, reverse = _in_order(first, second, image, len(positions))
    place = torch.arange(len(order), device=order.device)
    edge_of_bond = torch.nonzero(place < reverse).flatten()
    bond = torch.empty_like(place)
    bond[edge_of_bond] = torch.arange(len(edge_of_bond), device=order.device)
    bond[reverse[edge_of_bond]] = bond[edge_of_bond]
    first, second, near = first[order], second[order], near[order]
    n_edges = torch.bincount(structure[first], minlength=len(structures)).tolist()
    return Edges(
        first, second, vector[near], distance[near], bond, edge_of_bond, structure, n_edges
    )


def _whole_cell(atoms: Atoms) -> FloatArray:
    """Return the cell (3, 3); where vectors are missing some are made up, which are not used."""
    from ase.geometry import complete_cell

    cell = atoms.cell.array
    if atoms.cell.rank < 3:
        if (atoms.pbc & ~cell.any(axis=1)).any():
            raise InputError(
                f"{atoms.get_chemical_formula()} is periodic (pbc {atoms.pbc.tolist()}) where its "
                "cell has no vector; set atoms.cell, or atoms.pbc = False there"
            )
        cell = complete_cell(cell)
    whole: FloatArray = np.array(cell, dtype=float, order="C")  # as the search has to have it
    return whole


def _forms_all_distances(device: Any) -> bool:
    """Tell whether that is faster than searching, structure by structure."""
    import torch

    return bool(torch.device(device).type == "cuda")


def _wrapped(atoms: Atoms, cell: FloatArray) -> FloatArray:
    """Return positions within the cell, where it is periodic: far ones are less precise."""
    turns = np.floor(np.linalg.solve(cell.T, atoms.positions.T).T) * atoms.pbc
    positions: FloatArray = np.ascontiguousarray(atoms.positions - turns @ cell)
    return positions


def _searched(
    atoms: Atoms, wrapped: FloatArray, cell: FloatArray, start: int, cutoff_A: float, device: Any
) -> tuple[Any, Any, Any]:
    """Return first atoms, second atoms and images (edges, 3) of one structure."""
    import torch
    from pymatgen.optimization.neighbors import find_points_in_spheres

    periodic = np.array(atoms.pbc, dtype=np.int64)
    how: dict[str, Any] = {"r": float(cutoff_A), "pbc": periodic, "lattice": cell, "tol": ITSELF_A}
    search: Any = find_points_in_spheres
    first, second, image, distance = search(wrapped, wrapped, **how)
    real = (distance > ITSELF_A) | (first != second)
    return (
        torch.from_numpy(first[real] + start).to(device),
        torch.from_numpy(second[real] + start).to(device),
        torch.from_numpy(np.rint(image[real]).astype(np.int64)).to(device),
    )


def _images(atoms: Atoms, cell: FloatArray, cutoff_A: float) -> FloatArray:
    """Return the images (images, 3) within a cutoff of a cell whose atoms are wrapped."""
    return _box(*(np.ceil(cutoff_A / cell_heights(cell)).astype(int) * atoms.pbc).tolist())


@lru_cache(maxsize=64)
def _box(*reach: int) -> FloatArray:
    """Return all whole numbers (images, 3) from -n to n; kept, since of most cells they are few."""
    ranges = [np.arange(-n, n + 1) for n in reach]
    images: FloatArray = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).astype(float)
    return images.reshape(-1, 3)


def _chunks(
    structures: Sequence[Atoms], cells: list[FloatArray], chosen: list[int], cutoff_A: float
) -> Iterator[list[int]]:
    """Yield structures whose distances, padded to the largest of them, fit into memory."""
    chunk: list[int] = []
    atoms = images = 0
    for k in chosen:
        n_images = len(_images(structures[k], cells[k], cutoff_A))
        wider = max(atoms, len(structures[k])), max(images, n_images)
        if chunk and (len(chunk) + 1) * wider[0] ** 2 * wider[1] > PAIRS_AT_ONCE:
            yield chunk
            chunk, wider = [], (len(structures[k]), n_images)
        chunk.append(k)
        atoms, images = wider
    if chunk:
        yield chunk


def _all_distances(
    structures: Sequence[Atoms],
    wrapped: list[FloatArray],
    cells: list[FloatArray],
    starts: list[int],
    chosen: list[int],
    cutoff_A: float,
    device: Any,
) -> list[tuple[Any, Any, Any]]:
    """Return the edges of several structures, from every distance between their atoms."""
    import torch

    images = [_images(structures[k], cells[k], cutoff_A) for k in chosen]
    n_atoms = max(len(wrapped[k]) for k in chosen)
    n_images = max(map(len, images))
    # What only pads is at no place: no distance from it is below the cutoff.
    places = np.full((len(chosen), n_atoms, 3), np.nan)
    offsets = np.full((len(chosen), n_images, 3), np.nan)
    for row, k in enumerate(chosen):
        places[row, : len(wrapped[k])] = wrapped[k]
        offsets[row, : len(images[row])] = images[row]
    place, offset = (torch.from_numpy(array).to(device) for array in (places, offsets))
    cell = torch.from_numpy(np.stack([cells[k] for k in chosen])).to(device)
    shift = offset @ cell
    squared = place.new_zeros((len(chosen), n_images, n_atoms, n_atoms))
    for axis in range(3):
        there = place[:, None, None, :, axis] + shift[:, :, None, None, axis]
        squared += (place[:, None, :, None, axis] - there) ** 2
    near = squared < cutoff_A**2
    near.diagonal(dim1=2, dim2=3).logical_and_((offset != 0).any(2)[:, :, None])
    row, image, first, second = torch.nonzero(near, as_tuple=True)
    start = torch.tensor([starts[k] for k in chosen], device=first.device)[row]
    return [(first + start, second + start, offset[row, image].long())]


def _in_order(first: Any, second: Any, image: Any, n_atoms: int) -> tuple[Any, Any]:
    """Return the order of edges that is sorted, and the place in it of the reverse of each."""
    import torch

    largest = image.abs().max() if len(image) else 0
    width = 2 * largest + 1

    def key(i: Any, j: Any, towards: Any) -> Any:
        x, y, z = (towards + largest).unbind(1)
        return (((i * n_atoms + j) * width + x) * width + y) * width + z

    keys, order = torch.sort(key(first, second, image))
    return order, torch.searchsorted(keys, key(second, first, -image)[order])
