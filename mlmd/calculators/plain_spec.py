"""A calculator as plain data: picklable, and the same in every process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Self

from mlmd.calculators.known import KNOWN, check_name
from mlmd.checks import choice, positive_number, truth, whole_number
from mlmd.errors import InputError

D3 = "d3"
"""The option of every model that adds dispersion; :mod:`mlmd.calculators.dispersion` reads it."""
DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class PlainSpec:
    """The fields of :class:`mlmd.CalculatorSpec`, which says what they mean, and how they are read.

    Apart from it, so that what makes calculators can know a spec, and a spec what makes them.
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
    trust: bool = False

    def __post_init__(self) -> None:
        """Freeze the options and check what can be checked without loading anything."""
        for name in ("name", "model", "device", "python"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name in ("model", "python") and value is None):
                raise InputError(f"{name} of the calculator is {value!r}; expected text")
        check_name(self.name)
        if self.dtype is not None:
            choice("dtype", self.dtype, DTYPES)
        truth("deterministic", self.deterministic)
        truth("trust", self.trust)
        if self.timeout_s is not None:
            object.__setattr__(self, "timeout_s", positive_number("timeout_s", self.timeout_s, "s"))
        object.__setattr__(self, "threads", whole_number("threads", self.threads))
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
        return type(self)._from_dict, (self.to_dict(),)

    @classmethod
    def _from_dict(cls, plain: dict[str, Any]) -> Self:
        return cls(**plain)

    @classmethod
    def parse(cls, text: str, **changes: Any) -> Self:
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
        name, colon, model = text.partition(":")
        if colon and name in KNOWN:
            if not model:
                raise InputError(f"calculator '{text}' names no model after the colon")
            if changes.get("model") is not None:
                raise InputError(
                    f"calculator '{text}' names a model and model is {changes['model']!r}: give one"
                )
            return cls(**{**changes, "name": name, "model": model})
        return cls(name=text, **changes)

    @classmethod
    def of(cls, value: Any, **common: Any) -> Self:
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
        if isinstance(value, cls):
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
            # Only where given: runs made before there was a choice stay what they were.
            **({"trust": True} if self.trust else {}),
        }


def refuse_unknown(spec: PlainSpec, known: Iterable[str]) -> None:
    """Raise InputError for options that a calculator would swallow without a word."""
    unknown = sorted(set(spec.options) - set(known))
    if unknown:
        raise InputError(
            f"calculator '{spec.name}' has no option {', '.join(unknown)}; it has "
            f"{', '.join(sorted(known)) or 'none'}"
        )
