"""A trajectory file holds its own data: what it takes from another file is not read or written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mlmd import Trajectory
from mlmd.errors import DamagedDataError, InputError
from mlmd.run.recorder import Recorder
from mlmd.trajectory.h5md.reader import read_scalars
from mlmd.trajectory.h5md.writer import OBSERVABLES, H5MDWriter

N_FRAMES = 5
PLACES = (
    *("mlmd", "h5md/creator", "particles", "particles/trajectory/position", "observables"),
    *("particles/trajectory/position/value", "particles/trajectory/position/time"),
    *("particles/trajectory/species", "particles/trajectory/box/edges/value"),
    *("observables/temperature/value", "particles/trajectory/velocity/value"),
)


def trajectory(path: Path) -> Path:
    with H5MDWriter.create(
        path, np.array([3, 17]), np.ones(2), (True,) * 3, n_frames_planned=N_FRAMES, velocities=True
    ) as writer:
        writer.append(
            {
                "step": np.arange(N_FRAMES),
                "time": np.arange(N_FRAMES) * 1.0,
                "edges": np.broadcast_to(np.eye(3) * 9, (N_FRAMES, 3, 3)),
                "position": np.ones((N_FRAMES, 2, 3)),
                "velocity": np.ones((N_FRAMES, 2, 3)),
                **{name: np.ones(N_FRAMES) for name in OBSERVABLES},
            }
        )
    return path


def to_another_file(file: h5py.File, place: str, other: Path) -> None:
    del file[place]
    file[place] = h5py.ExternalLink(str(other), f"/{place}")


def to_a_missing_file(file: h5py.File, place: str, other: Path) -> None:
    del file[place]
    file[place] = h5py.ExternalLink("nowhere.h5", "/x")


def beside(file: h5py.File, place: str, other: Path) -> None:
    """A name that no reader asks for."""
    file[f"{place.split('/', maxsplit=1)[0]}/more/inside"] = h5py.ExternalLink(
        str(other), f"/{place}"
    )


def virtual(file: h5py.File, place: str, other: Path) -> None:
    before = file[place]
    if isinstance(before, h5py.Group):
        pytest.skip("for data sets")
    layout = h5py.VirtualLayout(before.shape, before.dtype)
    layout[...] = h5py.VirtualSource(str(other), place, before.shape, before.dtype)
    del file[place]
    file.create_virtual_dataset(place, layout)


def outside(file: h5py.File, place: str, other: Path) -> None:
    before = file[place]
    if isinstance(before, h5py.Group):
        pytest.skip("for data sets")
    shape, dtype = before.shape, before.dtype
    size = int(np.prod(shape)) * dtype.itemsize
    del file[place]
    file.create_dataset(place, shape, dtype, external=[(str(other.with_suffix(".raw")), 0, size)])


KINDS = [to_another_file, to_a_missing_file, beside, virtual, outside]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("link", KINDS)
def test_data_from_elsewhere_are_neither_read_nor_written(
    tmp_path: Path, place: str, link: Callable[[h5py.File, str, Path], None]
) -> None:
    path, other = trajectory(tmp_path / "t.h5md"), trajectory(tmp_path / "other.h5md")
    raw = other.with_suffix(".raw")
    raw.write_bytes(b"precious" * 100)
    with h5py.File(path, "r+") as file:
        link(file, place, other)
    own, before = path.read_bytes(), (other.read_bytes(), raw.read_bytes())
    for read in (Trajectory.read, read_scalars):
        with pytest.raises(InputError, match="does not hold its own data") as caught:
            read(path)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == own
    with pytest.raises(DamagedDataError, match="does not hold its own data"):
        Recorder.probe(path, {"n_frames": N_FRAMES - 1})
    with pytest.raises(DamagedDataError, match="does not hold its own data"):
        H5MDWriter.resume(path, N_FRAMES - 1)
    assert (other.read_bytes(), raw.read_bytes()) == before


def test_a_link_within_the_file_is_no_harm(tmp_path: Path) -> None:
    path = trajectory(tmp_path / "t.h5md")
    with h5py.File(path, "r+") as file:
        file["particles/trajectory/kept"] = file["particles/trajectory/mass"]
        del file["particles/trajectory/mass"]
        file["particles/trajectory/mass"] = h5py.SoftLink("/particles/trajectory/kept")
        file["circle"] = h5py.SoftLink("/")
    assert len(Trajectory.read(path)) == N_FRAMES
    H5MDWriter.resume(path, N_FRAMES).close()
