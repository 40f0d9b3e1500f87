"""SevenNet: weights of the common models come with its package, nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.calculators.models.torch_settings import (
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
    from ase.calculators.calculator import Calculator

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
        made = guarded(SevenNetCalculator)(model=str(weights), device=device, **options)
        guard(made, spec, [chemical_symbols[z] for z in made.type_map], "float32")
    calculator: Calculator = made
    return calculator


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
