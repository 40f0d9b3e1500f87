"""Find the volume at which the pressure is zero, at a temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlmd.errors import VolumeNotFoundError
from mlmd.stages.volume.plan import RunPlan
from mlmd.stages.volume.result import TABLE
from mlmd.stages.volume.runs import VolumeRuns
from mlmd.stages.volume.search import VolumeSearch
from mlmd.stages.volume.settings import VolumeSettings

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.stages.context import StageContext
    from mlmd.stages.volume.result import VolumeResult


@dataclass(frozen=True, kw_only=True)
class EquilibrateVolume(VolumeSettings):
    """Search the volume of zero pressure by NVT runs and an equation of state.

    Runs at the `scales` first, then outward until P = 0 is bracketed, then at the zero of a
    third-order Birch-Murnaghan curve: the verification run. Where it does not satisfy the criteria,
    its pressure joins the fit and the next one is made. Where it does, but V0 with its pressure is
    farther away than its standard error, a short one is made there. Later stages go on from the
    last.
    The equilibration of each run is left out by a detector, and standard errors know the
    correlation of the pressure.
    """

    @property
    def stress_is_for(self) -> str:
        """What the stage needs stress for."""
        return "to find the volume of zero pressure"

    def run(self, atoms: Atoms, context: StageContext) -> tuple[Atoms, VolumeResult]:
        """Search, and leave the checkpoint that later stages start from.

        Raises
        ------
        VolumeNotFoundError
            If there is no volume to go on with.
        """
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

    def _plan(self) -> RunPlan:
        return RunPlan(
            dynamics=self.dynamics(),
            frames=self.n_frames,
            max_frames=int(self.n_frames * self.max_duration_factor + 1e-9),
            convention=self.pressure,
            second_half=self.convergence == "mpmorph",
        )
