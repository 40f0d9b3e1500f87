"""M3GNet, as matgl saves it: a folder of three files, fetched by the user."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator

from mlmd.calculators.models.torch_settings import (
    GuardedModel,
    apply_settings,
    guard,
    guarded,
    loading,
)
from mlmd.calculators.models.trust import refuse_classes
from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.weights import sha256_of, weights_folder
from mlmd.errors import InputError
from mlmd.numerics.voigt import symmetric_voigt

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.spec import CalculatorSpec

DEFAULT_MODEL = "M3GNet-PES-MatPES-PBE-2025.2"
PUBLISHED = (
    DEFAULT_MODEL,
    "M3GNet-PES-MatPES-r2SCAN-2025.2",
    "M3GNet-MatPES-PBE-v2025.1-PES",
    "M3GNet-MatPES-r2SCAN-v2025.1-PES",
    "M3GNet-MP-2021.2.8-DIRECT-PES",
    "M3GNet-MP-2021.2.8-PES",
)
HUB = "https://huggingface.co/materialyze"
"""Where matgl itself looks for a name (``HF_MATGL_ORG`` of its ``utils/io.py``)."""
CLASSES = re.compile(r"matgl\.(models|layers|apps\.pes|apps\._pes)(\.|$)")
"""Modules with the classes that a saved potential is made of."""
FILES = ("model.json", "model.pt", "state.pt")


def build(spec: CalculatorSpec) -> Calculator:
    """Load a potential and make the calculator.

    Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3 (ASE's conventions; matgl's
    own calculator gives GPa and a matrix). Any potential that matgl saved will do; a folder whose
    files would run other code is refused unless the spec trusts it.
    """
    folder = _weights(spec)
    refuse_unknown(spec, ())
    device = apply_settings(spec)
    with loading(spec, "a folder that Potential.save of this matgl wrote"):
        import torch
        from matgl.apps.pes import Potential
        from matgl.ext.ase import PESCalculator

        if _is_folder(spec):
            refuse_classes(spec, folder / "model.pt", CLASSES)
        potential = Potential.load({name: folder / name for name in FILES})
        # What was saved may be a potential in training, or one for other quantities.
        potential.eval().requires_grad_(False)
        potential.calc_forces = potential.calc_stresses = True
        potential.calc_hessian = False
        dtype = spec.dtype or str(potential.data_mean.dtype).removeprefix("torch.")
        potential.to(device=device, dtype=getattr(torch, dtype))
        made = guarded(PESCalculator, MatglModel)(potential, stress_unit="eV/A3", use_voigt=True)
        made.device = device
        guard(made, spec, made.element_types, dtype)
    calculator: Calculator = made
    return calculator


def model_identity(spec: CalculatorSpec) -> dict[str, str]:
    """Return the model's name and a SHA-256 over its files, without importing torch."""
    folder = _weights(spec)
    lines = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in sorted(FILES))
    return {
        "name": folder.name if _is_folder(spec) else _name(spec),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }


def models() -> dict[str, Path | None]:
    """Return the folder of each model by name; None where it has to be fetched."""
    found: dict[str, Path | None] = dict.fromkeys(PUBLISHED)
    here = weights_folder("m3gnet")
    for file in sorted(here.glob(f"*/{FILES[0]}")):
        if not _missing(file.parent):
            found[file.parent.name] = file.parent
    return found


