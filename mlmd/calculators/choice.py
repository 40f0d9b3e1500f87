"""Calculators as words: one for all stages, or some for some of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlmd.calculators.known import KNOWN
from mlmd.calculators.registry import interpreter
from mlmd.calculators.spec import CalculatorSpec
from mlmd.checks import shown, texts
from mlmd.errors import InputError
from mlmd.yaml_text import read_yaml_file

DEFAULT = "default"
"""Key of the calculator of every stage that none is named for."""


def chosen_calculators(words: Sequence[str], **common: Any) -> dict[str, CalculatorSpec]:
    """Read what a command line says of calculators.

    Parameters
    ----------
    words
        Each a calculator (``chgnet``, ``mace:/path/model``), a calculator for a stage or a class
        of stages (``melt=chgnet``, ``Production=vasp``), or a YAML file that maps ``default``,
        stages and classes to either form of :meth:`mlmd.CalculatorSpec.of`.
    **common
        Fields of every spec that does not give its own.

    Returns
    -------
    dict
        Specs by stage name, stage class name or ``default``.

    Raises
    ------
    InputError
        If a word is not understood, or a stage is served twice.
    """
    found: dict[str, CalculatorSpec] = {}
    for word in texts("calculators", words):
        key, equals, value = word.partition("=")
        if word.endswith((".yaml", ".yml")):
            entries = _read(Path(word))
        elif equals and key.replace("-", "").replace("_", "").isalnum():
            entries = {key: value}
        else:
            entries = {DEFAULT: word}
        for name, entry in entries.items():
            if name in found:
                raise InputError(f"two calculators are given for '{name}'; expected one")
            found[name] = CalculatorSpec.of(entry, **common)
    for name in ("dtype", "deterministic", "timeout_s", "device"):
        given = common.get(name) not in (None, False, "auto", "cpu")
        if given and not any(_uses(spec, name) for spec in found.values()):
            kinds = " and ".join(dict.fromkeys(spec.name for spec in found.values()))
            of = {"timeout_s": "programs and of calculators in another environment"}
            raise InputError(
                f"{name} is of {of.get(name, 'models on torch')}; {kinds} would pass "
                f"{shown(common[name])} over: leave it out"
            )
    if len(found) > 1 and common.get("options"):
        raise InputError(
            "options for one of several calculators: give them in a YAML file, under options of "
            "the calculator that they are for"
        )
    return found


def chosen_calculator(word: str, **common: Any) -> CalculatorSpec:
    """Read a command line that has one calculator for all it does; see :func:`chosen_calculators`.

    Raises
    ------
    InputError
        If the word is not understood, or names calculators of stages.
    """
    found = chosen_calculators([word], **common)
    if list(found) != [DEFAULT]:
        raise InputError(f"'{word}' is not one calculator for all; expected chgnet, say")
    return found[DEFAULT]


def _uses(spec: CalculatorSpec, name: str) -> bool:
    """Tell whether a field of a spec does anything for it."""
    known = KNOWN.get(spec.name)
    if name == "timeout_s":
        return interpreter(spec) is not None or (known is not None and known.program is not None)
    return known is not None and "torch" in known.distributions


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml_file(path)
    except InputError as error:
        raise InputError(f"calculators of {path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise InputError(
            f"{path} has no calculators; expected lines such as 'default: chgnet' and "
            "'Production: {name: vasp, options: {encut_eV: 400}}'"
        )
    return content
