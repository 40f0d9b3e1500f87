"""M3GNet, as matgl saves it: a folder of three files, fetched by the user."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.models.torch_settings import apply_settings, guard, guarded, loading
from mlmd.calculators.models.trust import refuse_classes
from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.weights import sha256_of, weights_folder
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

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
        model: Any = type("PESCalculator", (_MatglCalculator, PESCalculator), {})
        made = guarded(model)(potential, stress_unit="eV/A3", use_voigt=True)
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


class _MatglCalculator:
    """Between :class:`GuardedModel` and matgl's calculator: precision and boundaries."""

    dtype: str

    def calculate(self, atoms: Atoms, *arguments: Any) -> None:
        """Refuse what matgl would take for a molecule, and make graphs in our precision."""
        if atoms.pbc.any() and not atoms.pbc.all():
            raise InputError(
                f"calculator 'm3gnet' knows atoms periodic in all directions or in none; given "
                f"pbc {atoms.pbc.tolist()}; set all three and leave vacuum"
            )
        with _graphs_in(self.dtype):
            super().calculate(atoms, *arguments)  # type: ignore[misc]


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
