"""All features by the names of the published table, with unit, definition and proof."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from mlmd.descriptors import bonds, composition, packing, separations

if TYPE_CHECKING:
    from mlmd.descriptors.composition import ElementalAverages
    from mlmd.descriptors.snapshot import Snapshot

Status = Literal["exact", "partly", "definition"]
BOLTZMANN_EV_K = 8.617333262e-5


def inverse_thermal_energy(s: Snapshot) -> float:
    r"""Return :math:`1 / (k_B T)` in 1/eV; NaN where no temperature is known."""
    return math.nan if s.temperature_K is None else 1.0 / (BOLTZMANN_EV_K * s.temperature_K)


@dataclass(frozen=True)
class Feature:
    """One number that describes a structure.

    Attributes
    ----------
    name : str
        Column of the data file of Zheng et al. 2024. Names keep its "Li" also where the mobile
        element is another one.
    unit : str
        Unit of the number; "1" for a pure number.
    definition : str
        In one line.
    status : {"exact", "partly", "definition"}
        Whether the numbers of the published table are reproduced without the structures behind
        it, which are not public: all or nearly all; some; or not to be checked that way.
    of_snapshot, of_composition : callable
        What computes it: one of the two is given.
    """

    name: str
    unit: str
    definition: str
    status: Status
    of_snapshot: Callable[[Snapshot], float] | None = None
    of_composition: Callable[[ElementalAverages], float] | None = None

    @property
    def needs_structure(self) -> bool:
        """Whether the composition alone is not enough."""
        return self.of_composition is None


def _structural(
    name: str, unit: str, status: Status, definition: str, function: Callable[[Snapshot], float]
) -> Feature:
    return Feature(name, unit, definition, status, of_snapshot=function)


def _compositional(
    name: str, unit: str, definition: str, function: Callable[[ElementalAverages], float]
) -> Feature:
    return Feature(name, unit, definition, "exact", of_composition=function)


def _both_ways(
    names: tuple[str, str], unit: str, definition: str, function: Callable[..., float]
) -> tuple[Feature, Feature]:
    """Return a feature with, and one without the mobile element."""
    without = partial(function, with_mobile=False)
    return (
        _compositional(names[0], unit, definition, function),
        _compositional(names[1], unit, f"{definition}, without the mobile element", without),
    )


_STIFFNESS = "A^(5/2) GPa^(1/2) u^(-1/2)"
_SEPARATION = "mean shortest distance"

FEATURES: tuple[Feature, ...] = (
    _structural("AAV", "A3", "definition", "volume per atom", packing.atom_volume),
    _structural("LBI", "1", "exact", "mean ionicity of mobile atoms' bonds", bonds.mobile_ionicity),
    _structural(
        "SDLI", "1", "exact", "standard deviation of that ionicity", bonds.ionicity_deviation
    ),
    _structural(
        "SBI", "1", "exact", "mean ionicity of the other atoms' bonds", bonds.sublattice_ionicity
    ),
    _compositional(
        "ENS",
        "1",
        "mean electronegativity without the mobile element",
        partial(composition.electronegativity, with_mobile=False),
    ),
    _structural("RBI", "1", "exact", "LBI / SBI", bonds.ionicity_ratio),
    _structural(
        "AFC", "1", "partly", "anions up to 1 A beyond the nearest", separations.anion_coordination
    ),
    _structural(
        "AASD", "A", "definition", f"{_SEPARATION} anion-anion", separations.anion_anion_separation
    ),
    _structural("VPA", "A3", "exact", "volume per anion", packing.anion_volume),
    _structural(
        "LASD",
        "A",
        "definition",
        f"{_SEPARATION} mobile atom-anion",
        separations.mobile_anion_separation,
    ),
    _structural(
        "LLSD",
        "A",
        "definition",
        f"{_SEPARATION} mobile-mobile atom",
        separations.mobile_mobile_separation,
    ),
    _structural(
        "LNC", "1", "partly", "neighbours within 4 A of a mobile atom", bonds.mobile_neighbours
    ),
    _structural("SDLC", "1", "exact", "standard deviation of LNC", bonds.neighbour_count_deviation),
    _structural(
        "LLB", "1", "partly", "mobile atoms within 4 A of a mobile atom", bonds.mobile_mobile_bonds
    ),
    _structural(
        "SNC", "1", "partly", "neighbours within 4 A of the others", bonds.sublattice_neighbours
    ),
    _structural("RNC", "1", "exact", "LNC / SNC", bonds.neighbour_ratio),
    _structural("PF", "1", "exact", "packing fraction", packing.packing_fraction),
    _structural(
        "SPF",
        "1",
        "exact",
        "packing fraction of the others",
        packing.sublattice_packing_fraction,
    ),
    _structural(
        "SLPW",
        "A",
        "partly",
        "straight path to the nearest mobile atom: distance to the nearest surface",
        lambda s: s.paths.width_A,
    ),
    _structural(
        "SLPW_pp",
        "A",
        "partly",
        "the same to the nearest centre",
        lambda s: s.paths.centre_width_A,
    ),
    _structural(
        "SLPE",
        "1",
        "partly",
        "electronegativity of the atom with that nearest surface",
        lambda s: s.paths.electronegativity,
    ),
    _compositional("Li_percentage", "1", "share of mobile atoms, 0 to 1", composition.mobile_share),
    *_both_ways(
        ("avg_B_with_Li", "avg_B_wiout_Li"), "GPa", "mean bulk modulus", composition.bulk_modulus
    ),
    *_both_ways(
        ("avg_G_with_Li", "avg_G_wiout_Li"), "GPa", "mean shear modulus", composition.shear_modulus
    ),
    *_both_ways(
        ("avg_Ecoh_with_Li", "avg_Echo_wiout_Li"),
        "eV",
        "mean cohesive energy",
        composition.cohesive_energy,
    ),
    *_both_ways(
        ("BR5_M_with_Li", "BR5_M_without_Li"),
        _STIFFNESS,
        "sqrt(B R^5 / m)",
        composition.bulk_stiffness,
    ),
    *_both_ways(
        ("GR5_M_with_Li", "GR5_M_without_Li"),
        _STIFFNESS,
        "sqrt(G R^5 / m)",
        composition.shear_stiffness,
    ),
    *_both_ways(
        ("ER2_m_with_Li", "ER2_m_without_Li"),
        "A eV^(1/2) u^(-1/2)",
        "sqrt(E_coh R^2 / m)",
        composition.cohesion_rate,
    ),
    *_both_ways(
        ("atomic_radius_avg", "atomic_radius_avg_exclude_Li"),
        "A",
        "mean atomic radius (Slater)",
        composition.atomic_radius,
    ),
    _compositional(
        "ratio_r_without_Li_with",
        "1",
        "mean atomic radius without the mobile element over that with it",
        composition.radius_ratio,
    ),
    *_both_ways(("avg_m_with_Li", "avg_m_wiout_Li"), "u", "mean mass", composition.mass),
    *_both_ways(
        ("avg_X_with_Li", "avg_X_wiout_Li"),
        "1",
        "mean electronegativity (Pauling)",
        composition.electronegativity,
    ),
    _compositional(
        "avg_diff_of_X_Li_rest",
        "1",
        "mean electronegativity without the mobile element less that with it",
        composition.electronegativity_difference,
    ),
    _structural("density", "g/cm3", "definition", "mass over volume", packing.density),
    _structural("inverse_kbT", "1/eV", "exact", "1 / (kB T)", inverse_thermal_energy),
)
"""The 42 columns of the data file in its order, then density and 1/(kB T)."""

UNITS = {feature.name: feature.unit for feature in FEATURES}


def measure(s: Snapshot, constant: dict[str, float] | None = None) -> dict[str, float]:
    """Return all features of a snapshot by name.

    Parameters
    ----------
    s : Snapshot
        The structure.
    constant : dict, optional
        What is known already, as the features of the composition are in a trajectory.
    """
    known = {} if constant is None else constant
    return {f.name: known[f.name] if f.name in known else _value(f, s) for f in FEATURES}


def measure_composition(averages: ElementalAverages) -> dict[str, float]:
    """Return the features that need no structure, by name."""
    return {f.name: f.of_composition(averages) for f in FEATURES if f.of_composition is not None}


def _value(feature: Feature, s: Snapshot) -> float:
    if feature.of_snapshot is not None:
        return feature.of_snapshot(s)
    if feature.of_composition is not None:
        return feature.of_composition(s.averages)
    raise TypeError(f"feature {feature.name} has nothing that computes it")
