"""VASP's machine-learned force fields: all steps of a run, once each, at their times."""

import itertools
import logging

import numpy as np
import pytest
from ase import units
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vasp_files import Run, run
from vasp_force_field_files import (
    ML_OFF,
    energies_eV,
    forces_eV_A,
    outcar_of_force_field,
    vasprun_of_force_field,
)

from mlmd import Trajectory
from mlmd.errors import InputError, TimeUnknownError
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.vasp.outcar import read_outcar
from mlmd.trajectory.vasp.vasprun import read_vasprun

N = 12
MADE = run(N)
RUN = "   ML_MODE = run\n"
RUN_XML = '  <i type="string" name="ML_MODE">run</i>\n'
FAST = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def write(path, text):
    path.write_text(text)
    return path


def check(back: Trajectory, made: Run, dft, decimals: float = 6e-6) -> None:
    assert back.positions_A == pytest.approx(made.positions, abs=decimals)
    assert back.cells_A() == pytest.approx(made.cells, abs=1e-9)
    assert back.time_fs == pytest.approx(2.0 * np.arange(len(made.scaled)))
    assert back.forces_eV_A == pytest.approx(forces_eV_A(made, dft), abs=1e-6)
    assert back.energies_eV == pytest.approx(energies_eV(made, dft), abs=1e-7)
    stress_GPa = -back.stresses_eV_A3[:, 0] / units.GPa
    by_dft = np.isin(np.arange(len(made.scaled)), list(dft))
    expected = made.stress_kB[:, 0, 0] + np.where(by_dft, 0.0, ML_OFF)
    assert stress_GPa == pytest.approx(0.1 * expected, abs=1e-6)


@pytest.mark.parametrize("thermostat", [True, False])
@pytest.mark.parametrize("order", ["as VASP does", "inside", "last"])
def test_a_training_run_has_each_step_once(tmp_path, order, thermostat):
    @FAST
    @given(st.sets(st.integers(0, N - 1)))
    def check_outcar(dft):
        text = outcar_of_force_field(MADE, dft, order, thermostat=thermostat)
        check(Trajectory.read(write(tmp_path / "OUTCAR", text)), MADE, dft)

    check_outcar()


@given(st.sets(st.integers(0, N - 1)))
@FAST
def test_steps_outside_of_calculation_are_read_in_their_order(tmp_path, dft):
    path = write(tmp_path / "vasprun.xml", vasprun_of_force_field(MADE, dft))
    check(Trajectory.read(path), MADE, dft, 1e-12)


def test_as_many_steps_as_pymatgen_finds(tmp_path):
    from pymatgen.io.vasp import Vasprun

    incar = '  <i type="logical" name="ML_LMLFF"> T  </i>\n'
    text = vasprun_of_force_field(MADE, {0, 1, 5, 6, 11}, incar=incar)
    path = write(tmp_path / "vasprun.xml", text)
    theirs = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False).md_data
    back = Trajectory.read(path)
    assert len(theirs) == len(back) == N
    for i, step in enumerate(theirs):
        moved = (back.positions_A[i] - step["structure"].cart_coords) @ np.linalg.inv(back.cell_A)
        assert moved == pytest.approx(np.rint(moved), abs=1e-9)
        assert back.forces_eV_A[i] == pytest.approx(np.array(step["forces"]))


def test_a_changing_cell_belongs_to_its_step(tmp_path):
    made = run(N, changing=True)
    dft = {0, 4, 5}
    check(Trajectory.read(write(tmp_path / "OUTCAR", outcar_of_force_field(made, dft))), made, dft)
    path = write(tmp_path / "vasprun.xml", vasprun_of_force_field(made, dft))
    check(Trajectory.read(path), made, dft, 1e-12)


def test_the_first_predictions_of_nothing_are_not_taken_for_forces(tmp_path):
    # Before there is a force field VASP prints zeros in its table.
    text = outcar_of_force_field(MADE, range(N))
    back = Trajectory.read(write(tmp_path / "OUTCAR", text))
    assert (back.forces_eV_A == MADE.forces).all()


# What is not written of every step


