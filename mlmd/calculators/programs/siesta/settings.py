"""Settings of a SIESTA calculation: checked options, and the presets of papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from mlmd.calculators.programs.kpoints import ACCURATE_SPACING, MD_SPACING
from mlmd.calculators.programs.options import QUALITY, GridSettings, one_of, option, positive
from mlmd.calculators.programs.pseudopotentials import PseudoLibrary
from mlmd.calculators.programs.siesta.fdf_keys import checked_fdf, normalised
from mlmd.calculators.programs.siesta.version import checked_version
from mlmd.checks import choice, whole_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.calculators.plain_spec import PlainSpec

# XC.Authors and the XC.Functional that SIESTA wants beside it (manual, "XC.Functional").
FUNCTIONAL_OF = {
    **dict.fromkeys(("CA", "PW92"), "LDA"),
    **dict.fromkeys(("PW91", "PBE", "revPBE", "RPBE", "WC", "AM05", "PBEsol", "BLYP"), "GGA"),
    **dict.fromkeys(("DRSLL", "LMKLL", "KBM", "C09", "BH", "VV"), "VDW"),
}
# SIESTA 5 reads both kinds; 4.1 knows no .psml.
SUFFIXES = {4: (".psf",), 5: (".psml", ".psf")}
# The variables of ASE's users and of SIESTA 5 itself.
VARIABLES = ("SIESTA_PP_PATH", "SIESTA_PS_PATH")
SPINS = ("non-polarized", "polarized", "non-colinear", "spin-orbit")
# Maevskiy, Carvalho, Sataeva et al. (2025), section "Ab initio molecular dynamics": SIESTA,
# generalized gradients, polarized double zeta, Gamma point, at most ten SCF steps per step of
# 1 fs. The paper gives no mesh cutoff, energy shift or tolerance: ours stand. It converges the
# first density fully before; here the first steps may be unconverged too, and are counted.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "maevskiy2025": {
        "xc": "PBE",
        "basis": "DZP",
        "kpoints": [1, 1, 1],
        "max_scf_steps": 10,
        "scf_unconverged": "continue",
    }
}

# SZ at 60 Ry shows that a run works, DZP at 150 Ry serves dynamics, 300 Ry is for what is
# measured. With a spacing of 0.7 Gamma is alone from cells of 9 angstrom on.
QUALITIES: Mapping[str, Mapping[str, Any]] = {
    "draft": {"basis": "SZ", "mesh_cutoff_Ry": 60.0},
    "md": {"basis": "DZP", "mesh_cutoff_Ry": 150.0, "kspacing_per_A": MD_SPACING},
    "accurate": {"basis": "DZP", "mesh_cutoff_Ry": 300.0, "kspacing_per_A": ACCURATE_SPACING},
}


@dataclass(frozen=True, kw_only=True)
class SiestaSettings(GridSettings):
    """What decides the forces, and how SIESTA is talked to.

    Attributes
    ----------
    pseudopotentials
        A folder, or a mapping from symbol to file (found as given or in the folder of
        ``SIESTA_PP_PATH``); that folder where not given.
    xc
        ``XC.Authors``; the functional's family follows from it.
    basis
        ``PAO.BasisSize``.
    mesh_cutoff_Ry
        Plane-wave cutoff of the real-space grid; SIESTA's own default.
    energy_shift_meV
        ``PAO.EnergyShift``, which sets the radii of the orbitals; SIESTA's own where None.
    max_scf_steps
        Of one force call.
    dm_tolerance
        Largest change of the density matrix at convergence; SIESTA's own default.
    spin
        ``Spin``. Moments are those of the atoms (``initial_magmoms``) where not zero.
    fdf
        Further fdf keys: they win over those above.
    mode
        ``"socket"``: one process, structures go over a socket; ``"files"``: one run per call.
    socket
        ``"unix"``, or ``"inet"`` where SIESTA cannot see our temporary folder.
    version
        4 (4.1; reads standard input, ``.psf``) or 5 (reads a file, ``.psml`` too); what the
        program says that it is where None.
    """

    read_elsewhere = (*GridSettings.read_elsewhere, "preset")
    apart = ("scf_unconverged", "pseudopotentials", "mode", "socket", "version")
    qualities = QUALITIES

    pseudopotentials: str | Mapping[str, str] | None = option(None)
    xc: str = option("PBE", one_of(*FUNCTIONAL_OF))
    basis: str = option("DZP", one_of("SZ", "DZ", "SZP", "DZP", "TZP"))
    mesh_cutoff_Ry: float = option(300.0, positive("Ry"))
    energy_shift_meV: float | None = option(None, positive("meV"))
    max_scf_steps: int = option(200, whole_number)
    dm_tolerance: float = option(1e-4, positive("electrons"))
    spin: str = option("non-polarized", one_of(*SPINS))
    fdf: Mapping[str, Any] = option({}, checked_fdf)
    mode: str = option("socket", one_of("socket", "files"))
    socket: str = option("unix", one_of("unix", "inet"))
    version: int | None = option(None, checked_version)

    @classmethod
    def of(cls, spec: PlainSpec) -> Self:
        """Read the options of a spec; what is given wins over a ``preset``."""
        given = {name: value for name, value in spec.options.items() if value is not None}
        if "preset" not in given:
            return super().of(spec)
        if QUALITY in given:
            raise InputError("preset and quality are both given; give one of them")
        preset = PRESETS[choice("preset", given["preset"], PRESETS)]
        return super().of(replace(spec, options=cls.filled(given, preset)))

    def library(self, version: int) -> PseudoLibrary | None:
        """Return where the pseudopotentials of a version are; None where they are not named."""
        return PseudoLibrary.of(self.pseudopotentials, SUFFIXES[version], VARIABLES)

    @property
    def authors(self) -> str:
        """``XC.Authors``, which `fdf` may name too; empty for a mixture."""
        mine = {normalised(key): value for key, value in self.fdf.items()}
        return "" if "xcmix" in mine else str(mine.get("xcauthors", self.xc))
