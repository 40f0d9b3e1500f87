"""Verdicts of a comparison as rows: a property over all temperatures, then at each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlmd.report.page.elements import Cell, of
from mlmd.report.page.numbers import number

TITLES = {
    "rdf": "Structure, g(r)",
    "coordination": "Coordination numbers",
    "structure_factor": "Structure factor S(q)",
    "vdos": "Vibrations (VDOS)",
    "diffusivity": "Diffusivity",
    "activation_energy": "Activation energy",
    "energies": "Energies",
    "forces": "Forces",
    "softening": "Force slope (softening)",
    "pressure": "Pressure",
}
"""Properties as people call them."""

VALUES = {
    "rdf": ("R² ", "", 4),
    "coordination": ("off by ", "", 2),
    "structure_factor": ("R² ", "", 4),
    "vdos": ("overlap ", "", 3),
    "diffusivity": ("log₁₀ ratio ", "", 2),
    "activation_energy": ("off by ", " eV", 2),
    "energies": ("", " meV/atom", 3),
    "forces": ("cosine ", "", 3),
    "softening": ("", "", 3),
    "pressure": ("", " GPa", 2),
}
"""What stands before and after the value of a verdict, and its digits."""

THRESHOLDS = {
    "r2_min": "R² at least {:g}",
    "r2_same": "the same from R² {:g}",
    "excess_max": "at most {:g} times the noise",
    "vdos_overlap_min": "overlap at least {:g}",
    "coordination_relative": "within {:.3%}",
    "coordination_absolute": "or within {:g}",
    "diffusivity_factor": "within a factor of {:g}",
    "activation_energy_eV": "within {:g} eV",
    "energy_mae_meV_atom": "at most {:g} meV/atom",
    "force_cosine_min": "cosine at least {:g}",
    "softening": "slope within {:g} of 1",
    "pressure_bias_GPa": "within {:g} GPa",
    "share": "in {:.3%} of the systems",
}
"""Limits in words, by their names in :class:`mlmd.comparison.Thresholds`."""


@dataclass(frozen=True)
class VerdictRow:
    """One verdict.

    Attributes
    ----------
    key, property, title
        The property's key and name, and the row's own name.
    temperature
        Key of the temperature; empty for a verdict over all of them.
    overall
        Whether it is over all temperatures.
    answer, reason
        ``yes``, ``no`` or ``inconclusive``, and why.
    value, threshold
        What it rests on.
    """

    key: str
    property: str
    title: str
    temperature: str
    overall: bool
    answer: str
    reason: str
    value: Cell
    threshold: str


def verdict_rows(verdicts: Mapping[str, Any]) -> tuple[VerdictRow, ...]:
    """Return the rows of ``Comparison.to_dict()["verdict"]``."""
    rows = []
    for key, verdict in verdicts.items():
        name = TITLES.get(key, key)
        by_temperature = verdict.get("by_temperature") or {}
        threshold = ", ".join(
            limit_in_words(what, value) for what, value in (verdict.get("threshold") or {}).items()
        )
        only = next(iter(by_temperature)) if len(by_temperature) == 1 else ""
        title = f"{name}, {_kelvin(only)}" if only else name
        rows.append(_row(key, name, title, only, verdict, threshold))
        if not only:
            rows += [
                _row(key, name, f"at {_kelvin(T)}", T, part, "")
                for T, part in by_temperature.items()
            ]
    return tuple(rows)


def _row(
    key: str, name: str, title: str, temperature: str, verdict: Mapping[str, Any], threshold: str
) -> VerdictRow:
    return VerdictRow(
        key=key,
        property=name,
        title=title,
        temperature=temperature,
        overall=not title.startswith("at "),
        answer=str(verdict["answer"]),
        reason=str(verdict["reason"]),
        value=_value(key, verdict.get("value")),
        threshold=threshold,
    )


def limit_in_words(name: str, value: float) -> str:
    """Say what a limit asks for; its name and value where nothing better is known."""
    text = THRESHOLDS.get(name, name.replace("_", " ") + " {:g}").format(value)
    return re.sub(r"\.?0+%", " %", text)


def _value(key: str, value: float | None) -> Cell:
    if value is None:
        return of(None)
    before, after, digits = VALUES.get(key, ("", "", 3))
    return Cell(f"{before}{number(value, digits)}{after}", value)


def _kelvin(temperature: str) -> str:
    return (
        "temperature not known" if temperature == "unknown" else f"{temperature}\N{NO-BREAK SPACE}K"
    )
