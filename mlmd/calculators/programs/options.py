"""Settings of a program: its options, each with a default and a rule, read from a spec."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ase.data import chemical_symbols

from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.programs.functionals import OPTION
from mlmd.calculators.programs.kpoints import checked_grid, divisions
from mlmd.checks import choice, positive_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import ArrayLike

    from mlmd.calculators.plain_spec import PlainSpec

QUALITY = "quality"
"""Option that sets cutoff, basis and k-points at once: ``draft``, ``md`` or ``accurate``."""

Rule = Callable[[str, Any], Any]
"""Takes the name of an option and what was given, returns what is kept; as in mlmd.checks."""


def as_given(name: str, value: Any) -> Any:
    """Return a value that is checked by what reads it."""
    return value


def option(default: Any, rule: Rule = as_given) -> Any:
    """Return a field of settings; where the default is None, None is not held against the rule."""
    # A dataclass takes no mapping as a default that all instances would share.
    given: dict[str, Any] = {"default_factory": dict} if default == {} else {"default": default}
    return field(metadata={"rule": rule}, **given)


def positive(unit: str) -> Rule:
    """Return the rule of a positive number of some unit."""
    return partial(positive_number, unit=unit)


def one_of(*known: str) -> Rule:
    """Return the rule of one of some words."""
    return partial(choice, known=known)


def text(name: str, value: Any) -> str:
    """Return a value that has to be text."""
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}; expected text")
    return value


def by_symbol(rule: Rule, *, or_one: bool = False) -> Rule:
    """Return the rule of a mapping from chemical symbols to what obeys `rule`.

    With `or_one` one such value for all elements will do.
    """

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, Mapping):
            if or_one:
                return rule(name, value)
            raise InputError(f"{name} is {value!r}; expected a mapping such as {{Li: ...}}")
        for symbol, item in value.items():
            if symbol not in chemical_symbols[1:]:
                raise InputError(f"{name} names '{symbol}'; expected a chemical symbol")
            rule(f"{name} of {symbol}", item)
        return value

    return check


def refused(name: str, key: str, reason: str) -> InputError:
    """Return the error of a key in an option for further input that is not the user's to set."""
    return InputError(f"{name}: {key} is not for you to set: {reason}")


@dataclass(frozen=True, kw_only=True)
class ProgramSettings:
    """What is calculated: the options of a spec, checked. Each program adds its own.

    Attributes
    ----------
    scf_unconverged
        ``"stop"``: an SCF that does not converge is an error; ``"continue"``: its forces are
        used, and such calls counted.
    spin
        Whether and how it is spin-polarised, as the program has it.
    """

    spin: bool | str | Mapping[str, float] | None
    scf_unconverged: str = option("stop", one_of("stop", "continue"))

    read_elsewhere: ClassVar[tuple[str, ...]] = ("command", OPTION, QUALITY)
    """Options that are no settings."""
    apart: ClassVar[tuple[str, ...]] = ("scf_unconverged",)
    """Settings that do not decide the forces, or stand for files that are known by content."""
    qualities: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Settings by the word of the option ``quality``."""

    def __post_init__(self) -> None:
        """Hold every option against its rule."""
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None or item.default is not None:
                object.__setattr__(self, item.name, item.metadata["rule"](item.name, value))

    @classmethod
    def of(cls, spec: PlainSpec) -> Self:
        """Read the options of a spec; one that is None is as good as not given.

        Raises
        ------
        InputError
            If an option is unknown or has a value that cannot be meant.
        """
        known = [item.name for item in fields(cls)]
        if spec.model is not None:
            raise InputError(
                f"calculator '{spec.name}' has no models; given '{spec.model}'; what it computes "
                f"is said by its options ({', '.join(known)})"
            )
        refuse_unknown(spec, (*cls.read_elsewhere, *known))
        given = {name: value for name, value in spec.options.items() if value is not None}
        if QUALITY in given:
            given = cls.filled(given, cls.qualities[choice(QUALITY, given[QUALITY], cls.qualities)])
        return cls(**{name: given[name] for name in known if name in given})

    @classmethod
    def filled(cls, given: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was given, and of a preset what was not."""
        ways = ("kpoints", "kspacing_per_A")
        has_grid = any(name in given for name in ways)
        rest = {key: value for key, value in preset.items() if not (has_grid and key in ways)}
        return {**rest, **given}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def physics(self) -> dict[str, Any]:
        """Return the settings that decide the forces, defaults too."""
        return {key: value for key, value in self.to_dict().items() if key not in self.apart}

    def reuse_key(self, atoms: Atoms) -> str:
        """Name what calculations have to share for one to start from the other's electrons."""
        plain = json.dumps([self.to_dict(), atoms.numbers.tolist()], sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:8]


@dataclass(frozen=True, kw_only=True)
class GridSettings(ProgramSettings):
    """Settings with a grid of k-points, Gamma alone by default, as is usual for 100 atoms.

    Attributes
    ----------
    kspacing_per_A, kpoints
        Largest distance of k-points (see :func:`mlmd.calculators.programs.kpoints.divisions`)
        or the grid itself.
    """

    kspacing_per_A: float | None = option(None, positive("1/angstrom"))
    kpoints: tuple[int, int, int] | None = option(None, checked_grid)

    def __post_init__(self) -> None:
        """Hold every option against its rule; of grid and spacing there is one."""
        super().__post_init__()
        if self.kpoints is not None and self.kspacing_per_A is not None:
            raise InputError("kpoints and kspacing_per_A are both given; give one of them")

    def grid(self, cell: ArrayLike) -> tuple[int, int, int]:
        """Return the k-point divisions for a cell."""
        if self.kspacing_per_A is not None:
            return divisions(cell, self.kspacing_per_A)
        return self.kpoints or (1, 1, 1)
