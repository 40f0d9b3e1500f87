"""What every stage is: settings that check themselves, and one method that does the work."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from mlmd.checks import by_name, is_number, positive_number, shown
from mlmd.errors import InputError
from mlmd.structure.constraints import held_atoms

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from mlmd.stages.context import StageContext


SINCE_RUNS = {"left_out_where_none": True}
"""Metadata of a field that is younger than runs that are to keep their identity: where it is None
:meth:`Stage.to_dict` leaves it out."""


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """One leg of a protocol.

    Attributes
    ----------
    name
        Unique in the protocol; letters, digits, ``-``, ``_``, ``.``.
    starts_from
        Name of the stage whose last structure this one takes; the stage before where None.
    """

    name: str
    starts_from: str | None = None

    measured: ClassVar[bool] = False
    """Whether the stage's trajectory is what the protocol is for: analysed by default."""

    def __post_init__(self) -> None:
        """Check what all stages share."""
        self.settle_numbers()
        name = self.name
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.\-]{,99}", name):
            raise InputError(
                f"stage name {shown(name)} cannot be used; expected at most 100 letters, digits, "
                "'-', '_', '.'"
            )
        if self.starts_from is not None and not isinstance(self.starts_from, str):
            raise InputError(
                f"stage '{name}': starts_from is {shown(self.starts_from)}; expected the name of a "
                "stage"
            )

    def settle_numbers(self) -> None:
        """Make plain floats of numbers where floats are meant, whoever made them."""
        for item in fields(self):
            value = getattr(self, item.name)
            if str(item.type).startswith("float") and is_number(value):
                try:
                    object.__setattr__(self, item.name, float(value))
                except OverflowError:
                    object.__setattr__(self, item.name, math.inf)  # refused with its name

    @property
    def stress_is_for(self) -> str:
        """What the stage needs stress for, as the end of a sentence; empty where it needs none."""
        return ""

    def check_calculator(self, calculator: Calculator, gives_stress: bool) -> None:
        """See that a calculator has what the stage needs, before anything is run.

        Raises
        ------
        InputError
            If the stage needs stress and the calculator gives none.
        """
        if self.stress_is_for and not gives_stress:
            raise InputError(
                f"stage '{self.name}' needs stress {self.stress_is_for}; the calculator "
                f"{type(calculator).__name__} gives none"
            )

    def check_atoms(self, atoms: Atoms) -> None:
        """See, before anything is run, that the cell of these atoms can change where it is to.

        Raises
        ------
        InputError
            If atoms are held, which it would move, or a direction is not periodic.
        """
        if not self.stress_is_for:
            return
        if not all(atoms.pbc):
            raise InputError(
                f"stage '{self.name}' needs stress {self.stress_is_for}, and the structure is "
                f"periodic as {atoms.pbc.tolist()}; expected all three directions, or no such stage"
            )
        if held := int(held_atoms(atoms).sum()):
            raise InputError(
                f"stage '{self.name}' needs stress {self.stress_is_for}, and changes the cell by "
                f"it, which would move the {held} atoms that FixAtoms holds; expected none held, "
                "or no such stage"
            )

    @property
    def n_steps(self) -> int:
        """Steps of dynamics that the stage takes (0 where it takes none)."""
        return 0

    @abstractmethod
    def run(self, atoms: Atoms, context: StageContext) -> tuple[Atoms, Any]:
        """Do the work.

        Parameters
        ----------
        atoms
            Where the stage starts; not changed.
        context
            Calculator, random numbers, files, the stop token and the progress report.

        Returns
        -------
        atoms, result
            The last structure, and a dataclass of what was found.

        Raises
        ------
        StoppedError
            If the stop token was set; a checkpoint is written then.
        """

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain data: ``class``, then its fields."""
        values = {
            item.name: value
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None or item.metadata != SINCE_RUNS
        }
        return {"name": values.pop("name"), "class": type(self).__name__, **values}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Stage:
        """Make a stage from plain data, all of whose keys must be fields of the class."""
        by_name(f"stage of class {cls.__name__}", settings)
        known = {item.name for item in fields(cls)}
        unknown = [str(key) for key in settings if key not in known]
        if unknown:
            raise InputError(
                f"stage '{settings.get('name', '?')}' ({cls.__name__}) has unknown key(s) "
                f"{', '.join(unknown)}; expected among {', '.join(sorted(known))}"
            )
        try:
            return cls(**settings)
        except TypeError as error:
            missing = str(error).partition("missing ")[2] or str(error)
            raise InputError(
                f"stage '{settings.get('name', '?')}' ({cls.__name__}) lacks {missing}"
            ) from error


def require_positive(stage: Stage, **values: Any) -> None:
    """Raise InputError unless each of the named values is a finite number above zero."""
    for name, value in values.items():
        positive_number(f"stage '{stage.name}': {name}", value)
