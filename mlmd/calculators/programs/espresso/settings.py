"""What a Quantum ESPRESSO calculation is: the options, checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlmd.calculators.programs.kpoints import ACCURATE_SPACING, MD_SPACING
from mlmd.calculators.programs.options import (
    GridSettings,
    by_symbol,
    option,
    positive,
    refused,
    text,
)
from mlmd.calculators.programs.pseudopotentials import PseudoLibrary, needed
from mlmd.checks import finite_number, whole_number
from mlmd.errors import InputError

PSEUDO_VARIABLE = "ESPRESSO_PSEUDO"
NAMELISTS = ("control", "system", "electrons")
OWN_AFFAIR = "it is the calculator's own affair"
FROM_ATOMS = "it is taken from the atoms"
OURS = {
    "calculation": "it is always 'scf'",
    "restart_mode": "it is always 'from_scratch'",
    "prefix": OWN_AFFAIR,
    "outdir": OWN_AFFAIR,
    "pseudo_dir": "it is the option pseudopotentials",
    "disk_io": "it is always 'low'",
    "tprnfor": "it is always true",
    "tstress": "it is always true",
    "ibrav": "it is always 0",
    "nat": FROM_ATOMS,
    "ntyp": FROM_ATOMS,
    "ecutwfc": "it is the option ecutwfc_Ry",
    "ecutrho": "it is the option ecutrho_Ry",
    "input_dft": "it is the option xc",
    "tot_charge": "it is the option charge",
    "nspin": "it is the option spin",
    "conv_thr": "it is the option conv_thr_Ry_per_atom",
    "electron_maxstep": "it is the option max_scf_steps",
    "scf_must_converge": "it is the option scf_unconverged",
    "startingpot": OWN_AFFAIR,
    "startingwfc": OWN_AFFAIR,
}

# Rydberg that most ultrasoft and PAW pseudopotentials run with, do well with, and norm-conserving
# ones do too; ecutrho follows from the kind, 8 or 4 times that.
QUALITIES: Mapping[str, Mapping[str, Any]] = {
    "draft": {"ecutwfc_Ry": 30.0},
    "md": {"ecutwfc_Ry": 50.0, "kspacing_per_A": MD_SPACING},
    "accurate": {"ecutwfc_Ry": 80.0, "kspacing_per_A": ACCURATE_SPACING},
}


def _checked_input(name: str, given: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(given, Mapping):
        raise InputError(f"{name} of 'espresso' is {given!r}; expected a mapping of namelists")
    for namelist, keywords in given.items():
        if namelist not in NAMELISTS or not isinstance(keywords, Mapping):
            raise InputError(
                f"{name} of 'espresso' has '{namelist}'; expected keywords by namelist, one of "
                f"{', '.join(NAMELISTS)} (in small letters)"
            )
        for key, value in keywords.items():
            if key.lower() in OURS:
                raise refused(name, key, OURS[key.lower()])
            if not isinstance(value, bool | int | float | str):
                raise InputError(
                    f"{name} of 'espresso' sets {key} to {value!r}; expected a number, text, true "
                    "or false"
                )
    return given


def _charge(name: str, value: Any) -> Any:
    finite_number(name, value, "elementary charges")
    return value  # a whole number stays one, in what the calculation is known by


@dataclass(frozen=True, kw_only=True)
class EspressoSettings(GridSettings):
    """Settings of pw.x for molecular dynamics.

    Attributes
    ----------
    ecutwfc_Ry
        Cutoff of the wavefunctions; it belongs to the pseudopotentials and has no default.
    ecutrho_Ry
        Of the density: by default 4 times that, 8 times with ultrasoft or PAW pseudopotentials.
    pseudopotentials
        A folder in which each element has one file, or a mapping from symbol to file (found as
        given or in the folder ``ESPRESSO_PSEUDO``); that folder where not given.
    xc
        ``input_dft``; that of the pseudopotentials where not given.
    conv_thr_Ry_per_atom
        Bound of the estimated error of the energy, which is of second order in the density's,
        while that of the forces is of first order: at 1e-10 Ry per atom the forces on eight
        atoms of silicon were seen to depend on the step before by 7e-5 eV/angstrom. pw.x's own
        default, 1e-6 Ry for the whole cell, is made for energies; forces err by its square root.
    max_scf_steps
        The limit of steps.
    charge
        Of the cell.
    spin
        Initial magnetic moments by symbol, Bohr magnetons per atom; polarised where given.
    input
        Further keywords by namelist: ``{"system": {"occupations": "smearing", ...}}``.
    """

    apart = ("scf_unconverged", "pseudopotentials")
    qualities = QUALITIES

    ecutwfc_Ry: float = option(None, positive("Ry"))
    ecutrho_Ry: float | None = option(None, positive("Ry"))
    pseudopotentials: str | Mapping[str, str] | None = option(None)
    xc: str | None = option(None, text)
    conv_thr_Ry_per_atom: float = option(1e-10, positive("Ry"))
    max_scf_steps: int = option(100, whole_number)
    charge: float = option(0.0, _charge)
    spin: Mapping[str, float] | None = option(None, by_symbol(finite_number))
    input: Mapping[str, Mapping[str, Any]] = option({}, _checked_input)

    def __post_init__(self) -> None:
        """Hold every option against its rule; the cutoff has no default."""
        super().__post_init__()
        if self.ecutwfc_Ry is None:
            raise InputError(
                "calculator 'espresso' needs the option ecutwfc_Ry, in Ry; the pseudopotentials' "
                "makers say which (or the option quality)"
            )

    def library(self) -> PseudoLibrary:
        """Return where the pseudopotentials are; InputError where they are not."""
        found = PseudoLibrary.of(self.pseudopotentials, (".upf",), (PSEUDO_VARIABLE,))
        return needed(found, "espresso", PSEUDO_VARIABLE)
