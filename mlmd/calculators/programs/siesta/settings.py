"""Settings of a SIESTA calculation: checked options, and the presets of papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from mlmd.calculators.programs.kpoints import checked_grid
from mlmd.calculators.programs.siesta.fdf_keys import checked_fdf
from mlmd.checks import positive_number
from mlmd.errors import InputError

# XC.Authors and the XC.Functional that SIESTA wants beside it (manual, "XC.Functional").
FUNCTIONAL_OF = MappingProxyType(
    {
        **dict.fromkeys(("CA", "PW92"), "LDA"),
        **dict.fromkeys(("PW91", "PBE", "revPBE", "RPBE", "WC", "AM05", "PBEsol", "BLYP"), "GGA"),
        **dict.fromkeys(("DRSLL", "LMKLL", "KBM", "C09", "BH", "VV"), "VDW"),
    }
)
CHOICES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "xc": tuple(FUNCTIONAL_OF),
        "basis": ("SZ", "DZ", "SZP", "DZP", "TZP"),
        "spin": ("non-polarized", "polarized", "non-colinear", "spin-orbit"),
        "mode": ("socket", "files"),
        "socket": ("unix", "inet"),
        "version": (4, 5),
        "scf_unconverged": ("stop", "continue"),
    }
)
POSITIVE = MappingProxyType(
    {
        "mesh_cutoff_Ry": "Ry",
        "energy_shift_meV": "meV",
        "kspacing_per_A": "1/angstrom",
        "dm_tolerance": "electrons",
    }
)
# Maevskiy, Carvalho, Sataeva et al. (2025), section "Ab initio molecular dynamics": SIESTA,
# generalized gradients, polarized double zeta, Gamma point, at most ten SCF steps per step of
# 1 fs. The paper gives no mesh cutoff, energy shift or tolerance: ours stand. It converges the
# first density fully before; here the first steps may be unconverged too, and are counted.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "maevskiy2025": MappingProxyType(
            {
                "xc": "PBE",
                "basis": "DZP",
                "kpoints": [1, 1, 1],
                "max_scf_steps": 10,
                "scf_unconverged": "continue",
            }
        )
    }
)


@dataclass(frozen=True)
class SiestaSettings:
    """What decides the forces, and how SIESTA is talked to.

    Attributes
    ----------
    xc
        ``XC.Authors``; the functional's family follows from it.
    basis
        ``PAO.BasisSize``.
    mesh_cutoff_Ry
        Plane-wave cutoff of the real-space grid; SIESTA's own default.
    energy_shift_meV
        ``PAO.EnergyShift``, which sets the radii of the orbitals; SIESTA's own where None.
    kpoints, kspacing_per_A
        The grid itself or its spacing, see ``kpoints.py``; Gamma where none.
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
        4 (4.1; reads standard input, ``.psf``) or 5 (reads a file, ``.psml``).
    scf_unconverged
        ``"stop"``: an error; ``"continue"``: the forces are taken, and the calls counted.
    """

    xc: str = "PBE"
    basis: str = "DZP"
    mesh_cutoff_Ry: float = 300.0
    energy_shift_meV: float | None = None
    kpoints: tuple[int, int, int] | None = None
    kspacing_per_A: float | None = None
    max_scf_steps: int = 200
    dm_tolerance: float = 1e-4
    spin: str = "non-polarized"
    fdf: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "socket"
    socket: str = "unix"
    version: int = 5
    scf_unconverged: str = "stop"

    def __post_init__(self) -> None:
        """Check every value."""
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            # True == 1, and 5.0 == 5: the type counts too.
            if value not in choices or type(value) is not type(choices[0]):
                listed = ", ".join(str(choice) for choice in choices)
                raise InputError(f"{name} of SIESTA is {value!r}; expected one of {listed}")
        for name, unit in POSITIVE.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, positive_number(name, value, unit))
        steps = self.max_scf_steps
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise InputError(f"max_scf_steps is {steps!r}; expected a whole number of at least 1")
        if self.kpoints is not None:
            object.__setattr__(self, "kpoints", checked_grid(self.kpoints))
            if self.kspacing_per_A is not None:
                raise InputError("kpoints and kspacing_per_A are both given; give one of them")
        object.__setattr__(self, "fdf", checked_fdf(self.fdf))

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> SiestaSettings:
        """Take what is ours from a spec's options; what is given wins over a ``preset``."""
        preset = options.get("preset")
        if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
            raise InputError(f"preset is {preset!r}; expected one of {', '.join(PRESETS)}")
        given = {name: options[name] for name in SETTINGS if name in options}
        base = dict(PRESETS[preset]) if preset is not None else {}
        if "kspacing_per_A" in given:
            base.pop("kpoints", None)
        return cls(**{**base, **given})


SETTINGS = tuple(item.name for item in fields(SiestaSettings))
