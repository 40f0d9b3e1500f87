"""Verdicts of a comparison as rows: a property over all temperatures, then at each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlmd.digits import DASH, number, r_squared_text
from mlmd.report.comparison.contents import Content
from mlmd.report.page.elements import Cell

PROPERTIES = {
    "rdf": ("Structure, g(r)", "R² {}", 0),
    "coordination": ("Coordination numbers", "off by {}", 2),
    "structure_factor": ("Structure factor S(q)", "R² {}", 0),
    "vdos": ("Vibrations (VDOS)", "overlap {}", 3),
    "diffusivity": ("Diffusivity", "log₁₀ ratio {}", 2),
    "activation_energy": ("Activation energy", "off by {} eV", 2),
    "energies": ("Energies", "{} meV/atom", 3),
    "forces": ("Forces", "cosine {}", 3),
    "softening": ("Force slope (softening)", "{}", 3),
    "pressure": ("Pressure", "{} GPa", 2),
}
"""Properties as people call them, the value of a verdict in words, and its digits (0: of R²)."""

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


def verdict_rows(verdicts: Content) -> tuple[VerdictRow, ...]:
    """Return the rows of ``Comparison.to_dict()["verdict"]``."""
    rows = []
    for key, verdict in verdicts.items():
        name, value_in_words, digits = PROPERTIES.get(key, (key, "{}", 3))
        by_temperature = verdict.get("by_temperature") or {}
        only = next(iter(by_temperature)) if len(by_temperature) == 1 else ""
        parts = [(f"{name}, {_kelvin(only)}" if only else name, only, verdict)]
        if not only:
            parts += [(f"at {_kelvin(T)}", T, part) for T, part in by_temperature.items()]
        for title, temperature, one in parts:
            overall = one is verdict
            limits = (one.get("threshold") or {}) if overall else {}
            value = one.get("value")
            # Of R² as many digits as show its distance from 1.
            shown = number(value, digits) if digits else r_squared_text(value)
            text = DASH if value is None else value_in_words.format(shown)
            rows.append(
                VerdictRow(
                    key=key,
                    property=name,
                    title=title,
                    temperature=temperature,
                    overall=overall,
                    answer=str(one["answer"]),
                    reason=str(one["reason"]),
                    value=Cell(text, value),
                    threshold=", ".join(limit_in_words(*limit) for limit in limits.items()),
                )
            )
    return tuple(rows)


def property_name(key: str) -> str:
    """Return what people call a property, or whatever else a comparison names."""
    return PROPERTIES[key][0] if key in PROPERTIES else key


def limit_in_words(name: str, value: float) -> str:
    """Say what a limit asks for; its name and value where nothing better is known."""
    text = THRESHOLDS.get(name, name.replace("_", " ") + " {:g}").format(value)
    return re.sub(r"\.?0+%", " %", text)


def _kelvin(temperature: str) -> str:
    return (
        "temperature not known" if temperature == "unknown" else f"{temperature}\N{NO-BREAK SPACE}K"
    )
