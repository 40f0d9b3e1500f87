"""What doubts a number: one form, which terminal, JSON, report and Python all show."""

from __future__ import annotations

from collections.abc import Mapping
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
