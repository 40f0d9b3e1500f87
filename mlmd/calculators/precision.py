"""How far the numbers of a calculator can be told apart: single, double, or an SCF's tolerance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlmd.calculators.known import KNOWN
from mlmd.calculators.registry import device_and_dtype
from mlmd.errors import NotSharedError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray


@dataclass(frozen=True)
class Rounding:
    """What two results of one potential may differ by.

    Attributes
    ----------
    forces_eV_A
        A component of a force.
    energy_eV_atom
        The energy, per atom.
    relative_force
        The same, where forces are large: of the largest of them.
    relative_energy
        Of the energy of the whole cell, within one process.
    """

    forces_eV_A: float
    energy_eV_atom: float
    relative_force: float
    relative_energy: float


DOUBLE = Rounding(1e-7, 1e-7, 1e-9, 1e-12)
SINGLE = Rounding(1e-3, 1e-4, 1e-5, 1e-6)
SCF = Rounding(2e-2, 1e-3, 1e-3, 1e-5)
"""Of forces that begin from other wave functions."""


def rounding_of(calculator: Any, forces: FloatArray) -> Rounding:
    """Return what to expect of a calculator that gave these forces."""
    if is_program(calculator):
        return SCF
    dtypes = [str(device_and_dtype(part)["dtype"]) for part in parts_of(calculator)]
    is_single = np.array_equal(forces, forces.astype(np.float32)) and forces.any()
    return SINGLE if is_single or any("float32" in one for one in dtypes) else DOUBLE


def is_program(calculator: Any) -> bool:
    """Tell whether a calculator runs a program for which a force call is expensive, a DFT code."""
    from ase.calculators.calculator import FileIOCalculator
    from ase.calculators.genericfileio import GenericFileIOCalculator
    from ase.calculators.socketio import SocketIOCalculator

    programs = (FileIOCalculator, GenericFileIOCalculator, SocketIOCalculator)
    for part in parts_of(calculator):
        known = KNOWN.get(getattr(getattr(part, "spec", None), "name", ""))
        if isinstance(part, programs) or hasattr(part, "program"):
            return True
        if (known is not None and known.program) or type(part).__module__.startswith("gpaw"):
            return True
    return False


def parts_of(calculator: Any, depth: int = 3) -> Iterator[Any]:
    """Yield a calculator and those that it is made of, as sums and corrections are."""
    yield calculator
    if depth:
        for value in list(getattr(calculator, "__dict__", {}).values()):
            for part in _calculators_in(value):
                yield from parts_of(part, depth - 1)


def _calculators_in(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _calculators_in(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _calculators_in(item)
    elif hasattr(value, "get_property") and hasattr(value, "implemented_properties"):
        yield value
    elif type(value).__module__ == "ase.calculators.mixing":  # what sums of ASE keep them in
        yield from _calculators_in(list(vars(value).values()))


INSTEAD = "run its structures one after another (run_many with unbatched=True)"


def refuse_program(calculator: Any, name: str) -> None:
    """Raise NotSharedError for a calculator, or a spec of one, that many walkers cannot share."""
    known = KNOWN.get(getattr(calculator, "name", ""))
    if is_program(calculator) or (known is not None and known.program):
        raise NotSharedError(
            f"{name} is a program and goes on from what it did last: many walkers cannot share it; "
            f"{INSTEAD}, or each as a process of its own"
        )


def computed_one_by_one(calculator: Any, name: str) -> bool:
    """Tell whether structures of many walkers are computed one by one, to the bits of each alone.

    Raises
    ------
    NotSharedError
        If the calculator can neither be shared so nor compute many at once.
    """
    from ase.calculators.emt import EMT

    refuse_program(calculator, name)
    of_ours = type(calculator).__module__.startswith("mlmd.calculators.models.")
    if getattr(calculator, "deterministic", False):
        return True
    if callable(getattr(calculator, "calculate_many", None)):
        return False
    if of_ours or isinstance(calculator, EMT):  # their forces depend on the positions alone
        return True
    raise NotSharedError(
        f"{name} cannot compute many structures at once; expected chgnet, sevennet, m3gnet or mace "
        f"in this environment: {INSTEAD}"
    )
