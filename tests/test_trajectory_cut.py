"""Files of every format that are cut at any byte: whole frames as they were, or one refusal."""

import bz2
import gzip
import logging
import lzma

import numpy as np
import pytest
import test_trajectory_cp2k as cp2k
import test_trajectory_espresso as espresso
import test_trajectory_lammps as lammps
import test_trajectory_siesta as siesta
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from mlmd import Trajectory
from mlmd.errors import InputError

rng = np.random.default_rng(3)


def images(n_frames=6, n_atoms=2):
    """Atoms whose numbers have any number of digits, so that a shorter one looks as good."""
    made = []
    for i in range(n_frames):
        atoms = Atoms(["Li", "O"] * (n_atoms // 2), rng.uniform(0, 5, (n_atoms, 3)), cell=[5, 6, 7])
        atoms.pbc = True
        atoms.info["time_fs"] = 2.0 * i
        atoms.calc = SinglePointCalculator(atoms, energy=-1.25 * i, forces=atoms.positions * 0.01)
        made.append(atoms)
    return made


def extxyz(folder):
    write(folder / "t.extxyz", images())


def bare_xyz(folder):
    text = ""
    for atoms in images():
        rows = "".join(f"{s} {x:g} {y:g} {z:g}\n" for s, (x, y, z) in zip(
            atoms.symbols, atoms.positions, strict=True))  # fmt: skip
        text += f"{len(atoms)}\nsome comment\n{rows}"
    (folder / "t.xyz").write_text(text)


def traj(folder):
    write(folder / "t.traj", images(5))


def long_traj(folder):
    """One whose table of frames was moved to behind the 42nd."""
    write(folder / "t.traj", images(45))


def dump(folder):
    (folder / "t.lammpstrj").write_text(lammps.dump(("xu",)))


def cp2k_run(folder):
    for name, text in cp2k.REAL.items():
        (folder / name).write_text(text)


def espresso_run(folder):
    (folder / "md.pwo").write_text("\n".join(espresso.fixed_cell()) + "\n")


def espresso_vc(folder):
    (folder / "md.pwo").write_text("\n".join(espresso.variable_cell()) + "\n")


def ani(folder):
    siesta.write_ani(folder / "run.ANI")
    siesta.write_xv(folder / "run.XV")


def md(folder):
    siesta.write_xv(folder / "run.XV")
    (folder / "run.MD").write_bytes(siesta.md_bytes())


def md_cells(folder):
    siesta.write_xv(folder / "run.XV")
    (folder / "run.fdf").write_text(siesta.FDF + "MD.VariableCell true\n")
    (folder / "run.MD").write_bytes(siesta.md_bytes(cells=siesta.CELLS))


MAKERS = {
    extxyz: "t.extxyz",
    bare_xyz: "t.xyz",
    traj: "t.traj",
    dump: "t.lammpstrj",
    cp2k_run: "h2-pos-1.xyz",
    espresso_run: "md.pwo",
    espresso_vc: "md.pwo",
    ani: "run.ANI",
    md: "run.MD",
    md_cells: "run.MD",
}
ARRAYS = ("positions_A", "forces_eV_A", "velocities_A_fs", "energies_eV")


def read(path):
    return Trajectory.read(path, timestep_fs=2.0, long_steps="warn")


def check_cuts(path, content, cuts, caplog, mode=None) -> set[int]:
    """Cut a file here and there; return how many frames there were to be had."""
    whole = read(path)
    seen = set()
    for cut in cuts:
        caplog.clear()
        path.write_bytes(content[:cut])
        try:
            back = read(path)
        except InputError as error:
            assert "\n" not in str(error)
            seen.add(0)
            continue
        n = len(back)
        seen.add(n)
        assert np.array_equal(back.numbers, whole.numbers)
        assert np.array_equal(back.positions_A, whole.positions_A[:n])
        assert np.array_equal(back.cells_A(), whole.cells_A()[:n])
        for name in ARRAYS:
            one, other = getattr(back, name), getattr(whole, name)
            assert one is None or np.array_equal(one, other[:n]), name
    return seen


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_file_cut_anywhere_gives_its_whole_frames(tmp_path, caplog, make):
    make(tmp_path)
    path = tmp_path / MAKERS[make]
    content = path.read_bytes()
    n = len(read(path))
    seen = check_cuts(path, content, range(len(content)), caplog)
    assert seen == set(range(n + 1)) or seen == set(range(n))
