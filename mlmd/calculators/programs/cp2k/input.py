"""The input file of CP2K for one force environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlmd.calculators.programs.cp2k.settings import data_file
from mlmd.calculators.programs.options import refused
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.cp2k import InputSection

    from mlmd.calculators.programs.cp2k.settings import Cp2kSettings

OT_STEPS_PER_PRECONDITIONER = 20
"""Steps of orbital transformation after which its preconditioner is made anew."""

SCF = "FORCE_EVAL/DFT/SCF"
OWN_AFFAIR = "it is the calculator's own affair"
FROM_ATOMS = "it is taken from the atoms"
OURS = {
    "GLOBAL/PROJECT": OWN_AFFAIR,
    "GLOBAL/PROJECT_NAME": OWN_AFFAIR,
    "GLOBAL/PRINT_LEVEL": OWN_AFFAIR,
    "GLOBAL/RUN_TYPE": OWN_AFFAIR,
    "MOTION": "mlmd moves the atoms",
    "FORCE_EVAL/STRESS_TENSOR": "it is always ANALYTICAL",
    "FORCE_EVAL/SUBSYS/CELL": FROM_ATOMS,
    "FORCE_EVAL/SUBSYS/COORD": FROM_ATOMS,
    "FORCE_EVAL/SUBSYS/TOPOLOGY": FROM_ATOMS,
    "FORCE_EVAL/DFT/BASIS_SET_FILE_NAME": "it is the option basis_set_file",
    "FORCE_EVAL/DFT/POTENTIAL_FILE_NAME": "it is the option potential_file",
    "FORCE_EVAL/DFT/CHARGE": "it is the option charge",
    "FORCE_EVAL/DFT/MULTIPLICITY": "it is the option multiplicity",
    "FORCE_EVAL/DFT/UKS": "it is the option spin",
    "FORCE_EVAL/DFT/LSD": "it is the option spin",
    "FORCE_EVAL/DFT/MGRID/CUTOFF": "it is the option cutoff_Ry",
    "FORCE_EVAL/DFT/MGRID/REL_CUTOFF": "it is the option rel_cutoff_Ry",
    f"{SCF}/EPS_SCF": "it is the option eps_scf",
    f"{SCF}/MAX_SCF": "it is the option max_scf_steps",
    f"{SCF}/IGNORE_CONVERGENCE_FAILURE": "it is the option scf_unconverged",
}


def input_text(
    settings: Cp2kSettings,
    atoms: Atoms,
    project: str,
    *,
    guess_from_file: bool,
    continue_unconverged: bool,
) -> str:
    """Return the input of one force environment.

    Parameters
    ----------
    settings
        What is calculated.
    atoms
        Species, positions and cell, periodic in three directions.
    project
        First part of the names of CP2K's files.
    guess_from_file
        Start from the wavefunctions in the project's restart file; from atoms otherwise.
    continue_unconverged
        Have CP2K 2024.1 and later go on where the SCF does not converge (older ones do).

    Raises
    ------
    InputError
        If the option ``inp`` cannot be read, sets what is set elsewhere, or an element has no
        basis set or potential.
    """
    root = _parsed(settings.inp)
    for path, reason in OURS.items():
        if _has(root, path):
            raise refused("inp", path, reason)
    _keyword(root, "GLOBAL", f"PROJECT {project}")
    _keyword(root, "GLOBAL", "PRINT_LEVEL LOW")
    _keyword(root, "GLOBAL", "RUN_TYPE ENERGY_FORCE")
    _keyword(root, "FORCE_EVAL", "METHOD QUICKSTEP")
    _keyword(root, "FORCE_EVAL", "STRESS_TENSOR ANALYTICAL")
    _add_dft(root, settings)
    _add_scf(root, settings, guess_from_file, continue_unconverged)
    _add_atoms(root, settings, atoms)
    return "\n".join([*root.write(), ""])


def _add_dft(root: InputSection, settings: Cp2kSettings) -> None:
    dft = "FORCE_EVAL/DFT"
    for key, name in (
        ("BASIS_SET_FILE_NAME", settings.basis_set_file),
        ("POTENTIAL_FILE_NAME", settings.potential_file),
    ):
        _keyword(root, dft, f'{key} "{data_file(name) or name}"')
    _keyword(root, dft, f"CHARGE {settings.charge}")
    if settings.spin is not None:
        _keyword(root, dft, "UKS TRUE")
    if settings.multiplicity is not None:
        _keyword(root, dft, f"MULTIPLICITY {settings.multiplicity}")
    _keyword(root, f"{dft}/MGRID", f"CUTOFF [Ry] {settings.cutoff_Ry!r}")
    _keyword(root, f"{dft}/MGRID", f"REL_CUTOFF [Ry] {settings.rel_cutoff_Ry!r}")
    # Integrals at least as exact as the energy is to be (the square of eps_scf).
    _keyword(root, f"{dft}/QS", f"EPS_DEFAULT {min(1e-12, settings.eps_scf**2):.1e}")
    # Always stable predictor-corrector (Kolafa, J. Comput. Chem. 25, 335 (2004)): the guess is
    # nearly reversible in time, so that what the SCF leaves over does not add up to a drift.
    _keyword(root, f"{dft}/QS", "EXTRAPOLATION ASPC")
    _keyword(root, f"{dft}/QS", "EXTRAPOLATION_ORDER 3")
    own = [word for word in _functionals(root) if word not in settings.functionals]
    if own:
        raise refused("inp", f"functional {' '.join(own)}", "it is the option xc")
    for name in settings.functionals:
        _section(root, f"{dft}/XC/XC_FUNCTIONAL/{name.removeprefix('XC_')}")


def _functionals(root: InputSection) -> list[str]:
    """Return what is in the user's section of the functional, which ours would be added to."""
    section = _section(_section(root, "FORCE_EVAL/DFT"), "XC/XC_FUNCTIONAL")
    inside = [*str(section.params or "").split(), *(s.name for s in section.subsections)]
    return [word.upper().removeprefix("XC_") for word in inside]


