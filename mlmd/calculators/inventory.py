"""What is there: packages, programs, weights and devices."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from mlmd.calculators.isolation.environments import installable
from mlmd.calculators.known import KNOWN, Entry
from mlmd.calculators.registry import interpreter, is_installed
from mlmd.calculators.spec import CalculatorSpec
from mlmd.errors import InputError


def inventory() -> dict[str, dict[str, Any]]:
    """Return, by name, what is known of each calculator.

    Returns
    -------
    dict
        ``name``, ``summary``; ``installed`` (here), ``python`` (the interpreter of the
        environment made for it, None where it runs here or nowhere), ``install`` (what pip would
        be given), ``own_environment`` (whether one can be made), ``program`` (that it needs) and
        ``command_variable`` (which names it), ``models`` (the file of each by name, None where
        it has to be fetched).
    """
    return {name: _of(name, entry) for name, entry in KNOWN.items()}


def _of(name: str, entry: Entry) -> dict[str, Any]:
    here = is_installed(name)
    python = None if here else interpreter(CalculatorSpec(name))
    return {
        "name": name,
        "summary": entry.summary,
        "installed": here,
        "python": python,
        "install": f"mlmd[{entry.extra}]" if entry.extra else None,
        "own_environment": name in installable(),
        "program": entry.program,
        "command_variable": next(iter(entry.command_variables), None),
        "models": _models(entry) if here or python is not None else {},
    }


def _models(entry: Entry) -> dict[str, str | None]:
    """Return the models that come with an installed package or can be fetched for it."""
    module = importlib.import_module(entry.module)
    try:
        found = module.models() if hasattr(module, "models") else {}
    except InputError:  # its package is in the other environment, and its models with it
        return {}
    return {name: None if file is None else str(file) for name, file in found.items()}


def devices() -> list[str]:
    """Return the devices that torch sees; nothing where torch is not installed."""
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    found = ["cpu"]
    for index in range(torch.cuda.device_count()):
        found.append(f"cuda:{index} ({torch.cuda.get_device_name(index)})")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found
