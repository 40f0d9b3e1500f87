"""VASP's INCAR for molecular dynamics: our defaults, the user's tags, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ase.data import atomic_numbers

from mlmd.calculators.programs.functionals import LDA
from mlmd.calculators.programs.kpoints import ACCURATE_SPACING, MD_SPACING
from mlmd.calculators.programs.options import (
    GridSettings,
    one_of,
    option,
    positive,
    refused,
)
from mlmd.calculators.programs.vasp.potcars import PotcarLibrary, setup_names
from mlmd.checks import truth, whole_number
from mlmd.errors import InputError

# VASP's EDIFF is for the whole cell. The energy's error is of second order in that of the
# density, the forces' of first, and with wavefunctions from the step before that error always
# points back in time: a drift, not noise. Hence 1e-7 eV per atom and never more than 1e-5 eV,
# a tenth of VASP's own default, which is for energies.
EDIFF_PER_ATOM_EV = 1e-7
LARGEST_EDIFF_EV = 1e-5

# One VASP process makes this many steps in interactive mode: its OUTCAR never shrinks.
INTERACTIVE_STEPS = 1000

# Below about this many atoms the real-space projectors save nothing and cost accuracy.
REAL_SPACE_FROM_ATOMS = 20

# The INCAR's GGA where it is one of the electron gas.
LDA_TAGS = ("CA", "PZ", "HL", "WI", "VW")

# ENCUT is the largest ENMIN of the POTCARs with PREC = Low, the largest ENMAX with Normal, which
# are the defaults here; 520 eV is 1.3 times the ENMAX of most elements and holds for others too.
QUALITIES: Mapping[str, Mapping[str, Any]] = {
    "draft": {"incar": {"PREC": "Low"}},
    "md": {"incar": {"PREC": "Normal"}, "kspacing_per_A": MD_SPACING},
    "accurate": {
        "incar": {"PREC": "Accurate"},
        "encut_eV": 520.0,
        "kspacing_per_A": ACCURATE_SPACING,
    },
}

_OURS = "mlmd moves the atoms and asks VASP for one configuration at a time"
_START = "mlmd decides from the files in the folder whether wavefunctions are reused"
REFUSED: dict[str, str] = {
    **dict.fromkeys(("NSW", "IBRION", "POTIM", "INTERACTIVE", "NFREE", "EDIFFG", "IMAGES"), _OURS),
    **dict.fromkeys(("MDALGO", "SMASS", "TEBEG", "TEEND", "NBLOCK", "LANGEVIN_GAMMA"), _OURS),
    **dict.fromkeys(("ISTART", "ICHARG"), _START),
    "ISIF": "the stress is needed and the cell stays; ISIF is 2",
    "ISYM": "atoms in motion have no symmetry; ISYM is 0",
    "PSTRESS": "it would be added to energy and stress; the barostat is mlmd's",
    "ML_LMLFF": "its force field would take the place of DFT without a word",
    "MAGMOM": "it comes from the initial magnetic moments of the atoms; set spin",
    "ENCUT": "it is the option encut_eV",
    "EDIFF": "it is the option ediff_eV",
    "ISPIN": "it is the option spin",
    "KSPACING": "it is the option kspacing_per_A",
    "KGAMMA": "grids hold Gamma here",
}


def _functionals() -> dict[str, dict[str, Any]]:
    """Return the tags of functionals by name, from ASE's table."""
    from ase.calculators.vasp.create_input import GenerateVaspInput

    table = cast(dict[str, dict[str, Any]], GenerateVaspInput.xc_defaults)
    # The van der Waals functionals need a kernel file besides; dispersion is incar IVDW.
    return {
        name: {tag.upper(): value for tag, value in tags.items()}
        for name, tags in sorted(table.items())
        if name != "custom" and "luse_vdw" not in tags
    }


def _known_functional(name: str, value: Any) -> str:
    known = _functionals()
    if not isinstance(value, str) or value.lower() not in known:
        raise InputError(f"{name} is {value!r}; expected one of {', '.join(known)}")
    return value


def _checked_tags(name: str, tags: Any) -> dict[str, Any]:
    if not isinstance(tags, Mapping):
        raise InputError(f"{name} is {tags!r}; expected a mapping from tag to value")
    upper = {str(tag).upper(): value for tag, value in tags.items()}
    for tag, value in upper.items():
        if tag in REFUSED:
            raise refused(name, tag, REFUSED[tag])
        written = incar_value(value) if not isinstance(value, Mapping) else ""
        if not tag.isidentifier() or any(character in written for character in "\n;#!="):
            raise InputError(f"{name} tag {tag} is {value!r}; expected one tag and its plain value")
    if "NELM" in upper:
        whole_number(f"{name} tag NELM", upper["NELM"])
    return upper


