"""The noun that the whole analysis works on: arrays with units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlmd.checks import usable_text, whole_number
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.arrays import FloatArray, IntArray
    from mlmd.findings import Finding
    from mlmd.trajectory.joining.unwrapping import LongSteps

HEAVIEST = 118


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Positions of the same atoms at a series of times, with units.

    Attributes
    ----------
    positions_A : (frames, atoms, 3)
        Unwrapped positions in angstrom: an atom that leaves the cell is not put back.
    cell_A : (3, 3) or (frames, 3, 3)
        Cell vectors as rows, in angstrom.
    numbers : (atoms,)
        Atomic numbers.
    time_fs : (frames,)
        Time of each frame in femtoseconds.
    masses_u : (atoms,)
        Masses in unified atomic mass units; the natural ones where not given.
    velocities_A_fs, forces_eV_A : (frames, atoms, 3), optional
        Velocities in angstrom/fs, forces in eV/angstrom.
    stresses_eV_A3 : (frames, 6), optional
        Virial stress in eV/angstrom^3, Voigt order xx yy zz yz xz xy, ASE's sign.
    energies_eV, temperatures_K, pressures_GPa, conserved_energies_eV : (frames,), optional
        Potential energy; kinetic temperature over 3N - 3 degrees of freedom, 3M where all but M
        atoms are held; pressure with its kinetic part; the quantity that the dynamics conserves.
    source : str
        Where the data come from, for messages and plots.
    pbc : (bool, bool, bool)
        Which cell vectors the structure is periodic along; all where the file does not say.
    findings : tuple of Finding
        What reading the file showed that doubts it, or that had to be assumed: every face of what
        is measured of it shows them.
    """

    positions_A: FloatArray
    cell_A: FloatArray
    numbers: IntArray
    time_fs: FloatArray
    masses_u: FloatArray | None = None
    velocities_A_fs: FloatArray | None = None
    forces_eV_A: FloatArray | None = None
    stresses_eV_A3: FloatArray | None = None
    energies_eV: FloatArray | None = None
    temperatures_K: FloatArray | None = None
    pressures_GPa: FloatArray | None = None
    conserved_energies_eV: FloatArray | None = None
    source: str = field(default="arrays")
    pbc: tuple[bool, bool, bool] = (True, True, True)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        """Check the shapes, fill in the masses and make every array read-only."""
        if self.positions_A.ndim != 3 or self.positions_A.shape[2] != 3:
            raise InputError(
                f"positions_A has shape {self.positions_A.shape}; expected (frames, atoms, 3)"
            )
        frames, atoms = self.positions_A.shape[:2]
        if not np.all((self.numbers >= 0) & (self.numbers <= HEAVIEST)):
            raise InputError(
                f"{self.source} has atomic numbers from {self.numbers.min()} to "
                f"{self.numbers.max()}; expected those of elements, up to {HEAVIEST}"
            )
        if self.masses_u is None:
            from ase.data import atomic_masses

            object.__setattr__(self, "masses_u", atomic_masses[self.numbers])
        per_frame, per_atom = (frames,), (frames, atoms, 3)
        expected: dict[str, tuple[tuple[int, ...], ...]] = {
            "cell_A": ((3, 3), (frames, 3, 3)),
            "numbers": ((atoms,),),
            "masses_u": ((atoms,),),
            "time_fs": (per_frame,),
            "velocities_A_fs": (per_atom,),
            "forces_eV_A": (per_atom,),
            "stresses_eV_A3": ((frames, 6),),
            "energies_eV": (per_frame,),
            "temperatures_K": (per_frame,),
            "pressures_GPa": (per_frame,),
            "conserved_energies_eV": (per_frame,),
        }
        for name, shapes in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape not in shapes:
                wanted = " or ".join(str(shape) for shape in shapes)
                raise InputError(f"{name} has shape {array.shape}; expected {wanted}")
        for item in fields(self):
            array = getattr(self, item.name)
            if isinstance(array, np.ndarray):
                view = array.view()
                view.flags.writeable = False
                object.__setattr__(self, item.name, view)

    def __len__(self) -> int:
        """Return the number of frames."""
        return int(self.positions_A.shape[0])

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return int(self.positions_A.shape[1])

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbol of each atom."""
        from ase.data import chemical_symbols

        return tuple(chemical_symbols[number] for number in self.numbers)

    @property
    def species(self) -> tuple[str, ...]:
        """Chemical symbols that occur, in order of first appearance."""
        return tuple(dict.fromkeys(self.symbols))

    @property
    def duration_ps(self) -> float:
        """Time from the first frame to the last, in picoseconds."""
        return float(self.time_fs[-1] - self.time_fs[0]) / 1000.0 if len(self) else 0.0

    def cells_A(self) -> FloatArray:
        """Return the cell of every frame, shape (frames, 3, 3), in angstrom."""
        if self.cell_A.ndim == 3:
            return self.cell_A
        return np.broadcast_to(self.cell_A, (len(self), 3, 3))

    def part(self, start: int | None = None, stop: int | None = None, every: int = 1) -> Trajectory:
        """Return the frames ``start:stop:every``, as in a slice; nothing is copied.

        Raises
        ------
        InputError
            If no frame is left, or `every` is below 1.
        """
        frames = slice(start, stop, whole_number("every", every))
        if len(range(*frames.indices(len(self)))) == 0:
            raise InputError(
                f"frames {start} to {stop} of {self.source} were asked for; it has {len(self)}"
            )
        arrays = {
            item.name: getattr(self, item.name)[frames]
            for item in fields(self)
            if isinstance(getattr(self, item.name), np.ndarray)
            and item.name not in ("numbers", "masses_u", "cell_A")
        }
        cell_A = self.cell_A if self.cell_A.ndim == 2 else self.cell_A[frames]
        return replace(self, cell_A=cell_A, **arrays)

    def indices(self, symbol: str) -> IntArray:
        """Return the indices of the atoms of one species.

        Raises
        ------
        InputError
            If no atom of that species is in the trajectory.
        """
        usable_text("species", symbol)
        found = np.array([i for i, s in enumerate(self.symbols) if s == symbol], dtype=int)
        if found.size == 0:
            raise InputError(
                f"no atom of species '{symbol}' in {self.source}; it has {', '.join(self.species)}"
            )
        return found

    def uniform_interval_fs(self) -> float:
        """Return the time between frames, in femtoseconds.

        Raises
        ------
        InputError
            If there are fewer than two frames or the interval is not the same throughout:
            averages over time origins would mix different lags.
        """
        if len(self) < 2:
            raise InputError(f"{self.source} has {len(self)} frame(s); expected at least two")
        steps = np.diff(self.time_fs)
        interval = float((self.time_fs[-1] - self.time_fs[0]) / (len(self) - 1))
        if interval <= 0 or np.abs(steps - interval).max() > 1e-6 * interval + 1e-9:
            raise InputError(
                f"frames of {self.source} are not evenly spaced in time "
                f"({steps.min():g} to {steps.max():g} fs); read it with a constant interval"
            )
        return interval

    @staticmethod
    def read(
        path: str | Path | Sequence[str | Path],
        timestep_fs: float | None = None,
        start: int | None = None,
        stop: int | None = None,
        every: int = 1,
        long_steps: LongSteps = "refuse",
        *,
        elements: Sequence[str] | None = None,
    ) -> Trajectory:
        """Read a trajectory: ours, ASE's, or what a DFT program or LAMMPS has written.

        Positions are unwrapped. Results larger than about 256 MB lie in a file without a name
        in the temporary folder (``TMPDIR``), mapped into memory.

        A file that says that it holds more than its size allows is refused, as is an H5MD file that
        takes more than half of the machine's memory (``MLMD_MEMORY_LIMIT_GB`` sets another limit).

        Parameters
        ----------
        path
            The file, which may be compressed (gzip, bzip2, xz); its format is known by its
            content and name. Several files of one restarted run, in the order of time, are
            joined and frames that repeat are left out.
        timestep_fs
            Time between two frames *of the file*, in fs; needed where the file does not
            say it.
        start, stop, every
            Frames ``start:stop:every``, as in a slice.
        long_steps
            What to do where an atom moves so far between two frames that its unwrapping is
            not certain: ``"refuse"``, or ``"warn"`` and go on.
        elements
            Chemical symbols of types 1, 2, ..., as LAMMPS users write them, for a dump that has
            types and no elements; of a file that says its elements it has to name them.

        Raises
        ------
        InputError
            If the file is absent, of another format or damaged, if its times are not known, or
            if a step is too long; the message names file and line, or frame and atom.
        """
        from mlmd.trajectory.reading import read_trajectory

        frames = slice(start, stop, every)
        return Trajectory(**read_trajectory(path, timestep_fs, frames, long_steps, elements))