def _add_scf(
    root: InputSection, settings: Cp2kSettings, guess_from_file: bool, continue_unconverged: bool
) -> None:
    own_solver = any(_has(root, f"{SCF}/{name}") for name in ("OT", "DIAGONALIZATION", "SMEAR"))
    own_solver = own_solver or _has(root, "FORCE_EVAL/DFT/KPOINTS")
    inner = settings.max_scf_steps
    if not own_solver:
        _keyword(root, f"{SCF}/OT", "MINIMIZER DIIS")
        _keyword(root, f"{SCF}/OT", "PRECONDITIONER FULL_ALL")
        inner = min(inner, OT_STEPS_PER_PRECONDITIONER)
        _keyword(root, f"{SCF}/OUTER_SCF", f"EPS_SCF {settings.eps_scf!r}")
        _keyword(root, f"{SCF}/OUTER_SCF", f"MAX_SCF {-(-settings.max_scf_steps // inner)}")
    _keyword(root, SCF, f"EPS_SCF {settings.eps_scf!r}")
    _keyword(root, SCF, f"MAX_SCF {inner}")
    _keyword(root, SCF, f"SCF_GUESS {'RESTART' if guess_from_file else 'ATOMIC'}")
    if continue_unconverged:
        _keyword(root, SCF, "IGNORE_CONVERGENCE_FAILURE TRUE")
    _keyword(root, f"{SCF}/PRINT/RESTART", "BACKUP_COPIES 0")


