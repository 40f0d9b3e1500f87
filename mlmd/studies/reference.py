"""What a surrogate is held against: a trajectory at a known temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.analysis.recipe import RecipeAnalysis
from mlmd.checks import listed, number_of_at_least, positive_number, usable_path
from mlmd.errors import InputError
from mlmd.run.measured import measured_stages, read_file
from mlmd.run.run import Run

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class Reference:
    """A trajectory of ab initio dynamics, say, and the temperature of its thermostat.

    Attributes
    ----------
    trajectory
        At a constant interval and one number of atoms, in a periodic cell.
    temperature_K
        In kelvin.
    files
        Where it was read from.
    recipe
        Of a run of ours: how its recipe has it measured.

    Raises
    ------
    InputError
        If it has fewer than two frames, no volume or no temperature.
    """

    trajectory: Trajectory
    temperature_K: float
    files: tuple[str, ...] = ()
    recipe: RecipeAnalysis | None = None

    def __post_init__(self) -> None:
        """Refuse what no run could be matched to."""
        from mlmd.structure.checks import check_structure

        what = f"temperature of reference {self.name}"
        object.__setattr__(self, "temperature_K", positive_number(what, self.temperature_K, "K"))
        self.trajectory.uniform_interval_fs()
        try:
            check_structure(self.start())
        except InputError as error:
            raise InputError(f"reference {self.name}, first frame: {error}") from error

    @classmethod
    def read(
        cls,
        path: str | Path | Sequence[str | Path],
        temperature_K: float,
        timestep_fs: float | None = None,
        skip_ps: float = 0.0,
        elements: Sequence[str] | None = None,
    ) -> Reference:
        """Read a reference from a file, or from several of one restarted run.

        Parameters
        ----------
        path, timestep_fs, elements
            As for :meth:`mlmd.Trajectory.read`.
        temperature_K
            Of its thermostat.
        skip_ps
            Left out at its beginning, in ps.
        """
        given = [path] if isinstance(path, str | Path) else listed("path", path, "files")
        paths: list[str | Path] = [usable_path("path", one) for one in given]
        positive_number("temperature_K", temperature_K, "K")
        skip_ps = number_of_at_least("skip_ps", skip_ps, 0, "ps")
        read = partial(read_file, paths, timestep_fs, elements=elements)
        trajectory = read()
        if skip_ps > 0:
            trajectory = read(start=_frames_in(trajectory, skip_ps))
        return cls(trajectory, temperature_K, tuple(str(one) for one in paths))

    @classmethod
    def of_run(cls, path: str | Path) -> list[Reference]:
        """Take what a run of ours has measured, each stage with the temperature that it had."""
        run = Run.open(path)
        recipe = RecipeAnalysis.of(run)
        return [
            cls(trajectory, temperature_K, (f"{path}, {name}",), recipe)
            for name, (trajectory, temperature_K) in measured_stages(run).items()
            if temperature_K is not None
        ]

    @property
    def name(self) -> str:
        """Its file, and how many more."""
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}" if self.files else self.trajectory.source

    @property
    def formula(self) -> str:
        """Reduced chemical formula."""
        return str(self.start().symbols.formula.reduce()[0].format("metal"))

    def start(self) -> Atoms:
        """Return its first frame, wrapped, at the mean volume of the trajectory.

        In a cell that changes the atoms keep their scaled coordinates, so that a run at
        constant volume has the reference's mean density.
        """
        from ase import Atoms
        from ase.data import atomic_masses

        trajectory = self.trajectory
        cells_A = trajectory.cells_A()
        atoms = Atoms(
            numbers=trajectory.numbers,
            positions=np.asarray(trajectory.positions_A[0], dtype=float),
            cell=np.asarray(cells_A[0], dtype=float),
            pbc=trajectory.pbc,
        )
        if trajectory.cell_A.ndim == 3 and np.abs(np.diff(cells_A, axis=0)).max() > 1e-6:
            atoms.set_cell(np.asarray(cells_A, dtype=float).mean(axis=0), scale_atoms=True)
        masses_u = trajectory.masses_u
        if masses_u is not None and not np.allclose(masses_u, atomic_masses[atoms.numbers]):
            atoms.set_masses(masses_u)
        if atoms.cell.rank == 3:
            atoms.wrap()
        return atoms


def read_references(
    paths: Sequence[str | Path],
    temperatures_K: Sequence[float] = (),
    timestep_fs: float | None = None,
    skip_ps: float = 0.0,
    elements: Sequence[str] | None = None,
) -> list[Reference]:
    """Read references: as many as temperatures, else all files are of one restarted run.

    Parameters
    ----------
    paths
        Files, or run directories, which know their times and temperatures.
    temperatures_K, timestep_fs, skip_ps, elements
        See :meth:`Reference.read`.

    Raises
    ------
    InputError
        If temperatures are missing or too many, or a file cannot be read.
    """
    paths = [usable_path("reference", path) for path in listed("references", paths, "files")]
    for one in listed("temperatures_K", temperatures_K, "temperatures"):
        positive_number("temperature_K", one, "K")
    if any(Path(path).is_dir() for path in paths):
        if temperatures_K or timestep_fs is not None or skip_ps or elements is not None:
            raise InputError(
                "a run knows its times, temperatures and elements and has no beginning to leave "
                "out; leave out --timestep-fs, --temperature-K, --elements and --skip-ps"
            )
        return [one for path in paths for one in Reference.of_run(path)]
    if not temperatures_K:
        raise InputError(
            "the reference's temperature is not known; give it with --temperature-K, one for each "
            "--reference, or one where the files are of one restarted run"
        )
    if len(temperatures_K) == len(paths):
        pairs = zip(paths, temperatures_K, strict=True)
        return [Reference.read(path, T, timestep_fs, skip_ps, elements) for path, T in pairs]
    if len(temperatures_K) > 1:
        raise InputError(
            f"{len(paths)} references and {len(temperatures_K)} temperatures; expected as many, "
            "or one temperature where the files are of one restarted run"
        )
    return [Reference.read(paths, temperatures_K[0], timestep_fs, skip_ps, elements)]


def _frames_in(trajectory: Trajectory, skip_ps: float) -> int:
    """Return how many frames the beginning has that is left out."""
    first = math.ceil(
        min(skip_ps * 1000.0 / trajectory.uniform_interval_fs(), len(trajectory)) - 1e-9
    )
    if first > len(trajectory) - 2:
        raise InputError(
            f"{trajectory.source} is {trajectory.duration_ps:g} ps long; expected more than the "
            f"{skip_ps:g} ps that are to be left out of it"
        )
    return first
