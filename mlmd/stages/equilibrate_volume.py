"""Find the volume at which the pressure is zero, at a temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.errors import InputError, VolumeNotFoundError
from mlmd.stages.equilibrate import Equilibrate
from mlmd.stages.stage import Stage
from mlmd.stages.volume.plan import RunPlan
from mlmd.stages.volume.result import TABLE
from mlmd.stages.volume.runs import VolumeRuns
from mlmd.stages.volume.search import VolumeSearch
from mlmd.stages.volume.settings import check_settings

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import StageContext
    from mlmd.stages.volume.result import VolumeResult


@dataclass(frozen=True, kw_only=True)
class EquilibrateVolume(Stage):
    """Search the volume of zero pressure by NVT runs and an equation of state.

    Runs at the `scales` first, then outward until P = 0 is bracketed, then at the zero of a
    third-order Birch-Murnaghan curve: the verification run, which later stages go on from where
    it satisfies the criteria. Where it does not, its pressure joins the fit and the next one is
    made. The equilibration of each run is left out by a detector, and standard errors know the
    correlation of the pressure.

    Attributes
    ----------
    temperature_K
        Temperature in kelvin.
    duration_ps
        Length of each volume's run.
    timestep_fs, record_every_fs, thermostat, thermostat_time_fs
        As in :class:`~mlmd.Equilibrate`; the pressure is averaged over recorded frames.
    scales
        Volumes of the first runs over the starting volume.
    pressure
        ``total``, or ``virial``, which leaves out the kinetic part N kB T / V.
    B0_prime
        Pressure derivative of the bulk modulus; None fits it, which takes four scales.
    convergence
        ``modulus`` or ``mpmorph``, see :mod:`mlmd.stages.volume.criteria`.
    pressure_tolerance
        Largest abs(P)/B of a converged volume; its standard error is to be below half of that.
    energy_drift_stderrs
        Drift of the potential energy that is no drift, in its own standard errors.
    max_runs
        Runs in all.
    max_duration_factor
        A run whose errors are too large goes on up to this many times `duration_ps`.
    max_scale
        Volumes from the starting one divided by to multiplied by this.
    on_unconverged
        ``stop``: only a converged volume is gone on with. ``accept``: also the last verified
        one, and every later result carries the flag ``unconverged_volume``.
    """

    temperature_K: float
    duration_ps: float = 4.0
    timestep_fs: float = 2.0
    record_every_fs: float = 20.0
    thermostat: str = "nose_hoover"
    thermostat_time_fs: float = 100.0
    scales: tuple[float, ...] = (0.8, 1.0, 1.2)
    pressure: str = "total"
    B0_prime: float | None = 4.0
    convergence: str = "modulus"
    pressure_tolerance: float = 0.025
    energy_drift_stderrs: float = 2.0
    max_runs: int = 12
    max_duration_factor: float = 4.0
    max_scale: float = 2.5
    on_unconverged: str = "stop"

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        self._dynamics()  # checks what is the same there
        check_settings(self)
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))

    @property
    def n_steps(self) -> int:
        """Steps of the shortest search: the scales and one verification run."""
        return (len(self.scales) + 1) * self._dynamics().n_steps

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain data."""
        return {**super().to_dict(), "scales": list(self.scales)}

    def run(self, atoms: Atoms, context: StageContext) -> tuple[Atoms, VolumeResult]:
        """Search, and leave the checkpoint that later stages start from.

        Raises
        ------
        InputError
            If the calculator gives no stress.
        VolumeNotFoundError
            If there is no volume to go on with.
        """
        if "stress" not in context.calculator.implemented_properties:
            raise InputError(
                f"stage '{self.name}' needs stress; the calculator "
                f"{type(context.calculator).__name__} gives none"
            )
        runs = VolumeRuns(atoms, context, self._plan(), len(self.scales) + 1)
        search = VolumeSearch(self, runs)
        found = search.find()
        result = search.result(found, len(atoms))
        accepted = result.status == "unconverged" and self.on_unconverged == "accept"
        if found.run is None or not (result.status == "converged" or accepted):
            where = context.folder.path
            raise VolumeNotFoundError(
                f"{result.status}: {result.reason}; the runs are in {where / TABLE}, their plot "
                f"is made by: mlmd analyze {where.parent} --plot FOLDER",
                result,
            )
        end = runs.end_of(found.run)
        state = {name: end[name] for name in ("cell", "positions", "momenta")}
        context.folder.save({"nsteps": result.n_steps, **state})
        atoms = atoms.copy()
        atoms.set_cell(end["cell"])
        atoms.positions[:] = end["positions"]
        atoms.set_momenta(end["momenta"])
        return atoms, result

    @property
    def n_frames(self) -> int:
        """Recording intervals of a run that is not lengthened."""
        return round(1000.0 * self.duration_ps / self.record_every_fs)

    def _dynamics(self) -> Equilibrate:
        return Equilibrate(
            name=self.name,
            temperature_K=self.temperature_K,
            duration_ps=self.duration_ps,
            timestep_fs=self.timestep_fs,
            record_every_fs=self.record_every_fs,
            thermostat=self.thermostat,
            thermostat_time_fs=self.thermostat_time_fs,
        )

    def _plan(self) -> RunPlan:
        return RunPlan(
            dynamics=self._dynamics(),
            frames=self.n_frames,
            max_frames=int(self.n_frames * self.max_duration_factor + 1e-9),
            convention=self.pressure,
            second_half=self.convergence == "mpmorph",
        )
