"""D3 dispersion, added to a calculator that has none."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ase.calculators.calculator import Calculator, all_changes
from ase.units import Bohr, Hartree

from mlmd.calculators.evaluation import Evaluation, evaluate_many
from mlmd.calculators.known import KNOWN
from mlmd.calculators.plain_spec import D3
from mlmd.checks import choice, known_keys, truth
from mlmd.errors import CalculatorError, InputError, MissingExtraError
from mlmd.numerics.voigt import to_voigt

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.calculators.plain_spec import PlainSpec

DAMPINGS = {
    "bj": "RationalDampingParam",
    "zero": "ZeroDampingParam",
    "bjm": "ModifiedRationalDampingParam",
    "zerom": "ModifiedZeroDampingParam",
}
IN_PROGRAMS = {
    "cp2k": "inp with a section &VDW_POTENTIAL",
    "espresso": "input: {system: {vdw_corr: dft-d3}}",
    "siesta": "fdf: {DFTD3: true}",
    "vasp": "incar: {IVDW: 12}",
}
"""Where the programs have dispersion of their own."""
BY_ATOM = ("energies", "stresses")
"""What would no longer add up to energy and stress."""


@dataclass(frozen=True)
class D3Settings:
    """Which dispersion.

    Attributes
    ----------
    functional
        Whose parameters are taken, as the package names it: ``pbe``, ``pbesol``, ``r2scan``, ...
    damping
        ``bj`` (Becke and Johnson; Grimme et al. 2011, doi:10.1002/jcc.21759), ``zero`` (Grimme et
        al. 2010, doi:10.1063/1.3382344), or the parameters for either of Smith et al. 2016
        (doi:10.1021/acs.jpclett.6b00780), ``bjm`` and ``zerom``.
    three_body
        With the term of Axilrod, Teller and Muto. Most published PBE-D3, and VASP's, is without.
    """

    functional: str
    damping: str = "bj"
    three_body: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked, which needs the package."""
        choice("damping of d3", self.damping, DAMPINGS)
        truth("three_body of d3", self.three_body)
        if not isinstance(self.functional, str):
            raise InputError(f"functional of d3 is {self.functional!r}; expected text such as pbe")
        object.__setattr__(self, "functional", self.functional.lower())
        if importlib.util.find_spec("dftd3") is None:
            raise MissingExtraError("dftd3", "d3")
        try:
            self.parameters()
        except RuntimeError as error:
            raise InputError(
                f"d3 has no parameters of the functional '{self.functional}' with damping "
                f"'{self.damping}'; expected one that the package dftd3 knows, such as pbe"
            ) from error

    @classmethod
    def of(cls, value: Any) -> D3Settings:
        """Read them as an option gives them: a functional, or a mapping of the fields."""
        given = value if isinstance(value, Mapping) else {"functional": value}
        known_keys("d3", given, cls.__dataclass_fields__)
        return cls(**{"functional": None, **given})

    def parameters(self) -> Any:
        """Return the package's parameters; they cannot be pickled."""
        from dftd3 import interface

        load = getattr(interface, DAMPINGS[self.damping])
        return load(method=self.functional, atm=self.three_body)


def without_d3(spec: PlainSpec) -> tuple[PlainSpec, D3Settings]:
    """Take the dispersion out of a spec's options.

    Raises
    ------
    InputError
        If the functional or the damping is not known, or the spec is of a program, which has
        dispersion of its own.
    MissingExtraError
        If the package dftd3 is not installed.
    """
    if spec.name in KNOWN and KNOWN[spec.name].program is not None:
        raise InputError(
            f"d3 is for models; '{spec.name}' has dispersion of its own: give the option "
            f"{IN_PROGRAMS[spec.name]}"
        )
    options = dict(spec.options)
    settings = D3Settings.of(options.pop(D3))
    return replace(spec, options=options), settings


class WithD3(Calculator):
    """A calculator and the D3 dispersion of the package dftd3 (s-dftd3), summed.

    Pairs within 60 Bohr (three bodies and coordination numbers: 40), the package's cut-offs.
    Everything is computed from positions and cell alone, so that a resumed run repeats it.

    Parameters
    ----------
    inner
        The calculator. What else it says of itself (device, model, unconverged
        self-consistencies) is said here too.
    settings
        Of the dispersion.
    """

    def __init__(self, inner: Calculator, settings: D3Settings) -> None:
        super().__init__()
        self.inner = inner
        self.settings = settings
        self.parameters = {
            **getattr(inner, "parameters", {}),
            "with_d3": f"{type(inner).__module__}.{type(inner).__qualname__}",
            D3: asdict(settings),
        }
        self.implemented_properties = [
            name for name in inner.implemented_properties if name not in BY_ATOM
        ]

    def __getattr__(self, name: str) -> Any:
        """Return what the inner calculator has beside the contract of ASE's calculators."""
        if name == "inner" or name.startswith("__"):  # not there yet while it is being unpickled
            raise AttributeError(name)
        return getattr(self.inner, name)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """Compute both and add them."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # the line above copies them
        (self.results,) = self._summed([self.atoms], properties)

    @property
    def calculate_many(self) -> Any:
        """What computes many structures at once, where the inner calculator can."""
        inner: Any = self.inner
        _ = inner.calculate_many  # an AttributeError where it cannot
        return self._summed

    def _summed(self, structures: Sequence[Atoms], properties: Any) -> list[dict[str, Any]]:
        """Return the sums for each structure."""
        asked = [atoms.copy() for atoms in structures]
        for atoms in asked:
            atoms.calc = self.inner
        names = ("energy", "forces", *({"stress"} & set(properties)))
        return [
            self._with_dispersion(atoms, found)
            for atoms, found in zip(structures, evaluate_many(asked, names), strict=True)
        ]

    def _with_dispersion(self, atoms: Atoms, found: Evaluation) -> dict[str, Any]:
        energy_eV, gradient_eV_A, virial_eV = self._dispersion(atoms)
        results = {k: v for k, v in found.extras.items() if k not in BY_ATOM}
        assert found.energy_eV is not None  # it was asked for, and the forces
        assert found.forces_eV_A is not None
        results["energy"] = found.energy_eV + energy_eV
        if found.extras.get("free_energy") is not None:
            results["free_energy"] = float(found.extras["free_energy"]) + energy_eV
        results["forces"] = found.forces_eV_A - gradient_eV_A
        if found.stress_eV_A3 is not None:
            results["stress"] = found.stress_eV_A3 + to_voigt(virial_eV / atoms.get_volume())
        return results

    def _dispersion(self, atoms: Atoms) -> tuple[float, Any, Any]:
        """Return energy (eV), gradient (eV/A) and strain derivative (eV) of the dispersion."""
        from dftd3.interface import DispersionModel

        lengths = atoms.positions / Bohr, atoms.cell.array / Bohr
        try:
            model = DispersionModel(atoms.numbers, *lengths, atoms.pbc)
            found = model.get_dispersion(self.settings.parameters(), grad=True)
        except RuntimeError as error:
            raise CalculatorError(f"dftd3 gave no dispersion: {error}") from error
        gradient_eV_A = found["gradient"] * (Hartree / Bohr)
        return float(found["energy"]) * Hartree, gradient_eV_A, found["virial"] * Hartree
