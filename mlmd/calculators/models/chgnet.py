"""CHGNet: weights come with its package, nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.calculators.models.chgnet_model import ChgnetModel
from mlmd.calculators.models.torch_settings import (
    apply_settings,
    guard,
    guarded,
    loading,
    refuse_double,
)
from mlmd.calculators.models.trust import refuse_code
from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.weights import given_file, package_folder, sha256_of, weights_file

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from mlmd.calculators.spec import CalculatorSpec

DEFAULT_MODEL = "0.3.0"
OPTIONS = ("check_cuda_mem", "stress_weight", "on_isolated_atoms", "return_site_energies")


def build(spec: CalculatorSpec) -> Calculator:
    """Load the weights and make the calculator.

    Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3 (ASE's conventions).
    A file of weights that would run code is refused unless the spec trusts it. It computes what
    is asked and nothing more, and many structures in one batch, see :class:`ChgnetModel`.
    """
    weights = _weights(spec)
    refuse_unknown(spec, OPTIONS)
    refuse_double(spec)
    device = apply_settings(spec)
    with loading(spec, "weights that CHGNet saved"):
        from ase.data import chemical_symbols
        from chgnet.model import CHGNet, CHGNetCalculator

        if given_file(spec):
            refuse_code(spec, weights)
            model = CHGNet.from_file(str(weights))
        else:
            model = CHGNet.load(model_name=_name(spec), use_device=device, verbose=False)
        model.eval().requires_grad_(False)
        made = guarded(CHGNetCalculator, ChgnetModel)(
            model=model, use_device=device, **dict(spec.options)
        )
        known = model.atom_embedding.embedding.num_embeddings
        guard(made, spec, chemical_symbols[1 : known + 1], "float32")
    calculator: Calculator = made
    return calculator


def model_identity(spec: CalculatorSpec) -> dict[str, str]:
    """Return the model's name and the SHA-256 of its weights, without importing torch."""
    weights = _weights(spec)
    return {
        "name": weights.name if given_file(spec) else _name(spec),
        "sha256": sha256_of(weights),
    }


def models() -> dict[str, Path]:
    """Return the files of the models that come with the package, by name."""
    folder = package_folder("chgnet") / "pretrained"
    return {file.parent.name: file for file in sorted(folder.glob("*/*.tar"))}


def _name(spec: CalculatorSpec) -> str:
    return spec.model or DEFAULT_MODEL


def _weights(spec: CalculatorSpec) -> Path:
    return weights_file(spec, DEFAULT_MODEL, models())
