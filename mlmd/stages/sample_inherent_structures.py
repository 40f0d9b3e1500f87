"""Relax snapshots of a trajectory: the energies of the glasses that it passes."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.checks import truth, whole_number
from mlmd.errors import InputError
from mlmd.files import disk_full_is_a_stop, write_atomically
from mlmd.stages.dynamics.molecular_dynamics import MolecularDynamicsStage
from mlmd.stages.relaxation.inherent_structures import InherentStructure, sum_up
from mlmd.stages.relaxation.relaxing import RelaxationLimits, Relaxed, relax
from mlmd.stages.stage import Stage, require_positive

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.run.directory import StageFolder
    from mlmd.stages.context import StageContext
    from mlmd.stages.relaxation.inherent_structures import InherentStructuresResult
    from mlmd.trajectory.trajectory import Trajectory

logger = logging.getLogger(__name__)

STRUCTURES = "structures.extxyz"


@dataclass(frozen=True, kw_only=True)
class SampleInherentStructures(Stage):
    """Relax the last snapshots of the stage that it starts from, each to its nearest minimum.

    The minimum that a liquid's configuration falls into is its inherent structure (Stillinger
    and Weber, doi:10.1103/PhysRevA.25.978). Zheng et al. 2024 (doi:10.1038/s41524-024-01469-2,
    Methods) relax ten, 2 ps apart; their formation energy is the amorphous limit of Aykol et al.
    (doi:10.1126/sciadv.aaq0148), above which no crystal of the composition was found to be made.

    The relaxed structures are in ``structures.extxyz`` of the stage's folder, in the order of
    time, with energies and forces. Stages after this one go on from where it started.

    Attributes
    ----------
    n_structures, every_ps
        How many snapshots, and the time between them, counted back from the last frame; a whole
        number of recording intervals.
    relax_cell
        Whether the cell relaxes too, to zero stress; takes a calculator with stress.
    max_force_eV_A, max_stress_GPa
        Converged where no force and, with `relax_cell`, no component of the stress is larger.
    max_steps
        Steps of FIRE after which a snapshot is taken as it is: that is no error, and the result
        says which have converged.
    """

    n_structures: int = 10
    every_ps: float = 2.0
    relax_cell: bool = True
    max_force_eV_A: float = 0.05
    max_stress_GPa: float = 0.1
    max_steps: int = 500

    def __post_init__(self) -> None:
        """Check the numbers."""
        super().__post_init__()
        where = f"stage '{self.name}':"
        require_positive(
            self,
            every_ps=self.every_ps,
            max_force_eV_A=self.max_force_eV_A,
            max_stress_GPa=self.max_stress_GPa,
        )
        whole_number(f"{where} n_structures", self.n_structures)
        whole_number(f"{where} max_steps", self.max_steps)
        truth(f"{where} relax_cell", self.relax_cell)

    @property
    def stress_is_for(self) -> str:
        """What the stage needs stress for."""
        return "to relax the cell (relax_cell: false does without)" if self.relax_cell else ""

    def check_source(self, source: Stage | None) -> None:
        """See, before anything is run, that the stage before will have the snapshots.

        Raises
        ------
        InputError
            If it is no stage of dynamics, too short, or recorded at other times.
        """
        if not isinstance(source, MolecularDynamicsStage):
            what = "nothing" if source is None else f"'{source.name}' ({type(source).__name__})"
            raise InputError(
                f"stage '{self.name}' starts from {what}, which records no trajectory; expected "
                "starts_from: the name of a stage of dynamics"
            )
        needed_ps = (self.n_structures - 1) * self.every_ps
        if needed_ps > source.duration_ps * (1 + 1e-9):
            raise InputError(
                f"stage '{self.name}': {self.n_structures} snapshots {self.every_ps:g} ps apart "
                f"need {needed_ps:g} ps; '{source.name}' has {source.duration_ps:g} ps: take "
                "fewer, or closer to each other, or lengthen that"
            )
        frames = 1000.0 * self.every_ps / source.record_every_fs
        if abs(frames - round(frames)) > 1e-6 or round(frames) < 1:
            raise InputError(
                f"stage '{self.name}': every_ps ({self.every_ps:g}) is not a whole number of the "
                f"recording intervals of '{source.name}' ({source.record_every_fs:g} fs)"
            )

    def run(self, atoms: Atoms, context: StageContext) -> tuple[Atoms, InherentStructuresResult]:
        """Relax the snapshots one after another.

        Raises
        ------
        InputError
            If there are too few frames.
        """
        from mlmd.stages.relaxation.snapshots import last_snapshots

        if context.source is None:
            raise InputError(f"stage '{self.name}' has no stage before it to take snapshots from")
        path = context.source.trajectory_path
        snapshots = last_snapshots(path, self.n_structures, self.every_ps)
        found, structures = [], []
        for number in range(len(snapshots)):
            snapshot = _snapshot(atoms, snapshots, number)
            name = f"snapshot-{number + 1:02d}"
            relaxed = relax(snapshot, context.inside(name), name, self._limits())
            structure = _result(snapshot, relaxed, float(snapshots.time_fs[number]) / 1000.0)
            logger.info("%s: %s", name, structure)
            found.append(structure)
            structures.append(_with_results(snapshot, relaxed, structure))
        _write(structures, context.folder)
        result = sum_up(found, len(atoms))
        context.folder.save({"nsteps": result.n_steps, **_state(atoms)})
        return atoms.copy(), result

    def _limits(self) -> RelaxationLimits:
        return RelaxationLimits(
            max_force_eV_A=self.max_force_eV_A,
            max_steps=self.max_steps,
            max_stress_GPa=self.max_stress_GPa if self.relax_cell else None,
            remedy="look at that snapshot of the trajectory",
        )


def _snapshot(atoms: Atoms, snapshots: Trajectory, number: int) -> Atoms:
    """Return the atoms as they were in a frame, at rest."""
    snapshot: Atoms = atoms.copy()
    snapshot.set_cell(snapshots.cells_A()[number])
    snapshot.positions[:] = snapshots.positions_A[number]
    return snapshot


def _result(snapshot: Atoms, relaxed: Relaxed, time_ps: float) -> InherentStructure:
    n_atoms = len(snapshot)
    return InherentStructure(
        time_ps=time_ps,
        energy_eV_atom=relaxed.energy_after_eV / n_atoms,
        snapshot_energy_eV_atom=relaxed.energy_before_eV / n_atoms,
        volume_A3_atom=float(snapshot.get_volume()) / n_atoms,
        max_force_eV_A=relaxed.max_force_eV_A,
        max_stress_GPa=relaxed.max_stress_GPa,
        n_steps=relaxed.n_steps,
        converged=relaxed.converged,
    )


def _with_results(snapshot: Atoms, relaxed: Relaxed, structure: InherentStructure) -> Atoms:
    """Return a structure for a file: with energy and forces, and nothing that is named alike."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    found = {"energy": relaxed.energy_after_eV, "forces": relaxed.forces_eV_A}
    if relaxed.stress_eV_A3 is not None:
        found["stress"] = relaxed.stress_eV_A3
    written = Atoms(
        numbers=snapshot.numbers,
        positions=snapshot.positions,
        cell=snapshot.cell,
        pbc=snapshot.pbc,
        info={"time_ps": structure.time_ps, "converged": structure.converged},
    )
    written.calc = SinglePointCalculator(written, **found)
    return written


def _write(structures: list[Atoms], folder: StageFolder) -> None:
    from ase.io import write

    buffer = io.StringIO()
    write(buffer, structures, format="extxyz")
    folder.lock.check()
    path = folder.path / STRUCTURES
    with disk_full_is_a_stop(str(path)):
        write_atomically(path, lambda file: file.write(buffer.getvalue().encode()))


def _state(atoms: Atoms) -> dict[str, Any]:
    """Return what later stages start from: what this one started from."""
    state = {"cell": atoms.cell.array.copy(), "positions": atoms.get_positions()}
    return {**state, "momenta": atoms.get_momenta()} if atoms.has("momenta") else state
