"""MACE: weights are fetched by the user; usually in an environment of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator

from mlmd.calculators.models.torch_settings import (
    GuardedModel,
    apply_settings,
    guard,
    guarded,
    loading,
)
from mlmd.calculators.models.trust import refuse_code
from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.weights import given_file, sha256_of, weights_file, weights_folder
from mlmd.errors import InputError
from mlmd.numerics.voigt import symmetric_voigt

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.spec import CalculatorSpec

DEFAULT_MODEL = "medium-mpa-0"
OPTIONS = ("head", "enable_cueq", "enable_oeq")
MP = "https://github.com/ACEsuit/mace-mp/releases/download"
FOUNDATIONS = "https://github.com/ACEsuit/mace-foundations/releases/download"
PUBLISHED = {
    "small": f"{MP}/mace_mp_0/2023-12-10-mace-128-L0_energy_epoch-249.model",
    "medium": f"{MP}/mace_mp_0/2023-12-03-mace-128-L1_epoch-199.model",
    "large": f"{MP}/mace_mp_0/MACE_MPtrj_2022.9.model",
    "medium-0b3": f"{MP}/mace_mp_0b3/mace-mp-0b3-medium.model",
    "medium-mpa-0": f"{MP}/mace_mpa_0/mace-mpa-0-medium.model",
    "small-omat-0": f"{MP}/mace_omat_0/mace-omat-0-small.model",
    "medium-omat-0": f"{MP}/mace_omat_0/mace-omat-0-medium.model",
    "mace-matpes-pbe-0": f"{FOUNDATIONS}/mace_matpes_0/MACE-matpes-pbe-omat-ft.model",
    "mace-matpes-r2scan-0": f"{FOUNDATIONS}/mace_matpes_0/MACE-matpes-r2scan-omat-ft.model",
    "mh-1": f"{FOUNDATIONS}/mace_mh_1/mace-mh-1.model",
}
"""Names and addresses of ``mace_mp`` in mace-torch 0.3.16; the omat and matpes models are under
the Academic Software License, the others under MIT."""


def build(spec: CalculatorSpec) -> Calculator:
    """Load the weights and make the calculator.

    Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3 (ASE's conventions).
    MACE saves whole models, which run code when they are loaded: a file that is not one of the
    published models is refused unless the spec trusts it.
    """
    weights = _weights(spec)
    refuse_unknown(spec, OPTIONS)
    device = apply_settings(spec)
    with loading(spec, "weights that MACE saved and options that it has here"):
        import torch
        from ase.data import chemical_symbols
        from mace.calculators import MACECalculator

        if given_file(spec):
            refuse_code(spec, weights)
        model = _unpickled(weights, device)
        _check_head(spec, getattr(model, "heads", ["Default"]))
        dtype = spec.dtype or str(next(model.parameters()).dtype).removeprefix("torch.")
        made = guarded(MACECalculator, MaceModel)(
            models=model.to(getattr(torch, dtype)),
            device=device,
            default_dtype=dtype,
            **dict(spec.options),
        )
        guard(made, spec, [chemical_symbols[z] for z in made.z_table.zs], dtype)
    calculator: Calculator = made
    return calculator


class MaceModel(GuardedModel):
    """MACE's calculator, and many structures at once by its model."""

    models: Any
    z_table: Any
    r_max: float
    head: str
    available_heads: list[str]
    model_type: str
    device: Any

    def _calculate_one(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        if atoms.pbc.all() or self.model_type != "MACE":
            super()._calculate_one(atoms, properties, system_changes)
            return
        Calculator.calculate(self, atoms, properties, system_changes)
        self.results = self.compute([atoms], properties)[0]

    def compute(
        self, structures: Sequence[Atoms], properties: Collection[str]
    ) -> list[dict[str, Any]]:
        """Return the results of each structure, as :meth:`calculate_many`."""
        import torch
        from mace.tools import torch_geometric

        if self.model_type != "MACE":
            raise InputError(
                f"a MACE model of type {self.model_type} was not tried in batches; expected MACE: "
                "run its structures one by one"
            )
        graphs = self.graphs(structures)
        batch = torch_geometric.Batch.from_data_list(graphs).to(self.device)
        derived = bool({"forces", "stress"} & set(properties))
        output = self.models[0](batch.to_dict(), compute_force=derived, compute_stress=derived)
        results: list[dict[str, Any]] = [
            {"energy": energy, "free_energy": energy, "num_edges": one.edge_index.shape[1]}
            for energy, one in zip(output["energy"].detach().cpu().tolist(), graphs, strict=True)
        ]
        if derived:
            counts = [len(atoms) for atoms in structures]
            forces = torch.split(output["forces"].detach().cpu(), counts)
            stresses = output["stress"].detach().cpu().numpy()
            # Where it is not periodic MACE makes up a long cell, and divides by its volume.
            made_A3 = np.abs(np.linalg.det(batch.cell.double().cpu().numpy().reshape(-1, 3, 3)))
            for result, force, stress in zip(results, forces, stresses, strict=True):
                result.update(forces=force.numpy(), stress=symmetric_voigt(stress))
            for result, atoms, volume_A3 in zip(results, structures, made_A3, strict=True):
                if atoms.cell.rank == 3 and not atoms.pbc.all():
                    result["stress"] *= volume_A3 / atoms.get_volume()
        return results

    def graphs(self, structures: Sequence[Atoms]) -> list[Any]:
        """Return what MACE's data loader makes of each structure."""
        from mace import data

        keys = data.KeySpecification()
        return [
            data.AtomicData.from_config(
                data.config_from_atoms(atoms, key_specification=keys, head_name=self.head),
                z_table=self.z_table,
                cutoff=self.r_max,
                heads=self.available_heads,
            )
            for atoms in structures
        ]


def model_identity(spec: CalculatorSpec) -> dict[str, str]:
    """Return the model's name and the SHA-256 of its weights, without importing torch."""
    weights = _weights(spec)
    return {"name": weights.name if given_file(spec) else _name(spec), "sha256": sha256_of(weights)}


def models() -> dict[str, Path | None]:
    """Return the file of each model by name; None where it has to be fetched."""
    return {name: file if file.is_file() else None for name, file in _places().items()}


def _unpickled(weights: Path, device: str) -> Any:
    """Load the whole model: its format is a pickle of modules, which weights alone are not."""
    import torch

    model = torch.load(weights, map_location=device, weights_only=False)
    if not isinstance(model, torch.nn.Module) or not hasattr(model, "atomic_numbers"):
        raise InputError(
            f"{weights} holds a {type(model).__name__}; expected a MACE model (name.model)"
        )
    return model


def _check_head(spec: CalculatorSpec, heads: list[str]) -> None:
    """Refuse a head that MACE would replace by another with a mere warning."""
    head = spec.options.get("head")
    if head is not None and head not in heads:
        raise InputError(f"the model has no head {head!r}; expected one of {', '.join(heads)}")


def _name(spec: CalculatorSpec) -> str:
    return spec.model or DEFAULT_MODEL


def _places() -> dict[str, Path]:
    folder = weights_folder("mace")
    return {name: folder / url.rpartition("/")[2] for name, url in PUBLISHED.items()}


def _weights(spec: CalculatorSpec) -> Path:
    return weights_file(
        spec, DEFAULT_MODEL, models(), lambda name: (PUBLISHED[name], _places()[name])
    )
