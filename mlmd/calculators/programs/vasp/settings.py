"""VASP's INCAR for molecular dynamics: our defaults, the user's tags, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ase.data import atomic_numbers

from mlmd.calculators.plain_spec import refuse_unknown
from mlmd.calculators.programs.kpoints import checked_grid, divisions
from mlmd.checks import positive_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from mlmd.calculators.spec import CalculatorSpec

OPTIONS = (
    "command",
    "xc",
    "encut_eV",
    "kspacing_per_A",
    "kpoints",
    "ediff_eV",
    "setups",
    "spin",
    "incar",
    "mode",
    "scf_unconverged",
)
CHOICES = {"mode": ("single", "interactive"), "scf_unconverged": ("stop", "continue")}

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


@dataclass(frozen=True)
class Settings:
    """The options of a VASP spec, checked.

    Attributes
    ----------
    xc
        Functional, by ASE's names (``"PBE"``, ``"PBEsol"``, ``"r2SCAN"``, ``"LDA"``, ...).
    encut_eV
        Cut-off; the largest ENMAX of the POTCARs where None. Where the cell changes give 1.3
        times that: the Pulay stress of a low cut-off is a pressure that is not there.
    kspacing_per_A, kpoints
        Spacing (see :func:`mlmd.calculators.programs.kpoints.divisions`) or grid; Gamma alone where
        neither is given, as is usual for a hundred atoms without order.
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
    scf_unconverged
        ``"stop"`` or ``"continue"``.
    """

    xc: str = "PBE"
    encut_eV: float | None = None
    kspacing_per_A: float | None = None
    kpoints: tuple[int, int, int] | None = None
    ediff_eV: float | None = None
    setups: str | Mapping[str, str] = "recommended"
    spin: bool = False
    incar: Mapping[str, Any] | None = None
    mode: str = "single"
    scf_unconverged: str = "stop"

    @classmethod
    def of(cls, spec: CalculatorSpec) -> Settings:
        """Read and check the options of a spec; InputError says what is wrong with one."""
        if spec.model is not None:
            raise InputError(f"calculator 'vasp' has no models; given '{spec.model}'; set xc")
        refuse_unknown(spec, OPTIONS)
        given: dict[str, Any] = {
            name: value for name, value in spec.options.items() if value is not None
        }
        given.pop("command", None)
        units = {"encut_eV": "eV", "kspacing_per_A": "1/angstrom", "ediff_eV": "eV"}
        for name in units.keys() & given.keys():
            given[name] = positive_number(name, given[name], units[name])
        if "kpoints" in given:
            given["kpoints"] = checked_grid(given["kpoints"])
        if "kpoints" in given and "kspacing_per_A" in given:
            raise InputError("vasp was given kpoints and kspacing_per_A; expected one of them")
        for name, allowed in CHOICES.items():
            if given.get(name, allowed[0]) not in allowed:
                raise InputError(f"{name} is {given[name]!r}; expected {' or '.join(allowed)}")
        if not isinstance(given.get("spin", False), bool):
            raise InputError(f"spin is {given['spin']!r}; expected true or false")
        given["incar"] = _checked_tags(given.get("incar", {}))
        settings = cls(**given)
        settings.functional()
        return settings

    def functional(self) -> tuple[str, dict[str, Any]]:
        """Return the POTCARs' family, PBE or LDA, and the functional's tags, from ASE's table."""
        from ase.calculators.vasp.create_input import GenerateVaspInput

        table = cast(dict[str, dict[str, Any]], GenerateVaspInput.xc_defaults)
        # The van der Waals functionals need a kernel file besides; dispersion is incar IVDW.
        names = sorted(n for n, t in table.items() if n != "custom" and "luse_vdw" not in t)
        if not isinstance(self.xc, str) or self.xc.lower() not in names:
            raise InputError(f"xc is {self.xc!r}; expected one of {', '.join(names)}")
        tags = {name.upper(): value for name, value in table[self.xc.lower()].items()}
        return str(tags.pop("PP", "PBE")), tags

    def grid(self, cell: ArrayLike) -> tuple[int, int, int]:
        """Return the k-point divisions for a cell."""
        if self.kspacing_per_A is not None:
            return divisions(cell, self.kspacing_per_A)
        return self.kpoints or (1, 1, 1)

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
            "NELM": 100,
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
        for tag, value in (self.incar or {}).items():
            tags[tag] = _by_species(tag, value, species) if isinstance(value, Mapping) else value
        return tags


def _checked_tags(tags: Any) -> dict[str, Any]:
    if not isinstance(tags, Mapping):
        raise InputError(f"incar is {tags!r}; expected a mapping from tag to value")
    upper = {str(tag).upper(): value for tag, value in tags.items()}
    for tag, value in upper.items():
        if tag in REFUSED:
            raise InputError(f"incar tag {tag} is not for you to set: {REFUSED[tag]}")
        written = incar_value(value) if not isinstance(value, Mapping) else ""
        if not tag.isidentifier() or any(character in written for character in "\n;#!="):
            raise InputError(f"incar tag {tag} is {value!r}; expected one tag and its plain value")
    if upper.get("NELM") is not None and not isinstance(upper["NELM"], int):
        raise InputError(f"incar tag NELM is {upper['NELM']!r}; expected a whole number")
    return upper


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