def _add_atoms(root: InputSection, settings: Cp2kSettings, atoms: Atoms) -> None:
    subsys = "FORCE_EVAL/SUBSYS"
    cell = _section(root, f"{subsys}/CELL")
    for name, vector in zip("ABC", atoms.cell.array, strict=True):
        cell.keywords.append(f"{name} {_three(vector)}")
    cell.keywords.append("PERIODIC XYZ")
    symbols = atoms.get_chemical_symbols()
    _section(root, f"{subsys}/COORD").keywords.extend(
        f"{symbol} {_three(position)}"
        for symbol, position in zip(symbols, atoms.positions, strict=True)
    )
    for symbol in sorted(set(symbols)):
        kind = _kind(_section(root, subsys), symbol)
        own = _value(kind, "ELEMENT")
        if own is not None and own.capitalize() != symbol:
            raise refused("inp", f"ELEMENT {own} of KIND {symbol}", FROM_ATOMS)
        for key, value in _by_kind(settings).items():
            chosen = value.get(symbol) if isinstance(value, Mapping) else value
            if _has(kind, key) or (chosen is None and key == "MAGNETIZATION"):
                continue
            if chosen is None:
                raise InputError(
                    f"cp2k has no {key.lower()} for {symbol}; the option {key.lower()} names those "
                    f"of {', '.join(sorted(value or ()))} only"
                )
            kind.keywords.append(f"{key} {chosen}")


def _by_kind(settings: Cp2kSettings) -> dict[str, Any]:
    """Return, by keyword of a KIND, its value for all or a mapping from symbol to value."""
    return {
        "BASIS_SET": settings.basis_set,
        "POTENTIAL": settings.potential,
        "MAGNETIZATION": settings.spin or None,
    }


def name_in_kind(settings: Cp2kSettings, symbol: str, key: str) -> str | None:
    """Return the basis set or potential of an element, of ``inp`` where that names one."""
    kind = _kind(_section(_parsed(settings.inp), "FORCE_EVAL/SUBSYS"), symbol)
    given = _by_kind(settings)[key]
    chosen: str | None = given.get(symbol) if isinstance(given, Mapping) else given
    return _value(kind, key) or chosen


def _value(section: InputSection, key: str) -> str | None:
    """Return the last word of a keyword; None where it is not there."""
    rows = [line.split() for line in section.keywords]
    return next((words[-1] for words in rows if words[0].upper() == key), None)


def _three(vector: Any) -> str:
    return " ".join(f"{float(x):.16e}" for x in vector)


def _parsed(text: str) -> InputSection:
    """Return the user's own input as ASE's tree of sections."""
    from ase.calculators.cp2k import parse_input

    opened = 0
    for line in text.splitlines():
        word = line.strip().upper()
        opened += -1 if word.startswith("&END") else word.startswith("&")
        if opened < 0 or word.startswith("@"):
            break
    if opened != 0 or "@" in (line.strip()[:1] for line in text.splitlines()):
        raise InputError(
            "inp of 'cp2k' cannot be read: expected as many &END as sections, and no line that "
            "begins with @"
        )
    root: InputSection = parse_input(text)
    return root


def _has(section: InputSection, path: str) -> bool:
    """Tell whether a keyword or a section is there."""
    head, _, rest = path.partition("/")
    inside = [s for s in section.subsections if s.name == head]
    if rest:
        return any(_has(s, rest) for s in inside)
    return bool(inside) or any(k.split()[0].upper() == head for k in section.keywords)


def _section(section: InputSection, path: str) -> InputSection:
    """Return the section of that path, made where it is not there."""
    from ase.calculators.cp2k import InputSection

    head, _, rest = path.partition("/")
    there = [s for s in section.subsections if s.name == head]
    found: InputSection = there[0] if there else InputSection(name=head)
    if not there:
        section.subsections.append(found)
    if not rest:
        return found
    inner: InputSection = _section(found, rest)
    return inner


def _keyword(root: InputSection, path: str, line: str) -> None:
    """Add a keyword unless the user has set it."""
    if not _has(root, f"{path}/{line.split(maxsplit=1)[0]}"):
        _section(root, path).keywords.append(line)


def _kind(subsys: InputSection, symbol: str) -> InputSection:
    """Return the section of one element."""
    from ase.calculators.cp2k import InputSection

    kinds = [s for s in subsys.subsections if s.name == "KIND"]
    there = [s for s in kinds if str(s.params).capitalize() == symbol]
    found: InputSection = there[0] if there else InputSection(name="KIND", params=symbol)
    if not there:
        subsys.subsections.append(found)
    return found
