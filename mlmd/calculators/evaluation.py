"""The one door through which a calculator is asked: what comes out has one shape and one type.

Calculators give what they like: a stress as a 3 x 3 matrix (CHGNet, matgl), an energy of shape
(1,), single precision, a free energy alone. Whoever goes past this door has to know all of that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from mlmd.checks import one_structure
from mlmd.errors import CalculatorError
from mlmd.numerics.voigt import symmetric_voigt

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.arrays import FloatArray

_Place = tuple[bytes, bytes]
# In this order: what gives the later ones along with it comes first.
PROPERTIES = ("stress", "forces", "energy")


@dataclass(frozen=True, eq=False, slots=True)
class Evaluation:
    """What a calculator says of one structure; None where it was not asked, or cannot say.

    Attributes
    ----------
    energy_eV : float or None
        Potential energy; the free energy where the calculator gives that alone.
    forces_eV_A : (atoms, 3) or None
        In double precision.
    stress_eV_A3 : (6,) or None
        Virial stress without kinetic part, Voigt order xx yy zz yz xz xy, ASE's sign (positive
        under tension).
    extras : mapping
        Everything else that it computed along with these, by ASE's names: the free energy (a
        plain number, in eV), and as it gave them magnetic moments, energies of atoms.
    """

    energy_eV: float | None
    forces_eV_A: FloatArray | None
    stress_eV_A3: FloatArray | None
    extras: Mapping[str, Any]

    @property
    def energy_of_forces_eV(self) -> float | None:
        """The energy that the forces are derivatives of: with smeared electrons the free energy."""
        free: float | None = self.extras.get("free_energy")
        return self.energy_eV if free is None else free


def evaluate(
    atoms: Atoms,
    properties: Collection[str] = ("energy", "forces"),
    *,
    unchanged: bool = False,
) -> Evaluation:
    """Ask the calculator of a structure.

    Parameters
    ----------
    atoms
        With its calculator (``atoms.calc``). They are where they were afterwards, also where the
        calculator moves what it is given (into the cell, say).
    properties
        Of ``energy``, ``forces``, ``stress``. What is known besides comes along, nothing more is
        computed.
    unchanged
        The calculator has just been asked about these very atoms: what it has is taken at once,
        without comparing (which takes longer than a cheap force call).

    Raises
    ------
    CalculatorError
        If a number has another shape than its kind has. Whatever the calculator raises is
        passed on; a stress that it does not have is None.
    """
    calculator: Any = getattr(atoms, "calc", None)
    if calculator is None or not set(properties) <= set(PROPERTIES):
        _refuse(atoms, properties)
    found: dict[str, Any] = calculator.results if unchanged else {}
    for name in PROPERTIES:
        if name in properties and found.get(name) is None:
            value = _ask(calculator, name, atoms)
            # What came along is of these atoms too: it need not be asked for, and compared, again.
            # But where there is no such property nothing was computed: the rest is of other atoms.
            if value is not None:
                found = {**getattr(calculator, "results", {}), name: value}
    return _normalised(found, len(atoms))


def evaluate_many(
    structures: Iterable[Atoms], properties: Collection[str] = ("energy", "forces")
) -> list[Evaluation]:
    """Ask about several structures, each of its own calculator; see :func:`evaluate`.

    Those that share a model that can compute many at once (it has ``calculate_many``) are computed
    as one batch, which must fit into memory.
    """
    asked = list(structures)
    together: dict[int, list[int]] = {}
    for place, atoms in enumerate(asked):
        together.setdefault(id(getattr(atoms, "calc", None)), []).append(place)
    found: dict[int, Evaluation] = {}
    for places in together.values():
        first = asked[places[0]]
        many = getattr(getattr(first, "calc", None), "calculate_many", None)
        if many is None or len(places) == 1:
            found.update((place, evaluate(asked[place], properties)) for place in places)
            continue
        if not set(properties) <= set(PROPERTIES):
            _refuse(first, properties)
        results = many([asked[place] for place in places], properties)
        for place, result in zip(places, results, strict=True):
            found[place] = _normalised(result, len(asked[place]))
    return [found[place] for place in range(len(asked))]


class Evaluator:
    """Asks about atoms of which nothing but the positions changes from one call to the next.

    ASE's ``get_property`` finds out what has changed by comparing everything with the atoms that
    the calculator saw last, which takes longer than a step. Where those were ours, it is told.
    Every other case, and every calculator with a way of its own, is left to ``get_property``.
    """

    def __init__(self) -> None:
        self._seen: Atoms | None = None
        self._seen_cell = b""

    def __call__(self, atoms: Atoms, *, stress: bool = False) -> Evaluation:
        """Return the forces and what the calculator computes along with them.

        With the stress where it is needed too: it may cost more, but less than by itself.
        """
        calculator = atoms.calc
        place = _place(atoms)
        known = self._was_ours(calculator, place)
        asked = ("stress", "forces") if stress else ("forces",)
        if known:
            calculator.atoms, calculator.results = None, {}
            try:
                calculator.calculate(atoms, list(asked), ["positions"])
            except PropertyNotImplementedError:
                if not stress:
                    raise
                calculator.calculate(atoms, ["forces"], ["positions"])
            _put_back(atoms, place)
        found = evaluate(atoms, asked, unchanged=known)
        self._seen, self._seen_cell = getattr(calculator, "atoms", None), place[1]
        return found

    def _was_ours(self, calculator: Any, place: _Place) -> bool:
        """Tell whether the calculator did these atoms last, in the same cell."""
        kind = type(calculator)
        return (
            self._seen is not None
            and getattr(kind, "get_property", None) is Calculator.get_property
            and kind.check_state is Calculator.check_state
            and kind.reset is Calculator.reset
            and calculator.atoms is self._seen
            and place[1] == self._seen_cell
        )


def _refuse(atoms: Any, properties: Collection[str]) -> None:
    one_structure("atoms", atoms)
    unknown = set(properties) - set(PROPERTIES)
    what = f"'{min(unknown)}' was asked for" if unknown else "the atoms have no calculator"
    raise CalculatorError(f"{what}; expected energy, forces, stress, and atoms.calc to be set")


def _ask(calculator: Any, name: str, atoms: Atoms) -> Any:
    """Return one property as the calculator gives it; None for a stress that it does not have."""
    given = getattr(calculator, "implemented_properties", (name,))
    if name == "energy" and name not in given and "free_energy" in given:
        name = "free_energy"
    place = _place(atoms)
    try:
        return calculator.get_property(name, atoms)
    except PropertyNotImplementedError:
        if name == "stress":
            return None
        raise
    finally:
        _put_back(atoms, place)


def _place(atoms: Atoms) -> _Place:
    """Return positions and cell, to be put back where a calculator moves what it is given.

    A copy for it to move would take longer than all else that a step does besides the forces;
    bytes are copied and compared ten times as fast as arrays.
    """
    return atoms.arrays["positions"].tobytes(), atoms.cell.array.tobytes()


def _put_back(atoms: Atoms, place: _Place) -> None:
    positions, cell = place
    if atoms.arrays["positions"].tobytes() != positions:
        atoms.arrays["positions"][:] = np.frombuffer(positions).reshape(-1, 3)
    if atoms.cell.array.tobytes() != cell:
        atoms.set_cell(np.frombuffer(cell).reshape(3, 3))


def _normalised(found: Mapping[str, Any], n_atoms: int) -> Evaluation:
    energy = found.get("energy")
    if energy is None:
        energy = found.get("free_energy")
    forces, stress = found.get("forces"), found.get("stress")
    extras = {name: value for name, value in found.items() if name not in PROPERTIES}
    if extras.get("free_energy") is not None:
        extras["free_energy"] = _number("free_energy", extras["free_energy"])
    return Evaluation(
        energy_eV=None if energy is None else _number("energy", energy),
        forces_eV_A=None if forces is None else _forces(forces, n_atoms),
        stress_eV_A3=None if stress is None else _stress(stress),
        extras=extras,
    )


def _array(value: Any) -> FloatArray:
    """Return numbers in double precision, also of a tensor that is differentiated or elsewhere."""
    detach = getattr(value, "detach", None)
    array: FloatArray = np.array(value if detach is None else detach().cpu(), dtype=float)
    return array


def _number(name: str, value: Any) -> float:
    if type(value) is float:
        return value
    array = _array(value)
    if array.size != 1:
        raise CalculatorError(f"the calculator gave {name} of shape {array.shape}; expected one")
    return float(array.reshape(()))


def _forces(value: Any, n_atoms: int) -> FloatArray:
    forces = _array(value)
    if forces.shape in ((1, n_atoms, 3), (3 * n_atoms,)):  # a batch of one, all coordinates
        forces = forces.reshape(n_atoms, 3)
    if forces.shape != (n_atoms, 3):
        raise CalculatorError(
            f"the calculator gave forces of shape {forces.shape} for {n_atoms} atoms; "
            f"expected {(n_atoms, 3)}"
        )
    return forces


def _stress(value: Any) -> FloatArray:
    stress = _array(value)
    if stress.shape in ((1, 3, 3), (1, 6)):  # a batch of one
        stress = stress[0]
    if stress.shape == (3, 3):
        # As ASE's own Atoms.get_stress.
        stress = symmetric_voigt(stress)
    if stress.shape != (6,):
        raise CalculatorError(
            f"the calculator gave stress of shape {stress.shape}; expected (6,), Voigt order xx "
            "yy zz yz xz xy, or (3, 3)"
        )
    return stress
