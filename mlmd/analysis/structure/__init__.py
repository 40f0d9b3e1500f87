"""Structure and motion of liquids and glasses: who is how far from whom, and how that changes.

May import `analysis/checks`, `analysis/structure/scattering`, `analysis/vibrations`, `arrays`,
`checks`, `errors`, `findings`, `periodic`, `plain`, `trajectory`.
"""

from mlmd.analysis.structure.angles import BondAngles, bond_angles
from mlmd.analysis.structure.conventions import CONVENTIONS, Convention
from mlmd.analysis.structure.coordination import Coordination, coordination
from mlmd.analysis.structure.first_shell import (
    FirstShell,
    coordination_within,
    first_shell,
    first_shells,
    running_coordination,
)
from mlmd.analysis.structure.radial_distribution import (
    Pair,
    PairDistribution,
    RadialDistribution,
    RdfSettings,
)
from mlmd.analysis.structure.rdf import rdf
from mlmd.analysis.structure.scattering.direct import direct_structure_factor
from mlmd.analysis.structure.scattering.structure_factor import (
    StructureFactor,
    StructureFactorCurve,
    structure_factor,
)
from mlmd.analysis.vibrations.density_of_states import VibrationalDensity, vibrational_density
from mlmd.analysis.vibrations.velocities import VelocityAutocorrelation, velocity_autocorrelation

__all__ = [
    "CONVENTIONS",
    "BondAngles",
    "Convention",
    "Coordination",
    "FirstShell",
    "Pair",
    "PairDistribution",
    "RadialDistribution",
    "RdfSettings",
    "StructureFactor",
    "StructureFactorCurve",
    "VelocityAutocorrelation",
    "VibrationalDensity",
    "bond_angles",
    "coordination",
    "coordination_within",
    "direct_structure_factor",
    "first_shell",
    "first_shells",
    "rdf",
    "running_coordination",
    "structure_factor",
    "velocity_autocorrelation",
    "vibrational_density",
]
