"""What a Quantum ESPRESSO calculation is: the options, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ase.data import chemical_symbols

from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.programs.espresso.pseudo import PseudoLibrary
from mlmd.calculators.programs.kpoints import checked_grid
from mlmd.checks import positive_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.calculators.spec import CalculatorSpec

NAMELISTS = ("control", "system", "electrons")
OURS = {
    "calculation": "always 'scf'",
    "restart_mode": "always 'from_scratch'",
    "prefix": "the calculator's own affair",
    "outdir": "the calculator's own affair",
    "pseudo_dir": "the option pseudopotentials",
    "disk_io": "always 'low'",
    "tprnfor": "always true",
    "tstress": "always true",
    "ibrav": "always 0",
    "nat": "taken from the atoms",
    "ntyp": "taken from the atoms",
    "ecutwfc": "the option ecutwfc_Ry",
    "ecutrho": "the option ecutrho_Ry",
    "input_dft": "the option xc",
    "tot_charge": "the option charge",
    "nspin": "the option spin",
    "conv_thr": "the option conv_thr_Ry_per_atom",
    "electron_maxstep": "the option max_scf_steps",
    "scf_must_converge": "the option scf_unconverged",
    "startingpot": "the calculator's own affair",
    "startingwfc": "the calculator's own affair",
}


@dataclass(frozen=True)
class EspressoSettings:
    """Settings of pw.x for molecular dynamics.

    ``conv_thr_Ry_per_atom`` bounds the estimated error of the energy, which is of second order in
    the density's, while that of the forces is of first order: at 1e-10 Ry per atom the forces on
    eight atoms of silicon were seen to depend on the step before by 7e-5 eV/angstrom. pw.x's own
    default, 1e-6 Ry for the whole cell, is made for energies; forces err by its square root.
    """

    ecutwfc_Ry: float
    ecutrho_Ry: float | None = None
    pseudopotentials: str | Mapping[str, str] | None = None
    xc: str | None = None
    kspacing_per_A: float | None = None
    kpoints: Any = None
    conv_thr_Ry_per_atom: float = 1e-10
    max_scf_steps: int = 100
    charge: float = 0.0
    spin: Mapping[str, float] | None = None
    input: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    scf_unconverged: str = "stop"
    library: PseudoLibrary = field(init=False)

    def __post_init__(self) -> None:
        """Check every field and find the pseudopotentials."""
        for name, unit in (
            ("ecutwfc_Ry", "Ry"),
            ("ecutrho_Ry", "Ry"),
            ("kspacing_per_A", "1/angstrom"),
            ("conv_thr_Ry_per_atom", "Ry"),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, positive_number(name, value, unit))
        if self.kpoints is not None:
            if self.kspacing_per_A is not None:
                raise InputError("kpoints and kspacing_per_A are both given; give one of them")
            object.__setattr__(self, "kpoints", checked_grid(self.kpoints))
        steps = self.max_scf_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise InputError(f"max_scf_steps is {steps!r}; expected a whole number of at least 1")
        if isinstance(self.charge, bool) or not isinstance(self.charge, int | float):
            raise InputError(f"charge is {self.charge!r}; expected a number of elementary charges")
        if self.xc is not None and (not isinstance(self.xc, str) or not self.xc):
            raise InputError(f"xc is {self.xc!r}; expected a name that pw.x knows, such as 'PBE'")
        if self.scf_unconverged not in ("stop", "continue"):
            raise InputError(
                f"scf_unconverged is {self.scf_unconverged!r}; expected 'stop' or 'continue'"
            )
        _check_spin(self.spin)
        _check_input(self.input)
        object.__setattr__(self, "library", PseudoLibrary.of(self.pseudopotentials))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        plain = asdict(self)
        del plain["library"]
        return plain


OPTIONS = ("command", *(f.name for f in fields(EspressoSettings) if f.init))


def settings_of(spec: CalculatorSpec) -> EspressoSettings:
    """Return the settings that a spec's options say.

    Raises
    ------
    InputError
        If an option is unknown or has a value that cannot be meant.
    """
    if spec.model is not None:
        raise InputError(
            f"calculator 'espresso' has no models, and '{spec.model}' was given; choose by the "
            "option pseudopotentials"
        )
    refuse_unknown(spec, OPTIONS)
    if spec.options.get("ecutwfc_Ry") is None:
        raise InputError(
            "calculator 'espresso' needs the option ecutwfc_Ry, in Ry; the pseudopotentials' "
            "makers say which"
        )
    return EspressoSettings(
        **{key: value for key, value in spec.options.items() if key != "command"}
    )


def _check_spin(spin: Any) -> None:
    if spin is None:
        return
    if not isinstance(spin, Mapping) or not spin:
        raise InputError(
            f"spin is {spin!r}; expected a mapping from symbol to initial magnetic moment, such "
            "as {Fe: 4.0}"
        )
    for symbol, moment in spin.items():
        if symbol not in chemical_symbols[1:]:
            raise InputError(f"spin names '{symbol}'; expected a chemical symbol")
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            raise InputError(f"spin of {symbol} is {moment!r}; expected Bohr magnetons per atom")


def _check_input(given: Any) -> None:
    if not isinstance(given, Mapping):
        raise InputError(f"input of 'espresso' is {given!r}; expected a mapping of namelists")
    for namelist, keywords in given.items():
        if namelist not in NAMELISTS or not isinstance(keywords, Mapping):
            raise InputError(
                f"input of 'espresso' has '{namelist}'; expected keywords by namelist, one of "
                f"{', '.join(NAMELISTS)} (in small letters)"
            )
        for key, value in keywords.items():
            if key.lower() in OURS:
                raise InputError(
                    f"input of 'espresso' sets {key}, which is {OURS[key.lower()]}; take it out"
                )
            if not isinstance(value, bool | int | float | str):
                raise InputError(
                    f"input of 'espresso' sets {key} to {value!r}; expected a number, text, true "
                    "or false"
                )
