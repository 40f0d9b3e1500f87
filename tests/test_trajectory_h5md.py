"""Our H5MD files: what goes in comes out, here and in other programs."""

import h5py
import numpy as np
import pytest
from ase import Atoms
from systems import argon

from mlmd import Trajectory
from mlmd.dynamics.nose_hoover import NoseHooverChain
from mlmd.errors import DamagedDataError, InputError
from mlmd.run.recorder import Recorder
from mlmd.stages.dynamics.frames import FrameTaker
from mlmd.trajectory.h5md.reader import FIELDS, read_scalars
from mlmd.trajectory.h5md.writer import OBSERVABLES, SCHEMA, H5MDWriter

NUMBERS = np.array([3, 3, 17, 17, 55])
MASSES_U = np.array([6.0, 7.0, 35.0, 37.0, 132.9])
ORTHOGONAL = np.diag([10.0, 11.0, 12.5])
TRICLINIC = np.array([[10.0, 0.0, 0.0], [2.0, 9.5, 0.0], [-1.0, 3.0, 11.0]])


def frames(n: int, cell=ORTHOGONAL, *, first: int = 0, seed: int = 3) -> dict[str, np.ndarray]:
    """Frames with velocities; a cell of its own for each where `cell` has three axes."""
    rng = np.random.default_rng(seed + first)
    index = np.arange(first, first + n)
    return {
        "step": 10 * index,
        "time": 2.5 * 10 * index,
        "edges": np.broadcast_to(cell, (n, 3, 3)),
        "position": rng.normal(0.0, 30.0, (n, len(NUMBERS), 3)),
        "velocity": rng.normal(0.0, 0.01, (n, len(NUMBERS), 3)),
        **{name: rng.normal(0.0, 100.0, n) for name in OBSERVABLES},
    }


def write(path, block, *, planned: int | None = None, parts: int = 1, velocities: bool = True):
    n = len(block["step"])
    with H5MDWriter.create(
        path,
        NUMBERS,
        MASSES_U,
        (True, True, True),
        n_frames_planned=planned or n,
        velocities=velocities,
    ) as writer:
        for rows in np.array_split(np.arange(n), parts):
            writer.append({name: values[rows] for name, values in block.items()})
    return path


@pytest.mark.parametrize("parts", [1, 7])
def test_what_goes_in_comes_out(tmp_path, parts):
    block = frames(100)
    back = Trajectory.read(write(tmp_path / "t.h5md", block, parts=parts))
    assert len(back) == 100
    assert (back.numbers == NUMBERS).all()
    assert (back.masses_u == MASSES_U).all()
    # Single precision for positions and velocities, everything else exactly.
    assert back.positions_A == pytest.approx(block["position"], rel=1e-7)
    assert back.velocities_A_fs == pytest.approx(block["velocity"], rel=1e-7)
    assert back.positions_A.dtype == np.float32
    assert (back.time_fs == block["time"]).all()
    assert back.cell_A.shape == (3, 3)
    assert (back.cell_A == ORTHOGONAL).all()
    for name, attribute in FIELDS.items():
        assert (getattr(back, attribute) == block[name]).all()
    with h5py.File(tmp_path / "t.h5md") as file:
        assert (file["particles/trajectory/position/step"][:] == block["step"]).all()


def test_a_changing_cell_is_kept_per_frame(tmp_path):
    cells = TRICLINIC * np.linspace(1.0, 1.1, 20)[:, None, None]
    back = Trajectory.read(write(tmp_path / "t.h5md", frames(20, cells)))
    assert back.cell_A.shape == (20, 3, 3)
    assert (back.cell_A == cells).all()


def test_a_quantity_that_was_never_known_is_absent(tmp_path):
    block = frames(10)
    block["pressure"] = np.full(10, np.nan)
    back = Trajectory.read(write(tmp_path / "t.h5md", block))
    assert back.pressures_GPa is None
    assert back.temperatures_K is not None
    assert Trajectory.read(
        write(tmp_path / "u.h5md", frames(10), velocities=False)
    ).velocities_A_fs is (None)


@pytest.mark.parametrize("every", [1, 2, 7, 333, 5000])
@pytest.mark.parametrize(
    ("start", "stop"),
    [(None, None), (3, None), (-5, None), (0, 1), (7, -3), (990, 5000), (2000, None), (40, 12)],
)
def test_slices_are_those_of_numpy(long_file, start, stop, every):
    path, block = long_file
    part = Trajectory.read(path, start=start, stop=stop, every=every)
    rows = slice(start, stop, every)
    assert (part.time_fs == block["time"][rows]).all()
    assert (part.positions_A == block["position"][rows].astype(np.float32)).all()
    assert (part.energies_eV == block["potential_energy"][rows]).all()


