"""What counts as good enough: every limit of the verdicts, in one place and settable."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mlmd.checks import positive_number
from mlmd.errors import InputError


@dataclass(frozen=True)
class Thresholds:
    """Limits of the verdicts. They are choices, not laws: set them for what the runs are for.

    Attributes
    ----------
    r2_min : float
        R^2 of g(r) and S(q) below which curves differ, whatever the noise.
    r2_same : float
        R^2 from which on curves are the same for all purposes, whatever the excess: long runs
        resolve differences that do not matter.
    excess_max : float
        Difference over noise above which it is not noise: the mean over the pairs of g(r), and at
        least what chance has in one of 200 systems; for S(q) and vibrations, whose noise is less
        well known, 1.5 times as much. In 300 pairs of runs of one potential, ordinary and
        supercooled, 2.2 was exceeded twice.
    vdos_overlap_min : float
        Overlap of the vibrational densities of states.
    coordination_relative, coordination_absolute : float
        Difference of a coordination number, relative to the reference's or absolute, whichever
        is more.
    diffusivity_factor : float
        Factor by which D may be off.
    activation_energy_eV : float
        Difference of activation energies.
    energy_mae_meV_atom : float
        Mean absolute error of energies, offset removed.
    force_cosine_min : float
        Mean cosine between the forces.
    softening : float
        How far the slope of the forces may be from 1.
    pressure_bias_GPa : float
        Mean difference of the pressures.
    share : float
        Share of systems or points that must pass for a yes about many.
    """

    r2_min: float = 0.95
    r2_same: float = 0.998
    excess_max: float = 2.2
    vdos_overlap_min: float = 0.9
    coordination_relative: float = 0.05
    coordination_absolute: float = 0.1
    diffusivity_factor: float = 2.0
    activation_energy_eV: float = 0.05
    energy_mae_meV_atom: float = 5.0
    force_cosine_min: float = 0.95
    softening: float = 0.1
    pressure_bias_GPa: float = 0.5
    share: float = 0.9

    def __post_init__(self) -> None:
        """Check that they are numbers that can be limits."""
        for item in fields(self):
            positive_number(f"threshold {item.name}", getattr(self, item.name))
        for name in ("r2_min", "r2_same", "vdos_overlap_min", "force_cosine_min", "share"):
            if getattr(self, name) > 1:
                raise InputError(
                    f"threshold {name} is {float(getattr(self, name)):g}; expected at most 1"
                )
        if self.diffusivity_factor <= 1:
            raise InputError(
                f"threshold diffusivity_factor is {float(self.diffusivity_factor):g}; expected "
                "more than 1"
            )
