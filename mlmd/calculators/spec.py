"""A calculator as plain data: picklable, hashable into a run's identity, loadable anywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class CalculatorSpec:
    """What is needed to make a calculator, here or in another process.

    Attributes
    ----------
    name
        A known name (``mlmd calculators`` lists them) or ``package.module:factory``, a
        callable that returns an ASE calculator. The latter runs your own code.
    model
        Version or file of the model's weights; the package's default where None.
    device
        ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...
    threads
        CPU threads of the model. One is bitwise repeatable for every model and does not
        collapse when another process is busy; it is the default.
    options
        Keyword arguments of the calculator itself; part of the physics.
    dtype
        ``"float32"`` or ``"float64"``; the model's own where None. Part of the physics where
        given.
    deterministic
        Have torch use deterministic algorithms only, for the whole process: forces then
        repeat bit for bit on a GPU too, where the model allows it.
    python
        Interpreter of another environment in which the calculator runs, as a process of its
        own; in this process where None.
    timeout_s
        Wall time after which a force call of a calculator in its own process, or of a
        program, has hung; no limit where None.
    """

    name: str
    model: str | None = None
    device: str = "auto"
    threads: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    dtype: str | None = None
    deterministic: bool = False
    python: str | None = None
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        """Freeze the options and check what can be checked without loading anything."""
        from mlmd.calculators.registry import check_name

        for name in ("name", "model", "device", "python"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name in ("model", "python") and value is None):
                raise InputError(f"{name} of the calculator is {value!r}; expected text")
        check_name(self.name)
        if self.dtype not in (None, *DTYPES):
            raise InputError(f"dtype is {self.dtype!r}; expected {' or '.join(DTYPES)}")
        if not isinstance(self.deterministic, bool):
            raise InputError(f"deterministic is {self.deterministic!r}; expected true or false")
        if self.timeout_s is not None:
            timeout_s = positive_number("timeout_s", self.timeout_s, "s")
            object.__setattr__(self, "timeout_s", timeout_s)
        if isinstance(self.threads, bool) or not isinstance(self.threads, int) or self.threads < 1:
            raise InputError(f"threads is {self.threads!r}; expected a whole number of at least 1")
        try:
            options = json.loads(json.dumps(dict(self.options), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"options of calculator '{self.name}' must be plain data (numbers, text, lists, "
                f"mappings) so that a run can be identified by them: {error}"
            ) from error
        object.__setattr__(self, "options", MappingProxyType(options))

    def __hash__(self) -> int:
        """Hash by content, but for the values of the options: 8 and 8.0 are equal."""
        plain = {**self.to_dict(), "options": frozenset(self.options)}
        return hash(tuple(plain.values()))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as plain data (a mapping proxy alone does not)."""
        return _from_dict, (self.to_dict(),)

    @classmethod
    def parse(cls, text: str, **changes: Any) -> CalculatorSpec:
        """Read ``name``, ``name:model`` or ``package.module:factory``.

        Parameters
        ----------
        text
            As given on the command line or in YAML.
        **changes
            Other fields of the spec.

        Raises
        ------
        InputError
            If the name is neither known nor of the form ``package.module:factory``.
        """
        from mlmd.calculators.registry import is_known

        name, colon, model = text.partition(":")
        if colon and is_known(name):
            if not model:
                raise InputError(f"calculator '{text}' names no model after the colon")
            if changes.get("model") is not None:
                raise InputError(
                    f"calculator '{text}' names a model and model is {changes['model']!r}: give one"
                )
            return cls(**{**changes, "name": name, "model": model})
        return cls(name=text, **changes)

    @classmethod
    def of(cls, value: Any, **common: Any) -> CalculatorSpec:
        """Read a spec as YAML gives it: its short form, or a mapping of its fields.

        Parameters
        ----------
        value
            ``"chgnet"`` or ``{"name": "vasp", "options": {"encut_eV": 400}}``.
        **common
            Fields that hold where the value does not give its own.

        Raises
        ------
        InputError
            If it is neither, or a field is not known.
        """
        if isinstance(value, CalculatorSpec):
            return value
        if isinstance(value, str):
            return cls.parse(value, **common)
        known = [item.name for item in fields(cls)]
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise InputError(
                f"calculator is {value!r}; expected a name such as 'chgnet' or a mapping with its "
                f"name and of {', '.join(known[1:])}"
            )
        unknown = sorted(str(key) for key in value if key not in known)
        if unknown:
            raise InputError(
                f"calculator '{value['name']}' has no field {', '.join(unknown)}; it has "
                f"{', '.join(known)}, and settings of its own under options"
            )
        given = {key: item for key, item in value.items() if key != "name"}
        return cls.parse(value["name"], **{**common, **given})

    def load(self, directory: Path | None = None) -> Calculator:
        """Make the calculator.

        Parameters
        ----------
        directory
            Where a program (VASP, SIESTA, ...) keeps its files; a new temporary folder where
            None. A model keeps none.

        Raises
        ------
        MissingExtraError
            If its package is not installed.
        InputError
            If the model or an option is not known to it.
        """
        from mlmd.calculators.registry import build

        return build(self, directory)

    def physics(self) -> dict[str, Any]:
        """Return what decides the forces: name, model with its checksum, options.

        Device, threads, time-out and interpreter are not in it: they change rounding at most.
        """
        from mlmd.calculators.registry import physics

        return physics(self)

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages that compute the forces."""
        from mlmd.calculators.registry import packages

        return packages(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data, the form written to a run's manifest."""
        return {
            "name": self.name,
            "model": self.model,
            "device": self.device,
            "threads": self.threads,
            "options": dict(self.options),
            "dtype": self.dtype,
            "deterministic": self.deterministic,
            "python": self.python,
            "timeout_s": self.timeout_s,
        }


def _from_dict(plain: dict[str, Any]) -> CalculatorSpec:
    return CalculatorSpec(**plain)


def refuse_unknown(spec: CalculatorSpec, known: Iterable[str]) -> None:
    """Raise InputError for options that a calculator would swallow without a word."""
    unknown = sorted(set(spec.options) - set(known))
    if unknown:
        raise InputError(
            f"calculator '{spec.name}' has no option {', '.join(unknown)}; it has "
            f"{', '.join(sorted(known)) or 'none'}"
        )


def positive_number(name: str, value: Any, unit: str) -> float:
    """Return `value` as a float, or say that it has to be a positive number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(f"{name} is {value!r}; expected a positive number in {unit}")
    return float(value)
