"""From a name to a calculator, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def load_calculator(
    name: str,
    *,
    model: str | None = None,
    device: str = "auto",
    threads: int = 1,
    **options: Any,
) -> Calculator:
    """Make an ASE calculator by name; change one word to change the engine.

    Parameters
    ----------
    name
        ``"chgnet"``, ``"emt"``, ``"lj"``, or ``"package.module:factory"`` (your own code).
        ``"chgnet:0.3.0"`` names the model as well.
    model
        Version or file of the model's weights.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    threads
        CPU threads of the model.
    **options
        Keyword arguments of the calculator itself.

    Returns
    -------
    ase.calculators.calculator.Calculator
        Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3.

    Raises
    ------
    InputError
        If the name, the model or an option is not known.
    MissingExtraError
        If the package is not installed; the message names the pip command.
    """
    changes: dict[str, Any] = {"device": device, "threads": threads, "options": options}
    if model is not None:
        changes["model"] = model
    return CalculatorSpec.parse(name, **changes).load()