@dataclass(frozen=True, kw_only=True)
class VaspSettings(GridSettings):
    """What VASP calculates.

    Attributes
    ----------
    xc
        Functional, by ASE's names (``"PBE"``, ``"PBEsol"``, ``"r2SCAN"``, ``"LDA"``, ...).
    encut_eV
        Cut-off; the largest ENMAX of the POTCARs where None. Where the cell changes give 1.3
        times that: the Pulay stress of a low cut-off is a pressure that is not there.
    ediff_eV
        SCF threshold of the whole cell; 1e-7 eV per atom, 1e-5 eV at most, where None.
    setups
        ``"recommended"`` or ``"minimal"`` (ASE's tables), or a mapping from element to the
        POTCAR's name; elements that it leaves out take the recommended one.
    spin
        Whether the calculation is spin-polarised; moments are those of the atoms, if any.
    incar
        Further INCAR tags; they win over ours. A mapping from element to number becomes
        VASP's list by species (LDAUU, ...).
    mode
        ``"single"``: VASP starts at each step and reuses WAVECAR and CHGCAR.
        ``"interactive"``: one process, positions over standard input (IBRION = 11).
    """

    apart = ("scf_unconverged", "mode", "setups")
    qualities = QUALITIES

    xc: str = option("PBE", _known_functional)
    encut_eV: float | None = option(None, positive("eV"))
    ediff_eV: float | None = option(None, positive("eV"))
    setups: Mapping[str, str] = option("recommended", setup_names)
    spin: bool = option(False, truth)
    incar: Mapping[str, Any] = option({}, _checked_tags)
    mode: str = option("single", one_of("single", "interactive"))

    def functional(self) -> tuple[str, dict[str, Any]]:
        """Return the POTCARs' family, PBE or LDA, and the functional's tags."""
        tags = _functionals()[self.xc.lower()]
        return str(tags.pop("PP", "PBE")), tags

    @property
    def potcar_functional(self) -> str:
        """Functional that the POTCARs have to be made with: there are those of PBE and of LDA.

        Those of PBE serve the other gradient-corrected functionals too, as is usual.
        """
        tag = str(self.incar.get("GGA", "")).upper()
        return self.functional()[0] if not tag else LDA if tag in LDA_TAGS else "PBE"

    @classmethod
    def filled(cls, given: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was given, and of a preset what was not, also within ``incar``."""
        filled = super().filled(given, preset)
        tags = given.get("incar", {})
        if isinstance(tags, Mapping):
            upper = {str(tag).upper(): value for tag, value in tags.items()}
            filled["incar"] = {**preset.get("incar", {}), **upper}
        return filled

    def potcars(self) -> PotcarLibrary:
        """Return where the pseudopotentials are."""
        return PotcarLibrary.of(self.functional()[0], self.setups)

    @property
    def nelm(self) -> int:
        """Most steps of the SCF."""
        return int(self.incar.get("NELM", 100))

    def tags(
        self, species: Sequence[str], n_atoms: int, magnetic_moments: Sequence[float]
    ) -> dict[str, Any]:
        """Return the INCAR's tags but ISTART and ICHARG, the user's last.

        Parameters
        ----------
        species
            Elements in the order of the POTCAR.
        n_atoms
            Number of atoms.
        magnetic_moments
            Of the atoms in the order of the POSCAR, Bohr magnetons; all zero says nothing.
        """
        functional = self.functional()[1]
        # Orbital-dependent functionals do not go with the density mixing of ALGO = Fast.
        demanding = "METAGGA" in functional or functional.get("LHFCALC", False)
        tags: dict[str, Any] = {
            "SYSTEM": "mlmd",
            "PREC": "Normal",
            "EDIFF": self.ediff_eV or min(LARGEST_EDIFF_EV, EDIFF_PER_ATOM_EV * n_atoms),
            "NELM": self.nelm,
            "NELMIN": 4,  # good wavefunctions can look converged before the forces are
            "ALGO": "All" if demanding else "Fast",
            "ISMEAR": 0,
            "SIGMA": 0.05,
            "LREAL": "Auto" if n_atoms >= REAL_SPACE_FROM_ATOMS else False,
            "ISYM": 0,
            "ISIF": 2,
            "LWAVE": True,
            "LCHARG": True,
            # CHGCAR, which is reused, holds the density at the atoms up to this l.
            "LMAXMIX": _largest_l(species),
            **({"LASPH": True} if "METAGGA" in functional else {}),
            **functional,
        }
        if self.encut_eV is not None:
            tags["ENCUT"] = self.encut_eV
        tags["ISPIN"] = 2 if self.spin else 1
        if self.spin and any(magnetic_moments):
            tags["MAGMOM"] = list(magnetic_moments)
        if self.mode == "interactive":
            # IWAVPR 11: the density is carried along with the atoms.
            tags |= {"INTERACTIVE": True, "IBRION": 11, "NSW": INTERACTIVE_STEPS}
            tags |= {"POTIM": 0.0, "IWAVPR": 11}
        else:
            tags |= {"IBRION": -1, "NSW": 0}
        for tag, value in self.incar.items():
            tags[tag] = _by_species(tag, value, species) if isinstance(value, Mapping) else value
        return tags


def _largest_l(species: Sequence[str]) -> int:
    """Return twice the l of the highest shell that can be open: p, d from Sc, f from La on."""
    highest = max(atomic_numbers[symbol] for symbol in species)
    return 2 if highest < 21 else 4 if highest < 57 else 6


def _by_species(tag: str, values: Mapping[str, Any], species: Sequence[str]) -> list[Any]:
    missing = [symbol for symbol in species if symbol not in values]
    if missing:
        raise InputError(f"incar tag {tag} by element has no value for {', '.join(missing)}")
    return [values[symbol] for symbol in species]


def incar_value(value: Any) -> str:
    """Return a value as VASP reads it."""
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    if isinstance(value, list | tuple):
        return " ".join(incar_value(item) for item in value)
    return str(value)


def incar_text(tags: Mapping[str, Any]) -> str:
    """Return the INCAR, one tag a line."""
    return "".join(f"{tag} = {incar_value(value)}\n" for tag, value in tags.items())
