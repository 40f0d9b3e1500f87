"""From a name to a calculator: what it is, and how to make it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.calculators import registry
from mlmd.calculators.plain_spec import PlainSpec

if TYPE_CHECKING:
    from collections.abc import Collection

    from ase.calculators.calculator import Calculator


class CalculatorSpec(PlainSpec):
    """What is needed to make a calculator, here or in another process.

    Attributes
    ----------
    name
        A known name (``mlmd calculators`` lists them) or ``package.module:factory``, a
        callable that returns an ASE calculator. The latter runs your own code.
    model
        Version or file of the model's weights; the package's default where None.
    device
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
    threads
        CPU threads of the model. One is bitwise repeatable for every model and does not
        collapse when another process is busy; it is the default.
    options
        Keyword arguments of the calculator itself, and of any model ``d3``, the functional whose
        dispersion is added (:mod:`mlmd.calculators.dispersion`); part of the physics.
    dtype
        ``"float32"`` or ``"float64"``; the model's own where None. Part of the physics where
        given.
    deterministic
        Have torch use deterministic algorithms only, for the whole process: forces then
        repeat bit for bit on a GPU too, where the model allows it.
    python
        Interpreter of another environment in which the calculator runs, as a process of its
        own; in this process where None.
    timeout_s
        Wall time after which a force call of a calculator in its own process, or of a
        program, has hung; no limit where None.
    trust
        Load a file of weights that runs code of its own when it is loaded (a pickled model, such
        as MACE saves): it is refused otherwise. Not part of the physics.
    """

    def load(self, directory: Path | None = None) -> Calculator:
        """Make the calculator.

        Parameters
        ----------
        directory
            Where a program (VASP, SIESTA, ...) keeps its files; a new temporary folder where
            None. A model keeps none.

        Raises
        ------
        MissingExtraError
            If its package is not installed.
        InputError
            If the model or an option is not known to it, or the file of the model would run code
            and is not trusted.
        """
        return registry.build(self, directory)

    def physics(self, elements: Collection[str] | None = None) -> dict[str, Any]:
        """Return what decides the forces: name, model with its checksum, options.

        Device, threads, time-out and interpreter are not in it: they change rounding at most.

        Parameters
        ----------
        elements
            Symbols of the structure: of a program's pseudopotentials only theirs are taken. All
            of the folder where None, as in runs of identity version 1.
        """
        return registry.physics(self, elements)

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages that compute the forces."""
        return registry.packages(self)


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
