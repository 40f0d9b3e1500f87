"""The structure that ``mlmd run`` starts from: packed, a crystal, or the end of another run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.checks import is_number
from mlmd.cli.options import assignments
from mlmd.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

N_ATOMS = 100


@dataclass(frozen=True)
class Start:
    """What a command line says of the structure; each None or empty where it says nothing.

    Attributes
    ----------
    composition, structure, end
        One of them: a formula to pack, a file, or ``RUN:STAGE``.
    n_atoms, density_g_cm3, volume_per_atom_A3
        Of a packing.
    format, diameter_A, supercell_n_atoms, vacancies
        Of a file; what is made of the crystal in it.
    seed
        Of whatever is random.
    """

    composition: str | None
    structure: Path | None
    end: str | None
    n_atoms: int | None
    density_g_cm3: float | None
    volume_per_atom_A3: float | None
    format: str | None
    diameter_A: float | None
    supercell_n_atoms: int | None
    vacancies: list[str]
    seed: int

    def atoms(self) -> Atoms:
        """Make, read or find it.

        Raises
        ------
        InputError
            If not one of the three is given, or options of another.
        """
        if sum(one is not None for one in (self.composition, self.structure, self.end)) != 1:
            raise InputError("give either --composition or --structure, or --from RUN:STAGE")
        if self.composition is None:
            self._refuse_of_packings()
        if self.structure is None:
            self._refuse_of_files()
        if self.end is not None:
            return end_of_stage(self.end)
        return self._packed() if self.structure is None else self._crystal(self.structure)

    def _refuse_of_packings(self) -> None:
        source = "--structure" if self.end is None else "--from"
        if self.density_g_cm3 is not None or self.volume_per_atom_A3 is not None:
            raise InputError(f"{source} has its own volume; leave out density and volume")
        if self.n_atoms is not None:
            more = ", or give --supercell-n-atoms" if self.end is None else ""
            raise InputError(f"{source} has its own atoms; leave out --n-atoms{more}")

    def _refuse_of_files(self) -> None:
        if self.format is not None:
            raise InputError("--format is of a file; give --structure, or leave it out")
        if self.diameter_A is None and self.supercell_n_atoms is None and not self.vacancies:
            return
        if self.end is not None:
            raise InputError("--from goes on with that cell; leave out supercells and vacancies")
        raise InputError(
            "supercells and vacancies are for crystals: give --structure instead of "
            "--composition, or --n-atoms for a larger packing"
        )

    def _packed(self) -> Atoms:
        from mlmd.structure import pack

        assert self.composition is not None
        return pack(
            self.composition,
            N_ATOMS if self.n_atoms is None else self.n_atoms,
            seed=self.seed,
            density_g_cm3=self.density_g_cm3,
            volume_per_atom_A3=self.volume_per_atom_A3,
        )

    def _crystal(self, structure: Path) -> Atoms:
        """Read a structure; repeat it and take atoms out where that is asked for."""
        from mlmd.structure import read_structure, supercell, with_vacancies

        diameter_A, n_atoms = self.diameter_A, self.supercell_n_atoms
        if diameter_A is not None and n_atoms is not None:
            raise InputError("give either --supercell-diameter-A or --supercell-n-atoms")
        amounts = _amounts(self.vacancies)
        atoms = read_structure(structure, self.format)
        if diameter_A is not None or n_atoms is not None:
            atoms = supercell(atoms, min_diameter_A=diameter_A, n_atoms=n_atoms)
        for symbol, amount in amounts.items():
            if isinstance(amount, int):
                atoms = with_vacancies(atoms, symbol, n=amount, seed=self.seed)
            else:
                atoms = with_vacancies(atoms, symbol, fraction=amount, seed=self.seed)
        return atoms


def end_of_stage(text: str) -> Atoms:
    """Return the end of ``RUN:STAGE``; a path with colons is split at the last."""
    from mlmd.run.run import Run

    folder, colon, stage = text.rpartition(":")
    if not (colon and folder and stage):
        raise InputError(
            f"--from '{text}' is not understood; expected RUN:STAGE, a run directory and the name "
            "of a stage that is done (mlmd status RUN lists them)"
        )
    return Run.open(folder).end_of(stage)


def _amounts(vacancies: list[str]) -> dict[str, float]:
    """Read how many atoms of which elements are to be taken out."""
    amounts = assignments(vacancies, "--vacancies")
    for symbol, amount in amounts.items():
        if not is_number(amount):
            raise InputError(
                f"--vacancies {symbol}={amount} is not understood; expected a fraction such as "
                "Li=0.02 or a number of atoms such as Li=2"
            )
    return amounts