@pytest.mark.parametrize(
    ("every", "energies_every", "incar", "version", "known"),
    [
        # Energies of every step tell the steps between.
        (3, 1, "   NBLOCK = 3\n", "6.3.0", True),
        (3, 1, "   NBLOCK = 3\n" + RUN, "6.5.1", True),
        (3, 1, RUN + "   ML_OUTBLOCK = 3\n", "6.4.0", True),
        # From 6.4.3 on all is spaced alike.
        (3, 3, RUN + "   ML_OUTBLOCK = 3\n", "6.4.3", True),
        (3, 3, "   ML_ISTART = 2\n   ML_OUTBLOCK = 3\n", "6.5.0", True),
        (3, 1, RUN + "   ML_OUTBLOCK = 3\n", "6.4.3", True),
        # Contradictions: every step as 6.4.2 prints energies, or every third?
        (3, 3, RUN + "   ML_OUTBLOCK = 3\n", "6.4.2", False),
        (3, 3, "   ML_MODE = train\n   ML_OUTBLOCK = 3\n", "6.4.3", False),
        (3, 3, "   NBLOCK = 3\n", "6.4.3", False),
    ],
)
def test_steps_that_an_outcar_leaves_out(tmp_path, every, energies_every, incar, version, known):
    text = outcar_of_force_field(
        MADE, (), every=every, energies_every=energies_every, incar=incar, version=version
    )
    if "NBLOCK" in incar and "OUTBLOCK" not in incar:
        text = text.replace("NBLOCK =      1;", "NBLOCK =      3;")
    path = write(tmp_path / "OUTCAR", text)
    with TextSource(path) as source:
        (block,) = read_outcar(source)
        assert [f.code for f in source.findings] == ([] if known else ["interval_unknown"])
    printed = MADE.frames(slice(2, None, 3))
    assert block.forces_eV_A == pytest.approx(printed.forces + ML_OFF)
    if known:
        assert np.diff(block.step).tolist() == [3, 3, 3]
        assert np.diff(block.time_fs) == pytest.approx([6.0, 6.0, 6.0])
        return
    assert block.step is None
    with pytest.raises(TimeUnknownError):
        Trajectory.read(path)
    back = Trajectory.read(path, 6.0, long_steps="warn")
    assert back.time_fs == pytest.approx([0.0, 6.0, 12.0, 18.0])


def test_steps_that_an_outcar_leaves_out_beside_announced_ones(tmp_path):
    text = outcar_of_force_field(MADE, {0, 4}, every=3, incar="   NBLOCK = 3\n")
    path = write(tmp_path / "OUTCAR", text.replace("NBLOCK =      1;", "NBLOCK =      3;"))
    with TextSource(path) as source:
        (block,) = read_outcar(source)
    assert block.step.tolist() == [1, 3, 5, 6, 9, 12]


@pytest.mark.parametrize(
    ("outblock", "mode", "version", "interval"),
    [
        ("", RUN_XML, "6.4.3", 1),
        ("10", RUN_XML, "6.4.3", 10),
        ("10", '  <i type="int" name="ML_ISTART">     2</i>\n', "6.5.1", 10),
        ("10", RUN_XML, "6.4.2", None),
        ("10", '  <i type="string" name="ML_MODE">train</i>\n', "6.4.3", None),
        ("10", "", "6.4.3", None),
    ],
)
def test_steps_that_a_vasprun_leaves_out(tmp_path, outblock, mode, version, interval):
    if outblock:
        mode += f'  <i type="int" name="ML_OUTBLOCK">    {outblock}</i>\n'
    text = vasprun_of_force_field(MADE, (), incar=mode, version=version)
    path = write(tmp_path / "vasprun.xml", text)
    if interval is None:
        with pytest.raises(TimeUnknownError):
            Trajectory.read(path)
        return
    assert Trajectory.read(path).time_fs == pytest.approx(2.0 * interval * np.arange(N))


def test_steps_of_dft_alone_keep_their_times_where_the_force_field_writes_nothing(tmp_path):
    text = vasprun_of_force_field(MADE, {0, 4, 8}, written=False)
    back = Trajectory.read(write(tmp_path / "vasprun.xml", text), long_steps="warn")
    assert back.time_fs == pytest.approx([0.0, 8.0, 16.0])
    assert (back.forces_eV_A == MADE.forces[::4]).all()
    text = vasprun_of_force_field(MADE, (), written=False)
    with pytest.raises(InputError, match=r"12 steps.*ML_OUTPUT_MODE = 0.*XDATCAR"):
        Trajectory.read(write(tmp_path / "vasprun.xml", text))


def test_energies_that_some_steps_lack_are_left_out_with_a_warning(tmp_path, caplog):
    text = vasprun_of_force_field(MADE, {0, 3}, energies=False)
    with caplog.at_level(logging.WARNING):
        back = Trajectory.read(write(tmp_path / "vasprun.xml", text))
    assert back.energies_eV is None
    assert caplog.text.count("energies_eV is left out") == 1
    assert back.forces_eV_A == pytest.approx(forces_eV_A(MADE, {0, 3}))


def test_energies_that_may_hold_the_work_of_a_pressure_are_not_taken(tmp_path):
    made = run(N)
    made.settings["PSTRESS"] = "50.0"
    back = Trajectory.read(write(tmp_path / "vasprun.xml", vasprun_of_force_field(made, {0, 3})))
    assert back.energies_eV is None
    assert len(back) == N


