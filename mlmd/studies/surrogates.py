"""The potentials of a study, each under a label of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from mlmd.calculators.choice import DEFAULT, chosen_calculators
from mlmd.calculators.spec import CalculatorSpec
from mlmd.checks import listed, texts
from mlmd.errors import InputError

Calculators = str | CalculatorSpec | Sequence[str | CalculatorSpec] | Mapping[str, Any]


def labelled(calculators: Calculators) -> dict[str, CalculatorSpec]:
    """Give every calculator a label: its own where there is one, else its name and model.

    Parameters
    ----------
    calculators
        One, several, or a mapping from label to a calculator, each in a form of
        :meth:`mlmd.CalculatorSpec.of`.

    Raises
    ------
    InputError
        If there is none, or one is not understood.
    """
    if isinstance(calculators, Mapping):
        found = {str(label): CalculatorSpec.of(value) for label, value in calculators.items()}
    else:
        given = (
            [calculators]
            if isinstance(calculators, str | CalculatorSpec)
            else listed("calculators", calculators, "calculators")
        )
        found = {}
        for spec in map(CalculatorSpec.of, given):
            label = _free(_name(spec), found)
            found[label] = spec
    if not found or not all(label.strip() for label in found):
        raise InputError("no calculator was given; expected at least one, such as chgnet")
    return found


def read_surrogates(words: Sequence[str], **common: Any) -> dict[str, CalculatorSpec]:
    """Read ``chgnet``, ``LABEL=chgnet`` and YAML files of labels, each label once.

    Parameters
    ----------
    words
        As a command line has them.
    **common
        Fields of every spec that does not give its own; ``options`` of a single one only.

    Raises
    ------
    InputError
        If a word is not understood, or a label comes twice.
    """
    named: dict[str, CalculatorSpec] = {}
    bare: list[CalculatorSpec] = []
    for word in texts("calculators", words):
        found = chosen_calculators([word], **common)
        if DEFAULT in found:
            bare.append(found.pop(DEFAULT))
        for label in found.keys() & named.keys():
            raise InputError(f"two calculators are labelled '{label}'; expected one")
        named |= found
    everything = named | (labelled(bare) if bare else {})
    if len(everything) < len(named) + len(bare):
        raise InputError("a label is the name of another calculator too; give it another")
    if len(everything) > 1 and common.get("options"):
        raise InputError(
            "--calculator-option with several calculators: give them in a YAML file, under "
            "options of the calculator that they are for"
        )
    return everything


def folder_names(labels: Sequence[str]) -> dict[str, str]:
    """Return a name for the files of each label: letters, digits and ``. + _ -`` alone."""
    names: dict[str, str] = {}
    for label in labels:
        plain = re.sub(r"[^A-Za-z0-9+_-]+", "-", label).strip("-")[:60] or "surrogate"
        names[label] = _free(plain, {name.lower(): name for name in names.values()})
    return names


def _name(spec: CalculatorSpec) -> str:
    if spec.model is None:
        return spec.name
    return f"{spec.name}:{PurePath(spec.model).name or spec.model}"


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name that is not taken, with a number behind it where it has to be."""
    candidate, n = name, 1
    while candidate in taken or candidate.lower() in taken:
        n += 1
        candidate = f"{name}-{n}"
    return candidate
