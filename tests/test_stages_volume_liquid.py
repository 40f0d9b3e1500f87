"""Searches in liquids, of which a curve of three parameters knows little: bias and errors, counted.

The pressures are those of long runs of 108 Lennard-Jones atoms, with noise as short runs have it.
What is compressed below 30 A3/atom freezes now and then; what is torn beyond 40 has holes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.stats import binom

from mlmd import EquilibrateVolume
from mlmd.numerics.equilibration import Drift
from mlmd.stages.volume.pressure import PressureMeasurement
from mlmd.stages.volume.result import VolumeResult
from mlmd.stages.volume.runs import SubRun, VolumeRuns
from mlmd.stages.volume.search import VolumeSearch
from mlmd.stages.volume.zero_pressure import zero_pressure

LIQUID = PchipInterpolator(
    [20, 22.4, 25, 28, 30, 33, 34, 35, 36, 37, 38, 39, 40, 45, 55, 66, 100],
    [
        *(17, 11, 4.5, 1.7, 1.01, 0.375, 0.241, 0.1305, 0.0528),
        *(-0.0028, -0.047, -0.0756, -0.097, -0.11, -0.065, -0.04, 0.0),
    ],
)
"""Pressure (GPa) by volume per atom (A3) at 0.6 epsilon/kB, epsilon 0.08 eV, sigma 3 A."""
NOISE_GPa, PER_PS = 0.13, 5.0  # of one independent pressure, and how many of them a ps has


def solid(volume_A3: float) -> float:
    """Birch-Murnaghan, B = 20 GPa and B' = 4."""
    x = (20.0 / volume_A3) ** (1 / 3)
    return float(30.0 * (x**7 - x**5))


@dataclass
class NoisyRuns:
    """Stands for the sub-runs of a search: the mean pressure of a volume, and noise."""

    pressure_GPa: Callable[[float], float]
    noise_GPa: float
    volume_A3: float
    seed: int
    points: list[Any] = field(default_factory=list)
    good: list[Any] = field(default_factory=list)
    failed: tuple[()] = ()
    n_steps = 0
    points_with = VolumeRuns.points_with
    _point = VolumeRuns._point

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def measure(
        self, scale: float, needs_more: Callable[[PressureMeasurement], bool], **more: Any
    ) -> SubRun:
        rng, total = self.rng, 0.0
        true = float(self.pressure_GPa(scale * self.volume_A3))
        if true > 1.0:  # the liquid or the crystal
            true *= 1.0 + 0.15 * rng.normal()
        for parts in range(1, 5):
            n = 4.0 * PER_PS * parts
            total += true + self.noise_GPa * rng.normal() / math.sqrt(4.0 * PER_PS)
            measurement = PressureMeasurement(
                pressure_GPa=total / parts,
                stderr_GPa=self.noise_GPa / math.sqrt(n) * math.exp(0.15 * rng.normal()),
                n_effective=n,
                temperature_K=557.0,
                energy_drift=Drift(0.0, 0.01, 1.0, 200 * parts),
                half_energy_difference=0.0,
                is_settled=True,
                n_discarded=0,
                n_frames=200 * parts + 1,
                duration_ps=4.0 * parts,
            )
            if not needs_more(measurement):
                break
        run = SubRun(self._point(str(len(self.points)), scale, measurement), measurement)
        self.points.append(run.point)
        self.good.append(run)
        return run


def search(runs: NoisyRuns, **settings: Any) -> VolumeResult:
    stage = EquilibrateVolume(name="volume", temperature_K=557.0, **settings)
    found = VolumeSearch(stage, runs)  # type: ignore[arg-type]
    return found.result(found.find(), 1)


@pytest.fixture(scope="module")
def found() -> dict[str, list[VolumeResult]]:
    """Searches in a liquid and in a solid from a start too dense, about right, and torn."""
    liquid = [search(NoisyRuns(LIQUID, NOISE_GPa, v, s)) for v in (28, 36, 55) for s in range(20)]
    crystal = [search(NoisyRuns(solid, 1.0, v, s)) for v in (17, 20, 25) for s in range(8)]
    return {"liquid": liquid, "solid": crystal}


TRUE_A3 = {"liquid": float(brentq(LIQUID, 35.0, 39.0)), "solid": 20.0}


def within(count: int, n: int, low: float, high: float) -> bool:
    """Whether a count is one that 99.9 % of samples give, for a share between two."""
    return bool(binom.ppf(0.0005, n, low) <= count <= binom.ppf(0.9995, n, high))


@pytest.mark.parametrize("material", ["liquid", "solid"])
def test_errors_of_volumes_hold_and_nothing_is_biased(
    found: dict[str, list[VolumeResult]], material: str
) -> None:
    results, true_A3 = found[material], TRUE_A3[material]
    n = len(results)
    assert {result.status for result in results} == {"converged"}
    volumes = np.array([result.volume_A3 for result in results])
    errors = np.array([result.volume_stderr_A3 for result in results])
    assert within(int((np.abs(volumes - true_A3) < errors).sum()), n, 0.63, 0.73)
    assert within(int((volumes > true_A3).sum()), n, 0.4, 0.6)
    assert np.median(errors) < 0.01 * true_A3
    cells = np.array([result.cell_volume_A3 for result in results])
    assert within(int((cells > true_A3).sum()), n, 0.4, 0.6)
    assert abs(cells.mean() / true_A3 - 1.0) < 0.005 + 3.3 * cells.std() / true_A3 / math.sqrt(n)


def test_the_modulus_is_the_slope_near_zero(found: dict[str, list[VolumeResult]]) -> None:
    """1.9 GPa in the liquid; a curve of B0' = 4 through all of it has three."""
    V0 = TRUE_A3["liquid"]
    true_GPa = -V0 * float(LIQUID.derivative()(V0))
    moduli = np.array([result.bulk_modulus_GPa for result in found["liquid"]])
    assert abs(np.median(moduli) / true_GPa - 1.0) < 0.2
    assert within(int((np.abs(moduli / true_GPa - 1.0) < 0.5).sum()), len(moduli), 0.9, 1.0)


def test_the_cell_that_is_kept_is_where_the_pressure_is_zero(
    found: dict[str, list[VolumeResult]],
) -> None:
    for result in [*found["liquid"], *found["solid"]]:
        assert abs(result.cell_volume_A3 - result.volume_A3) < 3 * result.volume_stderr_A3
        assert result.pressure_GPa == result.points[-1]["pressure_GPa"]


def test_the_published_criteria_stay_where_they_are_satisfied() -> None:
    """No run is made after the one that passes."""
    runs = NoisyRuns(solid, 1.0, 20.0, 3)
    result = search(runs, convergence="mpmorph", max_runs=20)
    first = [abs(point["pressure_GPa"]) < 0.5 for point in result.points[3:]].index(True)
    assert len(result.points) == 3 + first + 1


def test_frozen_and_torn_volumes_leave_the_zero_alone() -> None:
    near = np.array([33.6, 36.0, 38.3])
    volumes, noise = np.array([22.4, 28.0, *near, 44.0, 66.0]), [0.02] * 7
    zeros = []
    for frozen in (0.5, 1.0, 1.5):
        pressures = np.array([LIQUID(volume) for volume in volumes])
        pressures[:2] *= frozen
        zero = zero_pressure(volumes, pressures, noise)
        assert zero is not None
        zeros.append(zero.V0_A3)
        assert abs(zero.V0_A3 - TRUE_A3["liquid"]) < 2 * zero.V0_stderr_A3
    assert np.ptp(zeros) < 0.01 * TRUE_A3["liquid"]