@pytest.fixture(scope="module")
def long_file(tmp_path_factory):
    block = frames(1000)
    return write(tmp_path_factory.mktemp("long") / "t.h5md", block, planned=800, parts=16), block


def test_scalars_can_be_read_without_the_positions(long_file):
    path, block = long_file
    scalars = read_scalars(path)
    assert (scalars["time_fs"] == block["time"]).all()
    assert (scalars["energies_eV"] == block["potential_energy"]).all()
    assert scalars["cell_A"].shape == (1000, 3, 3)
    assert "positions_A" not in scalars


@pytest.mark.parametrize("cell", [ORTHOGONAL, TRICLINIC], ids=["orthogonal", "triclinic"])
@pytest.mark.filterwarnings("ignore")
def test_mdanalysis_opens_it_without_us(tmp_path, cell):
    mdanalysis = pytest.importorskip("MDAnalysis")
    cells = cell * np.linspace(1.0, 1.05, 30)[:, None, None]
    block = frames(30, cells)
    path = write(tmp_path / "t.h5md", block, parts=3)
    universe = mdanalysis.Universe.empty(len(NUMBERS), trajectory=False)
    universe.load_new(str(path), format="H5MD")
    assert len(universe.trajectory) == 30
    for i, frame in enumerate(universe.trajectory):
        assert frame.positions == pytest.approx(block["position"][i], rel=1e-6)
        assert frame.time == pytest.approx(block["time"][i] / 1000.0)  # ps there
        assert frame.velocities == pytest.approx(block["velocity"][i] * 1000.0, rel=1e-6)
        lengths_and_angles = Atoms(cell=cells[i]).cell.cellpar()
        assert frame.dimensions == pytest.approx(lengths_and_angles, rel=1e-5)


def test_units_are_said_in_the_file(tmp_path):
    with h5py.File(write(tmp_path / "t.h5md", frames(2))) as file:
        assert list(file["h5md"].attrs["version"]) == [1, 1]
        particles = file["particles/trajectory"]
        units = {
            name: particles[name].attrs["unit"]
            for name in ("position/value", "position/time", "box/edges/value", "velocity/value")
        }
        assert units == {
            "position/value": "Angstrom",
            "position/time": "fs",
            "box/edges/value": "Angstrom",
            "velocity/value": "Angstrom fs-1",
        }
        assert list(particles["box"].attrs["boundary"]) == ["periodic"] * 3
        assert particles["velocity/time"] == particles["position/time"]  # one, shared


def test_positions_only_take_at_most_1400_bytes_per_frame_of_100_atoms(tmp_path):
    n, atoms = 1000, 100
    path = tmp_path / "t.h5md"
    with H5MDWriter.create(
        path, np.full(atoms, 18), np.full(atoms, 39.95), (True,) * 3, n_frames_planned=n
    ) as writer:
        block = {
            "step": np.arange(n),
            "time": np.arange(n) * 20.0,
            "edges": np.broadcast_to(ORTHOGONAL, (n, 3, 3)),
            "position": np.random.default_rng(0).normal(0, 10, (n, atoms, 3)),
            **{name: np.zeros(n) for name in OBSERVABLES},
        }
        writer.append(block)
    assert path.stat().st_size / n <= 1400


def test_room_that_was_planned_but_not_used_takes_no_blocks(tmp_path):
    path = tmp_path / "t.h5md"
    write(path, frames(10), planned=1_000_000)
    assert 512 * path.stat().st_blocks < 400_000
    assert len(Trajectory.read(path)) == 10


def test_more_frames_than_planned(tmp_path):
    block = frames(100)
    back = Trajectory.read(write(tmp_path / "t.h5md", block, planned=13, parts=9))
    assert (back.time_fs == block["time"]).all()
    assert back.positions_A == pytest.approx(block["position"], rel=1e-7)