class MatglModel(GuardedModel):
    """matgl's calculator, and many structures at once by its potential."""

    potential: Any
    conversion_factor: float
    device: str
    _atoms2graph: Any

    def _calculate_one(self, atoms: Atoms, properties: Any, system_changes: Any) -> None:
        if self._gives_more:
            _check_boundaries(atoms)
            with _graphs_in(self.dtype):
                super()._calculate_one(atoms, properties, system_changes)
            return
        self._batch_of_one(atoms, properties, system_changes)

    @property
    def _gives_more(self) -> bool:
        """Whether the potential has charges or magnetic moments: matgl's calculator knows how."""
        return bool(self.potential.calc_charge or self.potential.calc_magmom)

    def compute(
        self, structures: Sequence[Atoms], properties: Collection[str]
    ) -> list[dict[str, Any]]:
        """Return the results of each structure, as :meth:`calculate_many`."""
        import torch
        from torch_geometric.data import Batch

        if self._gives_more:
            raise InputError(
                "calculator 'm3gnet': potentials with charges or magnetic moments were not tried "
                "in batches; run their structures one by one"
            )
        made = self.graphs(structures)
        graph = Batch.from_data_list([one for one, _, _ in made]).to(self.device)
        cells = torch.cat([cell.reshape(1, 3, 3) for _, cell, _ in made]).to(self.device)
        states = torch.stack([torch.as_tensor(state, dtype=cells.dtype) for _, _, state in made])
        derived = bool({"forces", "stress"} & set(properties))
        self.potential.calc_forces = self.potential.calc_stresses = derived
        energies, forces, stresses, *_ = self.potential(graph, cells, states.to(self.device))
        results: list[dict[str, Any]] = [
            {"energy": energy, "free_energy": energy, "num_edges": one.num_edges}
            for energy, (one, _, _) in zip(
                energies.detach().cpu().reshape(-1).tolist(), made, strict=True
            )
        ]
        if derived:
            counts = [len(atoms) for atoms in structures]
            of_each = torch.split(forces.detach().cpu(), counts)
            matrices = stresses.detach().cpu().numpy().reshape(-1, 3, 3) * self.conversion_factor
            for result, force, stress in zip(results, of_each, matrices, strict=True):
                result.update(forces=force.numpy(), stress=symmetric_voigt(stress))
        return results

    def graphs(self, structures: Sequence[Atoms]) -> list[Any]:
        """Return what matgl's converter makes of each structure."""
        for atoms in structures:
            _check_boundaries(atoms)
        with _graphs_in(self.dtype):
            return [self._atoms2graph.get_graph(atoms) for atoms in structures]


def _check_boundaries(atoms: Atoms) -> None:
    """Refuse what matgl would take for a molecule."""
    if atoms.pbc.any() and not atoms.pbc.all():
        raise InputError(
            f"calculator 'm3gnet' knows atoms periodic in all directions or in none; given "
            f"pbc {atoms.pbc.tolist()}; set all three and leave vacuum"
        )


@contextlib.contextmanager
def _graphs_in(dtype: str) -> Iterator[None]:
    """Have matgl make its graphs in `dtype`: rounded positions would spoil double precision."""
    import matgl
    import torch

    before, matgl.float_th = matgl.float_th, getattr(torch, dtype)
    try:
        yield
    finally:
        matgl.float_th = before


def _is_folder(spec: CalculatorSpec) -> bool:
    return spec.model is not None and Path(spec.model).is_dir()


def _name(spec: CalculatorSpec) -> str:
    return spec.model or DEFAULT_MODEL


def _missing(folder: Path) -> list[str]:
    return [name for name in FILES if not (folder / name).is_file()]


def _weights(spec: CalculatorSpec) -> Path:
    """Return the folder of the model: the one given, or the one of that name."""
    if spec.model is not None and _is_folder(spec):
        folder = Path(spec.model)
        if _missing(folder):
            raise InputError(
                f"folder {folder} has no {', '.join(_missing(folder))}; expected the files of a "
                f"model that matgl saved: {', '.join(FILES)}"
            )
        return folder
    known, name = models(), _name(spec)
    if name not in known:
        raise InputError(
            f"calculator 'm3gnet' has no model '{name}'; expected a folder that matgl saved or "
            f"one of {', '.join(known)}"
        )
    found = known[name]
    if found is None:
        raise InputError(
            f"the weights of '{name}' are not here; fetch {', '.join(FILES)} from {HUB}/{name} "
            f"and put them in {weights_folder('m3gnet') / name}"
        )
    return found
