"""SevenNet: weights of the common models come with its package, nothing is downloaded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.models.edges import edges_of
from mlmd.calculators.models.torch_settings import (
    GuardedModel,
    apply_settings,
    guard,
    guarded,
    loading,
    refuse_double,
)
from mlmd.calculators.models.trust import refuse_code
from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.weights import (
    given_file,
    package_folder,
    sha256_of,
    weights_file,
    weights_folder,
)

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.calculators.models.edges import Edges
    from mlmd.calculators.spec import CalculatorSpec

DEFAULT_MODEL = "7net-0"
OPTIONS = ("modal", "enable_cueq", "enable_flash", "enable_oeq")
SHIPPED = {
    "7net-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_11jul2024": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_22may2024": "SevenNet_0__22May2024/checkpoint_sevennet_0.pth",
    "7net-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
    "7net-mf-0": "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
}
"""Files of the package by the names that it gives them (its ``_const.py``)."""
RELEASES = "https://github.com/MDIL-SNU/SevenNet/releases/download"
FETCHED = {
    "7net-mf-ompa": "v0.11.0.cp/checkpoint_sevennet_mf_ompa.pth",
    "7net-omat": "v0.11.0.cp/checkpoint_sevennet_omat.pth",
    "7net-omni": "v0.12.0.cp/checkpoint_sevennet_omni.pth",
    "7net-omni-i8": "v0.12.1.cp/checkpoint_sevennet_omni_i8.pth",
    "7net-omni-i12": "v0.12.1.cp/checkpoint_sevennet_omni_i12.pth",
}
"""Files that the package would download, below :data:`RELEASES`."""


def build(spec: CalculatorSpec) -> Calculator:
    """Load the weights and make the calculator.

    Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3 (ASE's conventions); single
    precision. A file of weights that would run code is refused unless the spec trusts it.
    """
    weights = _weights(spec)
    refuse_unknown(spec, OPTIONS)
    refuse_double(spec)
    device = apply_settings(spec)
    options = dict(spec.options)
    with loading(spec, "weights that SevenNet saved and, where they have several, a modal"):
        from ase.data import chemical_symbols
        from sevenn.calculator import SevenNetCalculator

        if given_file(spec):
            refuse_code(spec, weights)
        made = guarded(SevenNetCalculator, SevennetModel)(
            model=str(weights), device=device, **options
        )
        guard(made, spec, [chemical_symbols[z] for z in made.type_map], "float32")
    calculator: Calculator = made
    return calculator


class SevennetModel(GuardedModel):
    """SevenNet's calculator, and many structures at once by its model."""

    model: Any
    modal: str | None
    cutoff: float
    device: Any

    def _calculate_one(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        super()._calculate_one(atoms, properties, system_changes)
        # Summed in single precision they lose a digit at some hundred atoms.
        energy = float(self.results["energies"].sum(dtype=float))
        self.results.update(energy=energy, free_energy=energy)

    def compute(
        self, structures: Sequence[Atoms], properties: Collection[str]
    ) -> list[dict[str, Any]]:
        """Return the results of each structure, as :meth:`calculate_many`."""
        import numpy as np
        import sevenn._keys as key
        import torch
        from sevenn.atom_graph_data import AtomGraphData

        edges = self.graphs(structures)
        numbers = torch.from_numpy(np.concatenate([atoms.numbers for atoms in structures]))
        positions = np.concatenate([atoms.positions for atoms in structures])
        counts = [len(atoms) for atoms in structures]
        volumes = torch.tensor([atoms.cell.volume for atoms in structures]).float()
        content: dict[str, Any] = {
            key.NODE_FEATURE: numbers,
            key.ATOMIC_NUMBERS: numbers,
            key.POS: torch.from_numpy(positions).float(),
            key.EDGE_IDX: torch.stack([edges.first, edges.second]),
            key.EDGE_VEC: -edges.vector_A.float(),
            key.CELL_VOLUME: volumes,
            key.NUM_ATOMS: torch.tensor(counts),
            key.BATCH: edges.structure,
        }
        data = AtomGraphData(**content)
        if self.modal:
            data[key.DATA_MODALITY] = [self.modal] * len(structures)
        data.to(self.device)
        self.model.set_is_batch_data(True)
        try:
            output = self.model(data)
        finally:
            self.model.set_is_batch_data(False)
        of_atoms = output[key.ATOMIC_ENERGY].detach().double().flatten()
        sums = of_atoms.new_zeros(len(structures)).index_add_(0, data[key.BATCH], of_atoms)
        energies = sums.cpu().tolist()
        forces = torch.split(output[key.PRED_FORCE].detach().cpu(), counts)
        # Its order is xx yy zz xy yz zx, and its sign that of a pressure.
        stresses = -output[key.PRED_STRESS].detach().cpu().numpy()[:, [0, 1, 2, 4, 5, 3]]
        found = zip(energies, forces, stresses, edges.n_edges, strict=True)
        return [
            {
                "energy": energy,
                "free_energy": energy,
                "forces": force.numpy(),
                "stress": stress,
                "num_edges": n_edges,
            }
            for energy, force, stress, n_edges in found
        ]

    def graphs(self, structures: Sequence[Atoms]) -> Edges:
        """Return the edges of a batch."""
        return edges_of(structures, self.cutoff, self.device)


def model_identity(spec: CalculatorSpec) -> dict[str, str]:
    """Return the model's name and the SHA-256 of its weights, without importing torch."""
    weights = _weights(spec)
    return {"name": weights.name if given_file(spec) else _name(spec), "sha256": sha256_of(weights)}


def models() -> dict[str, Path | None]:
    """Return the file of each model by name; None where it has to be fetched."""
    shipped = package_folder("sevenn") / "pretrained_potentials"
    found: dict[str, Path | None] = {name: shipped / file for name, file in SHIPPED.items()}
    for name in FETCHED:
        file = _place(name)
        found[name] = file if file.is_file() else None
    return found


def _name(spec: CalculatorSpec) -> str:
    return spec.model or DEFAULT_MODEL


def _place(name: str) -> Path:
    return weights_folder("sevennet") / Path(FETCHED[name]).name


def _weights(spec: CalculatorSpec) -> Path:
    return weights_file(
        spec, DEFAULT_MODEL, models(), lambda name: (f"{RELEASES}/{FETCHED[name]}", _place(name))
    )
