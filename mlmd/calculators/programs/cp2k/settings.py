"""What a CP2K calculation is: the options, checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlmd.calculators.programs.options import ProgramSettings, by_symbol, option, positive, text
from mlmd.checks import finite_number, is_whole, whole_number
from mlmd.errors import InputError

DEBIAN_DATA = Path("/usr/share/cp2k")
"""Where Debian and Ubuntu put CP2K's data files; elsewhere CP2K_DATA_DIR names the folder."""

GTH_FUNCTIONALS = ("PADE", "PBE", "BLYP", "BP", "OLYP")
"""Functionals for which GTH_POTENTIALS has potentials of the same name."""

# Gamma alone: k-points are for inp. Only DZVP-MOLOPT-SR-GTH is there for all elements.
QUALITIES: Mapping[str, Mapping[str, Any]] = {
    "draft": {"basis_set": "SZV-MOLOPT-SR-GTH", "cutoff_Ry": 300.0, "rel_cutoff_Ry": 40.0},
    "md": {"basis_set": "DZVP-MOLOPT-SR-GTH", "cutoff_Ry": 400.0, "rel_cutoff_Ry": 50.0},
    "accurate": {"basis_set": "DZVP-MOLOPT-SR-GTH", "cutoff_Ry": 600.0, "rel_cutoff_Ry": 60.0},
}


def _charge(name: str, value: Any) -> int:
    if not is_whole(value):
        raise InputError(f"{name} is {value!r}; expected a whole number")
    return int(value)


@dataclass(frozen=True, kw_only=True)
class Cp2kSettings(ProgramSettings):
    """Settings of CP2K for molecular dynamics.

    Attributes
    ----------
    xc
        Functional sections of CP2K or libxc, by spaces: ``"PBE"``, ``"LDA"``,
        ``"MGGA_X_SCAN MGGA_C_SCAN"``.
    cutoff_Ry, rel_cutoff_Ry
        Of the grid and of the Gaussians on it.
    basis_set, basis_set_file, potential, potential_file
        A name for all elements or a mapping from symbol to name, and where they are; the
        potential is ``GTH-<xc>`` where it is ``"auto"``.
    eps_scf
        Bound of the largest element of the energy's gradient by the orbitals. The energy errs by
        its square, the forces linearly: 1e-6 leaves some 1e-5 eV/angstrom in them. Seen on eight
        atoms of LiCl at 1000 K, 100 steps of 1 fs: the conserved energy drifts by less than
        0.2 meV per atom and ps.
    max_scf_steps
        The limit of steps.
    charge, multiplicity
        Of the cell.
    spin
        Initial magnetic moments by symbol, Bohr magnetons per atom; polarised where given.
    inp
        Further CP2K input, in which what it names wins over the defaults here (k-points,
        smearing, dispersion, ...).
    """

    apart = ("scf_unconverged", "basis_set_file", "potential_file")
    qualities = QUALITIES

    xc: str = option("PBE", text)
    cutoff_Ry: float = option(400.0, positive("Ry"))
    rel_cutoff_Ry: float = option(50.0, positive("Ry"))
    basis_set: str | Mapping[str, str] = option("DZVP-MOLOPT-SR-GTH", by_symbol(text, or_one=True))
    basis_set_file: str = option("BASIS_MOLOPT", text)
    potential: str | Mapping[str, str] = option("auto", by_symbol(text, or_one=True))
    potential_file: str = option("GTH_POTENTIALS", text)
    eps_scf: float = option(1e-6, positive("1"))
    max_scf_steps: int = option(200, whole_number)
    charge: int = option(0, _charge)
    multiplicity: int | None = option(None, whole_number)
    spin: Mapping[str, float] | None = option(None, by_symbol(finite_number))
    inp: str = option("", text)

    def __post_init__(self) -> None:
        """Hold every option against its rule; fill in the potential of the functional."""
        super().__post_init__()
        if not self.functionals:
            raise InputError("xc of 'cp2k' is empty; expected a functional such as 'PBE'")
        if self.potential == "auto":
            if self.functionals[0] not in GTH_FUNCTIONALS or len(self.functionals) > 1:
                raise InputError(
                    f"there is no GTH potential for xc '{self.xc}' that could be taken without "
                    f"asking; give the option potential, such as 'GTH-PBE'"
                )
            object.__setattr__(self, "potential", f"GTH-{self.functionals[0]}")

    @property
    def functionals(self) -> list[str]:
        """Sections of the functional."""
        # CP2K calls its LDA by the name of the Pade fit (Goedecker, Teter and Hutter 1996).
        return ["PADE" if w.upper() == "LDA" else w.upper() for w in self.xc.split()]


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
