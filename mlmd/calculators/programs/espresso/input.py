"""The input file of pw.x for one step."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase.data import atomic_masses, atomic_numbers

from mlmd.calculators.programs.functionals import Pseudopotential, functional
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.programs.espresso.settings import EspressoSettings


@dataclass(frozen=True)
class PseudoHeader:
    """What has to be known of a pseudopotential before pw.x runs.

    Attributes
    ----------
    valence
        Number of electrons it leaves.
    augmented
        Whether it is ultrasoft or PAW, whose density needs more than 4 times the cutoff.
    made_for
        Its element and functional.
    """

    valence: float
    augmented: bool
    made_for: Pseudopotential


def read_header(path: Path) -> PseudoHeader:
    """Read the header of a UPF file, of version 1 or 2."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if "<UPF" in text and "</UPF>" not in text:
        raise InputError(f"pseudopotential '{path}' is cut short: it has no </UPF>; get it anew")
    header = re.search(r"<PP_HEADER(.*?)(</PP_HEADER>|/>)", text, re.S)
    said = header[1] if header else ""
    valence = re.search(r"z_valence\s*=\s*\"\s*([-+.\dEeDd]+)", said) or re.search(
        r"([-+.\dEeDd]+)\s+Z valence", said
    )
    if valence is None:
        raise InputError(f"pseudopotential '{path}' has no header that says its valence (UPF)")
    flag = r"is_(ultrasoft|paw)\s*=\s*\"\s*\.?[Tt]"
    augmented = re.search(flag, said) or re.search(r"^\s*(US|PAW)\s", said, re.M)
    element = re.search(r"\belement\s*=\s*\"\s*([A-Za-z]{1,2})\b", said) or re.search(
        r"^\s*([A-Za-z]{1,2})\s+Element", said, re.M
    )
    functional_name = re.search(r"\bfunctional\s*=\s*\"([^\"]*)\"", said) or re.search(
        r"^(.*?)\s+Exchange-Correlation functional", said, re.M
    )
    return PseudoHeader(
        float(valence[1].upper().replace("D", "E")),
        augmented is not None,
        Pseudopotential(
            None if element is None else element[1].capitalize(),
            None if functional_name is None else functional(functional_name[1]),
        ),
    )


def species_of(atoms: Atoms) -> list[str]:
    """Return the symbols that are there, in the order of the species in the input."""
    return sorted(set(atoms.get_chemical_symbols()))


def link_name(symbol: str, path: Path) -> str:
    """Return the name that a pseudopotential has in the folder of pw.x."""
    return f"{symbol}.{path.name}"


def input_text(
    settings: EspressoSettings,
    atoms: Atoms,
    prefix: str,
    pseudopotentials: Mapping[str, Path],
    *,
    guess_from_file: bool,
) -> str:
    """Return the input of one run.

    Parameters
    ----------
    settings
        What is calculated.
    atoms
        Species, positions and cell, periodic in three directions.
    prefix
        Of the names of pw.x's files, in ``out``.
    pseudopotentials
        Files by element; pw.x finds them in ``pseudo``.
    guess_from_file
        Start from the density and wavefunctions of the run before; from atoms otherwise.
    """
    headers = {symbol: read_header(path) for symbol, path in pseudopotentials.items()}
    namelists = _namelists(settings, atoms, prefix, headers, guess_from_file)
    lines = []
    for name, keywords in namelists.items():
        lines.append(f"&{name.upper()}")
        lines.extend(f"  {key} = {_literal(value)}" for key, value in keywords.items())
        lines.append("/")
    lines.append("ATOMIC_SPECIES")
    for symbol in species_of(atoms):
        mass = atomic_masses[atomic_numbers[symbol]]
        lines.append(f"{symbol} {mass:.4f} {link_name(symbol, pseudopotentials[symbol])}")
    grid = settings.grid(atoms.cell.array)
    if grid == (1, 1, 1):
        # Real wavefunctions, half the work.
        lines.append("K_POINTS gamma")
    else:
        lines.extend(["K_POINTS automatic", f"{grid[0]} {grid[1]} {grid[2]} 0 0 0"])
    lines.append("CELL_PARAMETERS angstrom")
    lines.extend(_three(vector) for vector in atoms.cell.array)
    lines.append("ATOMIC_POSITIONS angstrom")
    lines.extend(
        f"{symbol} {_three(position)}"
        for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    )
    return "\n".join([*lines, ""])


def _namelists(
    settings: EspressoSettings,
    atoms: Atoms,
    prefix: str,
    headers: Mapping[str, PseudoHeader],
    guess_from_file: bool,
) -> dict[str, dict[str, Any]]:
    species = species_of(atoms)
    augmented = any(header.augmented for header in headers.values())
    ecutrho_Ry = settings.ecutrho_Ry or settings.ecutwfc_Ry * (8.0 if augmented else 4.0)
    control: dict[str, Any] = {
        "calculation": "scf",
        "restart_mode": "from_scratch",
        "prefix": prefix,
        "outdir": "./out",
        "pseudo_dir": "./pseudo",
        "disk_io": "low",
        "tprnfor": True,
        "tstress": True,
    }
    system: dict[str, Any] = {
        "ibrav": 0,
        "nat": len(atoms),
        "ntyp": len(species),
        "ecutwfc": settings.ecutwfc_Ry,
        "ecutrho": ecutrho_Ry,
        "tot_charge": float(settings.charge),
        # A symmetry found in one step and not in the next changes k-points and rounding. Time
        # reversal (k and -k are one) holds for any positions and stays.
        "nosym": True,
    }
    electrons_total = sum(headers[s].valence for s in atoms.get_chemical_symbols())
    occupied = math.ceil((electrons_total - settings.charge) / 2.0)
    # pw.x's own number for metals. With the occupied ones alone, as for insulators, its
    # eigensolver was seen to miss one of a disordered structure, and the SCF never settles.
    system["nbnd"] = max(math.ceil(1.2 * occupied), occupied + 4)
    if settings.xc is not None:
        system["input_dft"] = settings.xc
    if settings.spin is not None:
        system["nspin"] = 2
        for number, symbol in enumerate(species, start=1):
            fraction = settings.spin.get(symbol, 0.0) / headers[symbol].valence
            system[f"starting_magnetization({number})"] = fraction
    electrons: dict[str, Any] = {
        "conv_thr": settings.conv_thr_Ry_per_atom * len(atoms),
        "electron_maxstep": settings.max_scf_steps,
        "scf_must_converge": settings.scf_unconverged == "stop",
    }
    if guess_from_file:
        electrons.update(startingpot="file", startingwfc="file")
    ours = {"control": control, "system": system, "electrons": electrons}
    return {name: {**keys, **settings.input.get(name, {})} for name, keys in ours.items()}


def _literal(value: Any) -> str:
    """Return a value as Fortran writes it."""
    if isinstance(value, bool):
        return ".true." if value else ".false."
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value).replace("e", "d") if isinstance(value, float) else str(value)


def _three(vector: Any) -> str:
    return " ".join(f"{float(x):.16f}" for x in vector)
