"""Which calculator serves which stage, and what that makes of the run's identity."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlmd.calculators.choice import DEFAULT
from mlmd.calculators.known import KNOWN
from mlmd.calculators.precision import parts_of
from mlmd.calculators.registry import IN_BATCHES, repeats_bitwise, way_of_computing
from mlmd.calculators.spec import CalculatorSpec
from mlmd.calculators.weights import by_content
from mlmd.errors import InputError
from mlmd.run.identity import IDENTITY_VERSION

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from mlmd.protocol.tree import ProtocolTree
    from mlmd.stages.stage import Stage

FILES_PREFIX = "calculator-"
_Claim = tuple[int, int]
_claims: dict[_Claim, Path] = {}
"""Calculator objects in use, by process and identity, and the run that uses each."""
_claims_lock = threading.Lock()
FORMER_NAMES = {
    "mlmd.calculators.torch_settings.CHGNetCalculator": "chgnet.model.dynamics.CHGNetCalculator",
    "mlmd.calculators.cp2k.calculator.Cp2k": "mlmd.calculators.cp2k.calculator.Cp2kCalculator",
    "mlmd.calculators.espresso.calculator.Espresso": (
        "mlmd.calculators.espresso.calculator.EspressoCalculator"
    ),
}
"""Classes that had other names when the first runs were recorded."""


class StageCalculators:
    """Calculators by stage name, stage class name, or for all; each made when first needed.

    Parameters
    ----------
    given
        What the user gave: a calculator, a spec, a spec's short form, or a mapping to these.
    protocol
        Whose stages they serve.
    folder
        Where the files of programs (VASP, SIESTA, ...) are kept, one folder each; temporary
        folders where None.
    """

    def __init__(self, given: Any, protocol: ProtocolTree, folder: Path | None = None) -> None:
        sources = dict(given) if isinstance(given, Mapping) else {DEFAULT: given}
        kinds = {type(stage).__name__ for stage in protocol.stages}
        names = {stage.name for stage in protocol.stages}
        for key in sources:
            if key not in names | kinds | {DEFAULT}:
                raise InputError(
                    f"calculator for '{key}' serves no stage; expected a stage name, a stage class "
                    f"or '{DEFAULT}'"
                )
        self._sources = {key: _source(value) for key, value in sources.items()}
        # A walker's place in a batch stands for the model that computes the batch.
        places = {getattr(value, "stands_for", None): value for value in sources.values()}
        self._made: dict[CalculatorSpec, Calculator] = {
            spec: value for spec, value in places.items() if isinstance(spec, CalculatorSpec)
        }
        self._folder = folder
        self._claimed: list[_Claim] = []
        for stage in protocol.stages:
            self.key_of(stage)
        if folder is not None:
            self._claim(folder)

    def key_of(self, stage: Stage) -> str:
        """Return the key that names the calculator of a stage."""
        for key in (stage.name, type(stage).__name__, DEFAULT):
            if key in self._sources:
                return key
        raise InputError(
            f"stage '{stage.name}' has no calculator; name one for it, its class or '{DEFAULT}'"
        )

    def serve(self, stage: Stage) -> Calculator:
        """Return the calculator of a stage; stages with the same spec share one."""
        source = self._sources[self.key_of(stage)]
        if not isinstance(source, CalculatorSpec):
            return source
        if source not in self._made:
            self._made[source] = source.load(self._files_of(source))
        return self._made[source]

    def is_opaque(self, key: str) -> bool:
        """Tell whether what computes the forces is known by what it computes alone.

        Objects are, and the user's own code: its options do not say what it does.
        """
        source = self._sources[key]
        return not isinstance(source, CalculatorSpec) or source.name not in KNOWN

    def known_by(self, key: str) -> str | None:
        """Return a text that is the same for the same forces; None for an object."""
        source = self._sources[key]
        return json.dumps(source.physics()) if isinstance(source, CalculatorSpec) else None

    def close(self) -> None:
        """End the programs and workers of the calculators that were made here; free the others."""
        with _claims_lock:
            for claim in self._claimed:
                _claims.pop(claim, None)
        for calculator in self._made.values():
            close = getattr(calculator, "close", None)
            if callable(close):
                close()

    def _claim(self, folder: Path) -> None:
        """Take the objects for this run: a calculator holds one structure and its results.

        Raises
        ------
        InputError
            If another run has one of them, or a part of it.
        """
        objects = [one for one in self._sources.values() if not isinstance(one, CalculatorSpec)]
        objects += self._made.values()
        parts = {(os.getpid(), id(part)): part for one in objects for part in parts_of(one)}
        with _claims_lock:
            for claim, part in parts.items():
                if claim in _claims:
                    raise InputError(
                        f"the {type(part).__name__} object is in use by the run in "
                        f"{_claims[claim]}, and would give one run the forces of the other: give "
                        "each run an object of its own, or a CalculatorSpec, which makes one"
                    )
            _claims.update(dict.fromkeys(parts, folder))
            self._claimed = list(parts)
        for calculator in parts.values():
            # ASE compares no info and no arrays: what it has may be of another run's structure.
            reset = getattr(calculator, "reset", None)
            if callable(reset):
                reset()

    def _files_of(self, spec: CalculatorSpec) -> Path | None:
        """Return where a program keeps its files, named after what it serves."""
        key = next(key for key, source in self._sources.items() if source == spec)
        return None if self._folder is None else self._folder / f"{FILES_PREFIX}{key}"

    def discard_files(self) -> None:
        """Remove what programs wrote, and the folder if that was all: nothing was run."""
        if self._folder is None:
            return
        for key in self._sources:
            shutil.rmtree(self._folder / f"{FILES_PREFIX}{key}", ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def physics(
        self,
        elements: Collection[str],
        version: int = IDENTITY_VERSION,
        recorded: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return what decides the forces, by key: part of the run's identity.

        Parameters
        ----------
        elements
            Symbols of the structure: only their pseudopotentials count.
        version
            Of the identity.
        recorded
            The same of the run that it is held against.
        """
        return {
            key: self._physics(key, elements, version, recorded.get(key))
            for key in sorted(self._sources)
        }

    def _physics(
        self, key: str, elements: Collection[str], version: int, recorded: Any
    ) -> dict[str, Any]:
        source = self._sources[key]
        if not isinstance(source, CalculatorSpec):
            return _describe(source)
        if version == 1:
            return source.physics()
        physics = source.physics(elements)
        if source.name in KNOWN:  # those know their files
            return physics
        content: dict[str, Any] = by_content(physics, recorded)
        return content

    def to_dict(self) -> dict[str, Any]:
        """Return specs, or a description of the calculators given ready-made."""
        return {
            key: source.to_dict() if isinstance(source, CalculatorSpec) else _describe(source)
            for key, source in sorted(self._sources.items())
        }

    def made(self) -> dict[str, dict[str, Any]]:
        """Return on what the calculators made so far compute, and how, by key."""
        return {
            key: way_of_computing(source, self._made[source])
            for key, source in sorted(self._sources.items())
            if isinstance(source, CalculatorSpec) and source in self._made
        }

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages that compute forces."""
        versions: dict[str, str] = {}
        for source in self._sources.values():
            if isinstance(source, CalculatorSpec):
                versions.update(source.packages())
        return versions

    def reproducible(self) -> tuple[bool | None, str | None]:
        """Tell whether all that were made repeat their forces bit for bit, and why.

        False: one is known not to, since it begins from where its last step ended (a program
        that uses its wave functions again), or runs on many threads. None: not known.
        """
        found = [repeats_bitwise(spec, calculator) for spec, calculator in self._made.items()]
        for source in self._sources.values():
            if not isinstance(source, CalculatorSpec):
                batched = getattr(source, "in_batches", False)
                why = IN_BATCHES if batched else "a calculator was given ready-made"
                found.append((False if batched else None, why))
        for answer in (False, None, True):
            because = [why for repeats, why in found if repeats is answer]
            if because:
                return answer, "; ".join(because)
        return None, None


def _source(value: Any) -> CalculatorSpec | Calculator:
    stands_for = getattr(value, "stands_for", None)
    if isinstance(stands_for, CalculatorSpec):
        return stands_for
    if isinstance(value, str | CalculatorSpec | Mapping):
        return CalculatorSpec.of(value)
    if hasattr(value, "get_property") and hasattr(value, "implemented_properties"):
        return value  # type: ignore[no-any-return]
    raise InputError(
        f"calculator is {type(value).__name__}; expected an ASE calculator, a CalculatorSpec or a "
        "name such as 'chgnet'"
    )


def _describe(calculator: Calculator) -> dict[str, Any]:
    """Describe a ready-made calculator by its class and its parameters where they are data."""
    parameters: dict[str, Any] = {}
    for key, value in sorted(dict(getattr(calculator, "parameters", {})).items()):
        try:
            parameters[key] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError):
            parameters[key] = type(value).__name__
    kind = type(getattr(calculator, "stands_for", calculator))
    return {
        "class": recorded_name(f"{kind.__module__}.{kind.__qualname__}"),
        "parameters": parameters,
    }


def recorded_name(name: str) -> str:
    """Return the name that a class is recorded by: for mlmd's own, where it stood at first.

    The name is part of a run's identity, and a class that moves is no other potential.
    """
    for room in ("models", "programs"):
        name = name.replace(f"mlmd.calculators.{room}.", "mlmd.calculators.", 1)
    return FORMER_NAMES.get(name, name)
