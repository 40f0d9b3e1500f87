"""What a CP2K calculation is: the options, checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.data import chemical_symbols

from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.checks import positive_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.calculators.spec import CalculatorSpec

DEBIAN_DATA = Path("/usr/share/cp2k")
"""Where Debian and Ubuntu put CP2K's data files; elsewhere CP2K_DATA_DIR names the folder."""

GTH_FUNCTIONALS = ("PADE", "PBE", "BLYP", "BP", "OLYP")
"""Functionals for which GTH_POTENTIALS has potentials of the same name."""


@dataclass(frozen=True)
class Cp2kSettings:
    """Settings of CP2K for molecular dynamics; energies in Rydberg where the name says so.

    ``eps_scf`` bounds the largest element of the energy's gradient by the orbitals. The energy
    errs by its square, the forces linearly: 1e-6 leaves some 1e-5 eV/angstrom in them. Seen on
    eight atoms of LiCl at 1000 K, 100 steps of 1 fs: the conserved energy drifts by less than
    0.2 meV per atom and ps.
    """

    xc: str = "PBE"
    cutoff_Ry: float = 400.0
    rel_cutoff_Ry: float = 50.0
    basis_set: str | Mapping[str, str] = "DZVP-MOLOPT-SR-GTH"
    basis_set_file: str = "BASIS_MOLOPT"
    potential: str | Mapping[str, str] = "auto"
    potential_file: str = "GTH_POTENTIALS"
    eps_scf: float = 1e-6
    max_scf_steps: int = 200
    charge: int = 0
    multiplicity: int | None = None
    spin: Mapping[str, float] | None = None
    inp: str = ""
    scf_unconverged: str = "stop"
    functionals: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check every field; fill in the potential that goes with the functional."""
        for name in ("xc", "basis_set_file", "potential_file", "inp"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} of 'cp2k' is {getattr(self, name)!r}; expected text")
        for name, unit in (("cutoff_Ry", "Ry"), ("rel_cutoff_Ry", "Ry"), ("eps_scf", "1")):
            object.__setattr__(self, name, positive_number(name, getattr(self, name), unit))
        self._check_whole("max_scf_steps", 1)
        self._check_whole("charge", None)
        if self.multiplicity is not None:
            self._check_whole("multiplicity", 1)
        for name in ("basis_set", "potential"):
            _check_by_symbol(name, getattr(self, name), str, "a name")
        if self.spin is not None:
            if not isinstance(self.spin, Mapping):
                raise InputError(
                    f"spin is {self.spin!r}; expected a mapping from symbol to initial magnetic "
                    "moment, such as {Fe: 4.0}"
                )
            _check_by_symbol("spin", self.spin, (int, float), "a moment in Bohr magnetons")
        if self.scf_unconverged not in ("stop", "continue"):
            raise InputError(
                f"scf_unconverged is {self.scf_unconverged!r}; expected 'stop' or 'continue'"
            )
        # CP2K calls its LDA by the name of the Pade fit (Goedecker, Teter and Hutter 1996).
        words = tuple("PADE" if w.upper() == "LDA" else w.upper() for w in self.xc.split())
        if not words:
            raise InputError("xc of 'cp2k' is empty; expected a functional such as 'PBE'")
        object.__setattr__(self, "functionals", words)
        if self.potential == "auto":
            if words[0] not in GTH_FUNCTIONALS or len(words) > 1:
                raise InputError(
                    f"there is no GTH potential for xc '{self.xc}' that could be taken without "
                    f"asking; give the option potential, such as 'GTH-PBE'"
                )
            object.__setattr__(self, "potential", f"GTH-{words[0]}")

    def _check_whole(self, name: str, least: int | None) -> None:
        value = getattr(self, name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or (least is not None and value < least)
        ):
            expected = "a whole number" + ("" if least is None else f" of at least {least}")
            raise InputError(f"{name} is {value!r}; expected {expected}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        plain = asdict(self)
        del plain["functionals"]
        return plain


OPTIONS = ("command", *(f.name for f in fields(Cp2kSettings) if f.init))


def settings_of(spec: CalculatorSpec) -> Cp2kSettings:
    """Return the settings that a spec's options say.

    Raises
    ------
    InputError
        If an option is unknown or has a value that cannot be meant.
    """
    if spec.model is not None:
        raise InputError(
            f"calculator 'cp2k' has no models, and '{spec.model}' was given; choose by the options "
            "xc, basis_set and potential"
        )
    refuse_unknown(spec, OPTIONS)
    return Cp2kSettings(**{key: value for key, value in spec.options.items() if key != "command"})


def data_file(name: str) -> Path | None:
    """Return a basis set or potential file: as given, or in CP2K's data folder; None if not seen.

    What is not seen here CP2K may still find in the folder it was compiled with.
    """
    folders = [Path.cwd(), DEBIAN_DATA]
    if os.environ.get("CP2K_DATA_DIR"):
        folders.insert(1, Path(os.environ["CP2K_DATA_DIR"]))
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).resolve()
    return None


def _check_by_symbol(name: str, value: Any, kind: Any, expected: str) -> None:
    """Raise InputError unless `value` is of `kind`, or a mapping from symbols to such."""
    if not isinstance(value, Mapping):
        if not isinstance(value, kind) or value == "":
            raise InputError(f"{name} is {value!r}; expected {expected} or a mapping from symbols")
        return
    for symbol, item in value.items():
        if symbol not in chemical_symbols[1:]:
            raise InputError(f"{name} names '{symbol}'; expected a chemical symbol")
        if isinstance(item, bool) or not isinstance(item, kind) or item == "":
            raise InputError(f"{name} of {symbol} is {item!r}; expected {expected}")
