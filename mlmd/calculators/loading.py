"""From a name to a calculator, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators.spec import CalculatorSpec

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def load_calculator(
    name: str,
    *,
    model: str | None = None,
    device: str = "auto",
    dtype: str | None = None,
    deterministic: bool = False,
    threads: int = 1,
    python: str | None = None,
    timeout_s: float | None = None,
    trust: bool = False,
    directory: str | Path | None = None,
    **options: Any,
) -> Calculator:
    """Make an ASE calculator by name; change one word to change the engine.

    Parameters
    ----------
    name
        ``"chgnet"``, ``"sevennet"``, ``"m3gnet"``, ``"mace"``, ``"vasp"``, ``"siesta"``,
        ``"cp2k"``, ``"espresso"``, ``"emt"``, ``"lj"``, or ``"package.module:factory"`` (your
        own code). ``"chgnet:0.3.0"`` names the model as well.
    model
        Version or file of the model's weights.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    dtype
        ``"float32"`` or ``"float64"``; the model's own where None.
    deterministic
        Have torch use deterministic algorithms only.
    threads
        CPU threads of the model.
    python
        Interpreter of another environment to run the calculator in.
    timeout_s
        Wall time after which a force call in another process has hung.
    trust
        Load a file of weights that runs code of its own when it is loaded.
    directory
        Where a program (VASP, SIESTA, ...) keeps its files; a temporary folder where None.
    **options
        Keyword arguments of the calculator itself, and of any model ``d3="pbe"``: dispersion.

    Returns
    -------
    ase.calculators.calculator.Calculator
        Energies in eV, forces in eV/angstrom, stress in eV/angstrom^3.

    Raises
    ------
    InputError
        If the name, the model or an option is not known, or the file of the model would run code
        and is not trusted.
    MissingExtraError
        If the package is not installed; the message names the pip command.
    """
    changes: dict[str, Any] = {
        "device": device,
        "dtype": dtype,
        "deterministic": deterministic,
        "threads": threads,
        "python": python,
        "timeout_s": timeout_s,
        "trust": trust,
        "options": options,
    }
    if model is not None:
        changes["model"] = model
    return CalculatorSpec.parse(name, **changes).load(
        None if directory is None else Path(directory)
    )
