"""CHGNet asked for no more than is needed: its own layers on graphs that are made here.

Its calculator computes magnetic moments and the stress at every step, the latter by a second
backward pass. Here energies are differentiated by the vectors between atoms, once: forces and
virial are sums over these,

.. math::

    F_i = -\\sum_{e: i \\to j} g_e + \\sum_{e: j \\to i} g_e, \\quad
    V \\sigma_{ab} = \\sum_e r_{e,a} g_{e,b}, \\quad g_e = dE / dr_e,

so that the stress comes for nothing and the forces are the same bits with it and without. The
vectors are formed in double precision from wrapped positions; CHGNet forms them in single
precision, which spoils the forces on atoms that have diffused far.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mlmd.calculators.models.edges import edges_of
from mlmd.calculators.models.torch_settings import GuardedModel
from mlmd.errors import CalculatorError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.models.edges import Edges

logger = logging.getLogger(__name__)

GPA_OF_CHGNET = 160.21766208
"""Its constant, by which options such as ``stress_weight`` are meant."""


class ChgnetModel(GuardedModel):
    """CHGNet's calculator, one structure or many at once."""

    model: Any
    device: str
    stress_weight: float
    return_site_energies: bool

    _calculate_one = GuardedModel._batch_of_one

    def compute(
        self, structures: Sequence[Atoms], properties: Collection[str]
    ) -> list[dict[str, Any]]:
        """Return the results of each structure; as :meth:`calculate_many`."""
        import torch

        edges, angles = self.graphs(structures)
        self._look_at_isolated(edges)
        vector = edges.vector_A
        derived = bool({"forces", "stress"} & set(properties))
        vector.requires_grad_(derived)
        with torch.set_grad_enabled(derived):
            found = self.model._compute(
                self._graph(structures, edges, angles, vector),
                compute_magmom="magmoms" in properties,
                return_site_energies=self.return_site_energies,
            )
        counts = found["atoms_per_graph"]
        energies = found["e"] * counts if self.model.is_intensive else found["e"]
        gradient = torch.autograd.grad(energies.sum(), vector)[0] if derived else None
        results = self._energies(structures, found)
        for result, n_edges in zip(results, edges.n_edges, strict=True):
            result["num_edges"] = n_edges
        if gradient is not None:
            self._add_derivatives(results, structures, edges, vector.detach(), gradient)
        # Absent where they are not asked for: then there is nothing to go through.
        for result, value in zip(results, found.get("m", ()), strict=False):
            result["magmoms"] = value.detach().cpu().numpy()
        sites = found.get("site_energies", ())
        for result, atoms, value in zip(results, structures, sites, strict=False):
            result["energies"] = (value.detach() + self._shifts_of_sites(atoms)).cpu().numpy()
        return results

    def graphs(self, structures: Sequence[Atoms]) -> tuple[Edges, tuple[Any, Any]]:
        """Return the edges of a batch, and the pairs of them that make angles."""
        converter = self.model.graph_converter
        edges = edges_of(structures, converter.atom_graph_cutoff, self.device)
        return edges, edges.angles(converter.bond_graph_cutoff)

    def _graph(
        self, structures: Sequence[Atoms], edges: Edges, angles: tuple[Any, Any], vector: Any
    ) -> Any:
        """Return the batch as CHGNet's layers want it."""
        import torch
        from chgnet.model.model import BatchedGraph

        model = self.model
        length = torch.linalg.norm(vector, dim=1)
        direction = vector / length[:, None]
        of_bonds = length[edges.edge_of_bond]
        left, right = angles
        if len(left):
            bases = model.angle_basis_expansion(direction[left], direction[right]).float()
        else:  # as the layers know that there are none
            bases = torch.tensor([])
        numbers = [torch.from_numpy(atoms.numbers) for atoms in structures]
        return BatchedGraph(
            atomic_numbers=torch.cat(numbers).to(vector.device),
            bond_bases_ag=model.bond_basis_expansion.rbf_expansion_ag(of_bonds).float(),
            bond_bases_bg=model.bond_basis_expansion.rbf_expansion_bg(of_bonds).float(),
            angle_bases=bases,
            batched_atom_graph=torch.stack([edges.first, edges.second], dim=1),
            batched_bond_graph=torch.stack(
                [edges.first[left], edges.bond[left], edges.bond[right]], dim=1
            ),
            atom_owners=edges.structure,
            directed2undirected=edges.bond,
            atom_positions=[],
            strains=[],
            volumes=[],
        )

    def _energies(self, structures: Sequence[Atoms], found: Any) -> list[dict[str, Any]]:
        """Return energies in eV: of the graph, and of the composition."""
        results = []
        for atoms, given in zip(structures, found["e"].detach().cpu().tolist(), strict=True):
            per = len(atoms) if self.model.is_intensive else 1
            energy = (given + self._energy_of_composition(atoms)) * per
            results.append({"energy": energy, "free_energy": energy})
        return results

    def _energy_of_composition(self, atoms: Atoms) -> float:
        """Return what CHGNet adds by composition alone, as its energies are counted."""
        model = self.model.composition_model
        if model is None:
            return 0.0
        known: dict[bytes, float] = self.__dict__.setdefault("_by_composition", {})
        key = atoms.numbers.tobytes()
        if key not in known:
            known[key] = float(model([self._numbers_alone(atoms)]).detach())
        return known[key]

    def _shifts_of_sites(self, atoms: Atoms) -> Any:
        """Return the part of each atom in :meth:`_energy_of_composition`."""
        model = self.model.composition_model
        return 0.0 if model is None else model.get_site_energies([self._numbers_alone(atoms)])[0]

    def _numbers_alone(self, atoms: Atoms) -> Any:
        """Return as much of a graph of CHGNet's as its composition model looks at."""
        import torch

        return SimpleNamespace(atomic_number=torch.from_numpy(atoms.numbers).to(self.device))

    def _add_derivatives(
        self,
        results: list[dict[str, Any]],
        structures: Sequence[Atoms],
        edges: Edges,
        vector: Any,
        gradient: Any,
    ) -> None:
        """Add forces in eV/A and, where there is a volume, stress in eV/A^3."""
        import torch

        # In double precision, as the vectors are: sums of opposite numbers lose digits.
        forces = gradient.new_zeros((len(edges.structure), 3))
        forces.index_add_(0, edges.first, -gradient)
        forces.index_add_(0, edges.second, gradient)
        products = vector[:, :, None] * gradient[:, None, :]
        virial = gradient.new_zeros((len(structures), 3, 3))
        virial.index_add_(0, edges.structure[edges.first], products)
        counts = [len(atoms) for atoms in structures]
        of_each = torch.split(forces.float().cpu(), counts)
        unit = GPA_OF_CHGNET * self.stress_weight
        for result, atoms, force, one in zip(
            results, structures, of_each, virial.cpu().numpy(), strict=True
        ):
            result["forces"] = force.numpy()
            if atoms.cell.rank == 3:
                result["stress"] = one * (unit / atoms.get_volume())

    def _look_at_isolated(self, edges: Edges) -> None:
        """Do as the option `on_isolated_atoms` says of atoms that have no neighbour."""
        import torch

        how = self.model.graph_converter.on_isolated_atoms
        if how == "ignore":
            return
        alone = torch.ones_like(edges.structure)
        alone[edges.first] = 0
        n_isolated = int(alone.sum())
        if not n_isolated:
            return
        cutoff_A = self.model.graph_converter.atom_graph_cutoff
        said = f"{n_isolated} atom(s) have no neighbour within {cutoff_A:g} A: CHGNet knows none"
        if how == "error":
            raise CalculatorError(f"{said} such; option on_isolated_atoms='warn' goes on")
        if not self.__dict__.get("_said_isolated"):
            self.__dict__["_said_isolated"] = True
            logger.warning("%s such, and its energies are of no use there", said)
