"""What doubts a number: one form, which terminal, JSON, report and Python all show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["note", "doubt", "invalid"]


@dataclass(frozen=True)
class Finding:
    """One thing to know before a number is believed.

    Attributes
    ----------
    code
        A name that does not change, for programs: ``not_diffusive``.
    severity
        ``note``: good to know. ``doubt``: the number may be wrong. ``invalid``: there is no such
        number, or it must not be used.
    message
        In words, one line; it names the stage, species or system that it is about.
    numbers
        What it rests on, by name with the unit.
    """

    code: str
    severity: Severity
    message: str
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain types for JSON."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "numbers": dict(self.numbers),
        }


FLAGS = {
    "centre_of_few_atoms": "the centre of mass held at rest is that of fewer than ten atoms, and "
    "moves with them: D is too small, by 1/N of N that are alike; take --drift none "
    "(drift='none') if nothing else drifts",
    "fixed_atoms": "atoms were held in place: no drift is taken out, and D of their species is the "
    "mean over those that move and those that do not",
    "forces_are_no_gradient": "the forces are not the derivative of the calculator's energy: they "
    "heat or cool what they move, which the thermostat hides",
    "langevin_friction": "D is biased: the friction of the Langevin thermostat slows atoms down; "
    "measure with nose_hoover or bussi",
    "open_boundary": "not periodic in all directions: D is that of a slab, g(r) is relative to the "
    "density of the cell with its vacuum, and there is no pressure",
}
"""What a flag of a stage means, where its name does not say it."""


def of_flags(flags: Iterable[str]) -> tuple[Finding, ...]:
    """Return the doubts that a stage of a run is marked with, in words."""
    return tuple(Finding(flag, "doubt", FLAGS.get(flag, flag.replace("_", " "))) for flag in flags)