def test_recorder_keeps_what_the_dynamics_had(tmp_path):
    atoms = argon(3)
    dynamics = NoseHooverChain(atoms, timestep_fs=4.0, temperature_K=120.0)
    expected = []
    with Recorder(tmp_path / "t.h5md", atoms, n_frames_planned=41, velocities=True) as recorder:
        dynamics.attach(FrameTaker(dynamics, recorder), interval=5)

        def note() -> None:
            expected.append(
                (
                    dynamics.get_time(),
                    atoms.get_positions(),
                    atoms.get_velocities(),
                    atoms.get_potential_energy(),
                    dynamics.kinetic_temperature_K,
                    dynamics.conserved_energy_eV,
                    atoms.get_stress(include_ideal_gas=False)[:3].mean(),
                )
            )

        dynamics.attach(note, interval=5)
        dynamics.run(200)
        assert recorder.sync() == 41
    from ase import units

    back = Trajectory.read(tmp_path / "t.h5md")
    time, positions, velocities, energy, temperature, conserved, stress = map(
        np.array, zip(*expected, strict=True)
    )
    assert back.time_fs == pytest.approx(time / units.fs)
    assert back.positions_A == pytest.approx(positions, rel=1e-6, abs=1e-6)
    assert back.velocities_A_fs == pytest.approx(velocities * units.fs, rel=1e-6, abs=1e-9)
    assert (back.energies_eV == energy).all()
    assert (back.temperatures_K == temperature).all()
    assert (back.conserved_energies_eV == conserved).all()
    density = len(atoms) / atoms.get_volume()
    pressure = (density * units.kB * temperature - stress) / units.GPa
    assert back.pressures_GPa == pytest.approx(pressure)


def test_a_newer_schema_is_refused(tmp_path):
    path = write(tmp_path / "t.h5md", frames(3))
    with h5py.File(path, "r+") as file:
        file["mlmd"].attrs["schema"] = SCHEMA + 1
    with pytest.raises(InputError, match=f"schema {SCHEMA + 1}") as caught:
        Trajectory.read(path)
    assert "\n" not in str(caught.value)


def test_files_of_others_are_refused(tmp_path):
    with h5py.File(tmp_path / "t.h5md", "w") as file:
        file["something"] = 1.0
    with pytest.raises(InputError, match="not written by mlmd"):
        Trajectory.read(tmp_path / "t.h5md")
    with pytest.raises(InputError, match="no file"):
        Trajectory.read(tmp_path / "absent.h5md")


def test_other_units_are_refused(tmp_path):
    path = write(tmp_path / "t.h5md", frames(3))
    with h5py.File(path, "r+") as file:
        file["particles/trajectory/position/value"].attrs["unit"] = "nm"
    with pytest.raises(InputError, match="is in nm; expected Angstrom"):
        Trajectory.read(path)


def test_nothing_is_overwritten(tmp_path):
    path = write(tmp_path / "t.h5md", frames(3))
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write(path, frames(5))
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["text", "empty", "head", "tail", "index"])
def test_a_damaged_file_is_named(tmp_path, kind):
    path = write(tmp_path / "t.h5md", frames(500))
    content = bytearray(path.read_bytes())
    if kind == "text":
        content = bytearray(b"this is not HDF5\n" * 100)
    elif kind == "empty":
        content = bytearray()
    elif kind == "head":
        content[:64] = bytes(64)
    elif kind == "tail":
        content = content[: len(content) // 2]
    else:
        while (at := content.find(b"TREE")) >= 0:  # the index of a column
            content[at : at + 4] = b"XXXX"
    path.write_bytes(content)
    with pytest.raises(DamagedDataError, match=r"t\.h5md") as caught:
        Trajectory.read(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DamagedDataError, match=r"t\.h5md"):
        H5MDWriter.resume(path, 100)


def test_any_damage_ends_in_frames_or_in_an_error_of_ours(tmp_path):
    good = write(tmp_path / "t.h5md", frames(60)).read_bytes()
    rng = np.random.default_rng(6)
    outcomes = set()
    for case in range(150):
        content = bytearray(good)
        at = int(rng.integers(40_000))
        size = int(rng.integers(1, 300))
        content[at : at + size] = rng.bytes(size)
        path = tmp_path / f"{case}.h5md"
        path.write_bytes(content)
        for attempt in (
            lambda path=path: Trajectory.read(path),
            lambda path=path: H5MDWriter.resume(path, 50).close(),
        ):
            try:
                attempt()
                outcomes.add("read")
            except (DamagedDataError, InputError) as error:
                outcomes.add(type(error).__name__)
    assert {"read", "DamagedDataError"} <= outcomes
