"""The Trajectory itself: shapes, immutability, times."""

import dataclasses

import numpy as np
import pytest

from mlmd import Trajectory
from mlmd.errors import InputError

N_FRAMES, N_ATOMS = 6, 4
FIELDS = {
    "positions_A": np.zeros((N_FRAMES, N_ATOMS, 3)),
    "cell_A": 9.0 * np.eye(3),
    "numbers": np.array([3, 3, 17, 3]),
    "time_fs": 20.0 * np.arange(N_FRAMES),
}


def trajectory(**changes) -> Trajectory:
    return Trajectory(**{**FIELDS, **changes})


def test_what_it_says_of_itself():
    made = trajectory()
    assert len(made) == N_FRAMES
    assert made.n_atoms == N_ATOMS
    assert made.symbols == ("Li", "Li", "Cl", "Li")
    assert made.species == ("Li", "Cl")
    assert made.indices("Li").tolist() == [0, 1, 3]
    assert made.duration_ps == pytest.approx(0.1)
    assert made.masses_u == pytest.approx([6.94, 6.94, 35.45, 6.94])
    assert made.cells_A().shape == (N_FRAMES, 3, 3)
    with pytest.raises(InputError, match=r"no atom of species 'Na'.*Li, Cl"):
        made.indices("Na")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("positions_A", (N_FRAMES, N_ATOMS)),
        ("positions_A", (N_FRAMES, N_ATOMS, 2)),
        ("cell_A", (3,)),
        ("cell_A", (N_FRAMES - 1, 3, 3)),
        ("numbers", (N_ATOMS + 1,)),
        ("time_fs", (N_FRAMES + 1,)),
        ("masses_u", (N_ATOMS, 1)),
        ("velocities_A_fs", (N_FRAMES, N_ATOMS)),
        ("forces_eV_A", (N_FRAMES - 1, N_ATOMS, 3)),
        ("stresses_eV_A3", (N_FRAMES, 3, 3)),
        ("energies_eV", (N_FRAMES, 1)),
        ("temperatures_K", (1,)),
        ("pressures_GPa", (N_FRAMES, 3)),
        ("conserved_energies_eV", (0,)),
    ],
)
def test_wrong_shapes_are_refused(name, shape):
    values = np.ones(shape, dtype=int if name == "numbers" else float)
    with pytest.raises(InputError, match=name) as caught:
        trajectory(**{name: values})
    assert str(shape).rstrip(")") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_in_it_can_be_changed():
    energies = np.zeros(N_FRAMES)
    made = trajectory(energies_eV=energies)
    for name in ("positions_A", "cell_A", "numbers", "time_fs", "masses_u", "energies_eV"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(made, name)[...] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.time_fs = np.zeros(N_FRAMES)  # type: ignore[misc]
    energies[0] = 1.0  # the arrays that were given stay the caller's
    assert FIELDS["positions_A"].flags.writeable


def test_interval_is_given_only_where_it_is_one():
    assert trajectory().uniform_interval_fs() == pytest.approx(20.0)
    long_and_late = 1e9 + 0.5 * np.arange(N_FRAMES)
    assert trajectory(time_fs=long_and_late).uniform_interval_fs() == pytest.approx(0.5)
    uneven = FIELDS["time_fs"].copy()
    uneven[3:] += 10.0
    for times in (uneven, np.zeros(N_FRAMES), -FIELDS["time_fs"]):
        with pytest.raises(InputError, match="not evenly spaced") as caught:
            trajectory(time_fs=times).uniform_interval_fs()
        assert "\n" not in str(caught.value)
    one = {name: FIELDS[name][:1] for name in ("positions_A", "time_fs")}
    with pytest.raises(InputError, match="at least two"):
        trajectory(**one).uniform_interval_fs()


def test_one_missing_frame_in_many_is_seen():
    frames = 20_000
    times = 2.0 * np.arange(frames)
    times[15_000:] += 2.0
    long = Trajectory(
        positions_A=np.zeros((frames, 1, 3)),
        cell_A=np.eye(3),
        numbers=np.array([3]),
        time_fs=times,
    )
    with pytest.raises(
        InputError, match=r"2 fs apart up to 29998 fs \(frame 14999\), 4 fs to frame 15000"
    ):
        long.uniform_interval_fs()