def test_steps_that_were_not_printed_before_an_announced_one_leave_the_times_open(tmp_path):
    # Steps 3 to 9 are those of the force field; that 6 to 8 are missing only step 10 tells.
    text = outcar_of_force_field(MADE, {0, 1, 9, 10, 11}, thermostat=False)
    parts = text.split("  ML FORCE on cell")
    gapped = "  ML FORCE on cell".join(parts[:6] + parts[9:])
    path = write(tmp_path / "OUTCAR", gapped)
    with pytest.raises(TimeUnknownError):
        Trajectory.read(path)
    assert len(Trajectory.read(path, 2.0, long_steps="warn")) == N - 3


# Restarts in one file, killed runs


@pytest.mark.parametrize("kind", ["OUTCAR", "vasprun.xml"])
@pytest.mark.parametrize("overlap", [0, 1])
@pytest.mark.parametrize("dft", [(), (0, 3), range(N)])
def test_restarts_in_one_file_go_on(tmp_path, kind, overlap, dft):
    maker = outcar_of_force_field if kind == "OUTCAR" else vasprun_of_force_field
    texts = []
    for begin, end in ((0, 5), (5 - overlap, 9), (9 - overlap, N)):
        here = {i - begin for i in dft if begin <= i < end}
        texts.append(maker(MADE.frames(slice(begin, end)), here))
    back = Trajectory.read(write(tmp_path / kind, "".join(texts)))
    assert back.positions_A == pytest.approx(MADE.positions, abs=6e-6)
    assert back.time_fs == pytest.approx(2.0 * np.arange(N))
    assert back.energies_eV == pytest.approx(energies_eV(MADE, dft))


def test_a_killed_vasprun_with_a_restart_behind_it(tmp_path, caplog):
    first = vasprun_of_force_field(MADE.frames(slice(7)), {0, 5})
    second = vasprun_of_force_field(MADE.frames(slice(5, None)), {0, 6})
    # Killed in the step after the fifth, which the restart calculates again.
    for mark in ("<calculation>", "<scstep>", "</structure>\n  <varray"):
        killed = first[: first.index(mark, first.rindex("<calculation>")) + len(mark)]
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            back = Trajectory.read(write(tmp_path / "vasprun.xml", killed + "\n" + second))
        assert back.positions_A == pytest.approx(MADE.positions, abs=1e-12)
        assert back.time_fs == pytest.approx(2.0 * np.arange(N))
        assert caplog.text.count("left out") == 1


def test_other_atoms_behind_are_refused(tmp_path):
    other = run(4)
    object.__setattr__(other, "counts", (5, 3))
    for name, maker in (
        ("OUTCAR", outcar_of_force_field),
        ("vasprun.xml", vasprun_of_force_field),
    ):
        path = write(tmp_path / name, maker(MADE) + maker(other))
        with pytest.raises(InputError, match="other atoms than before"):
            Trajectory.read(path)


@pytest.mark.parametrize("kind", ["OUTCAR", "vasprun.xml"])
@pytest.mark.parametrize("dft", [(), (0, 2, 3), range(5)])
def test_cut_anywhere_the_whole_steps_are_left(tmp_path, kind, dft, caplog):
    made = MADE.frames(slice(5))
    is_outcar = kind == "OUTCAR"
    text = (outcar_of_force_field if is_outcar else vasprun_of_force_field)(made, dft)
    path = tmp_path / kind
    mark = "TOTAL-FORCE" if is_outcar else 'name="forces"'
    read = 0
    for cut in range(text.index(mark, text.index(mark) + 1), len(text), 211):
        path.write_text(text[:cut])
        caplog.clear()
        with caplog.at_level(logging.WARNING), TextSource(path) as source:
            blocks = list((read_outcar if is_outcar else read_vasprun)(source))
        n = sum(map(len, blocks))
        assert n >= read
        read = n
        positions = np.concatenate([block.positions_A for block in blocks])
        assert positions == pytest.approx(made.wrapped[:n] @ made.cells[0], abs=6e-6)
        # The last may have the force field's results only.
        whole = np.concatenate([block.energies_eV for block in blocks])[:-1]
        assert whole == pytest.approx(energies_eV(made, dft)[: n - 1])
        assert caplog.text.count("left out") <= 1
        assert [len(block) for block in blocks] == [len(block.step) for block in blocks]
    assert read == len(made.scaled)


def test_settings_of_any_order(tmp_path):
    # The last said holds: what was asked for, and then what VASP made of it.
    names = ["ML_MODE = run", "ML_OUTBLOCK = 3", "NBLOCK = 7"]
    for order in itertools.permutations(names):
        incar = "".join(f"   {name}\n" for name in order)
        text = outcar_of_force_field(MADE, (), "", 3, 3, incar=incar, version="6.4.3")
        path = write(tmp_path / "OUTCAR", text)
        assert np.diff(Trajectory.read(path, long_steps="warn").time_fs) == pytest.approx(6.0)
