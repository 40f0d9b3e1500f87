"""What is read stays within bounds of time and memory, whatever it says of itself."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from mlmd import Protocol, Trajectory
from mlmd.bounds import hdf5
from mlmd.bounds.helper import run_helper
from mlmd.bounds.memory import VARIABLE, check_memory, memory_limit_bytes
from mlmd.comparison.curves import PairCurves
from mlmd.descriptors.elements import ElementTable
from mlmd.errors import DamagedDataError, InputError
from mlmd.structure import pack, read_structure
from mlmd.trajectory.export import export_trajectory
from mlmd.trajectory.h5md.reader import read_h5md

MANY = 10**12
HUGE: dict[str, bytes] = {
    "atoms.extxyz": f"{MANY}\n\nLi 0 0 0\n".encode(),
    "second.extxyz": f'1\nLattice="5 0 0 0 5 0 0 0 5"\nLi 0 0 0\n{MANY}\n\nLi 0 0 0\n'.encode(),
    "hidden.extxyz": f"1\nc\rLi 0 0 0\r{MANY}\rc\nLi 0 0 0\n".encode(),
    "columns.extxyz": b"1\nProperties=species:S:1:pos:R:3:x:R:1000000000\nLi 0 0 0 1\n",
    "escaped.extxyz": b"1\nProp\\erties=species:S:1:pos:R:3:x:R:1000000000\nLi 0 0 0 1\n",
    "POSCAR": f"x\n1\n5 0 0\n0 5 0\n0 0 5\nLi\n{MANY}\nDirect\n0 0 0\n".encode(),
    "old.poscar": f"Li\n1\n5 0 0\n0 5 0\n0 0 5\n3 {MANY}\nDirect\n0 0 0\n".encode(),
    "grid.cube": b"a\nb\n1 0 0 0\n100000 1 0 0\n100000 0 1 0\n100000 0 0 1\n3 0 0 0 0\n",
    "frames.traj": b"- of UlmASE-Trajectory  " + struct.pack("<3q", 3, MANY, 48),
    "far.traj": b"- of UlmASE-Trajectory  " + struct.pack("<5q", 3, 1, 48, 56, MANY),
    "same.traj": b"- of UlmASE-Trajectory  " + struct.pack("<6q", 3, 2, 48, 64, 64, 2) + b"{}",
    "XDATCAR": f"x\n1\n5 0 0\n0 5 0\n0 0 5\nLi\n{MANY}\nDirect configuration= 1\n0 0 0\n".encode(),
    "t.lammpstrj": f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n{MANY}\n".encode(),
    "p-pos-1.xyz": f"{MANY}\n i = 0, time = 0.0, E = 0.0\nLi 0 0 0\n".encode(),
}


@pytest.mark.parametrize("name", HUGE)
@pytest.mark.parametrize("read", [Trajectory.read, read_structure])
def test_more_than_a_file_can_hold_is_refused(tmp_path, name, read):
    (tmp_path / name).write_bytes(HUGE[name])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3e5  # kB


COMPRESSED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@cache
def little(suffix: str, inside: bytes) -> bytes:
    """Five megabytes of the same, compressed."""
    return COMPRESSED[suffix](inside * (5_000_000 // len(inside)))


@pytest.mark.parametrize("suffix", COMPRESSED)
@pytest.mark.parametrize("inside", [b"\n", b"1", b"1\n\nLi 0 0 0\n"])
@pytest.mark.parametrize("name", ["t.extxyz", "XDATCAR", "s.cif", "t.lammpstrj"])
def test_little_that_becomes_much_is_refused(tmp_path, suffix, inside, name):
    path = tmp_path / f"{name}.{suffix}"
    path.write_bytes(little(suffix, inside))
    for read in (Trajectory.read, read_structure):
        with pytest.raises(InputError, match=path.name):
            read(path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def plug(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "trajectory": ("t.extxyz", Trajectory.read),
    "h5md": ("t.h5md", Trajectory.read),
    "structure": ("s.cif", read_structure),
    "recipe": ("p.yaml", Protocol.load),
    "curves": ("g.csv", PairCurves.read_csv),
    "elements": ("e.csv", ElementTable.read),
}


@pytest.mark.parametrize("kind", [pipe, plug, device, Path.mkdir], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_ordinary_file_is_not_opened(tmp_path, monkeypatch, kind, reader):
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    name, read = READERS[reader]
    kind(Path(name))
    with pytest.raises(InputError, match=r"no ordinary file|is a folder"):
        read(Path(name))


@pytest.mark.parametrize("kind", [pipe, Path.mkdir], ids=lambda kind: kind.__name__)
def test_models_studies_and_tables_are_ordinary_files(tmp_path, kind):
    pytest.importorskip("skops", reason="needs the model extra")
    pytest.importorskip("optuna", reason="needs the model extra")
    from mlmd.descriptors.table import FeatureTable
    from mlmd.model import Predictor, TrainingTable
    from mlmd.model.tuning.studies import Study

    kind(tmp_path / "x")
    for read in (
        Predictor.load,
        TrainingTable.read,
        FeatureTable.read_csv,
        lambda path: Study(path, "ridge"),
    ):
        with pytest.raises(InputError, match=r"no ordinary file|is a folder"):
            read(tmp_path / "x")


def test_a_model_that_becomes_much_is_refused(tmp_path):
    pytest.importorskip("skops", reason="needs the model extra")
    from mlmd.model import Predictor

    for deep in (False, True):
        content = b"\0" * 30_000_000
        if deep:
            inner = io.BytesIO()
            with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("schema.json", content)
            content = inner.getvalue()
        path = tmp_path / f"{deep}.mlmd"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("about.json", json.dumps({"schema": 2}))
            archive.writestr("model.skops", content)
        with pytest.raises(InputError, match="times as large"):
            Predictor.load(path)


@pytest.fixture
def ours(tmp_path) -> Path:
    trajectory = Trajectory(
        positions_A=np.random.default_rng(0).uniform(0, 5, (20, 6, 3)),
        cell_A=5 * np.eye(3),
        numbers=np.full(6, 3),
        time_fs=np.arange(20.0),
    )
    return export_trajectory(trajectory, tmp_path / "t.h5md")


def instead(path: Path, name: str, **what: object) -> None:
    """Put another dataset in a place of a file."""
    with h5py.File(path, "r+") as file:
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, **what).attrs.update(attributes)


POSITIONS = "particles/trajectory/position/value"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (POSITIONS, {"shape": (10**9, 6, 3), "dtype": "f4", "chunks": (10**5, 6, 3)}),
        (POSITIONS, {"data": np.zeros((2 * 10**6, 6, 3), "f4"), "compression": "gzip"}),
        ("particles/trajectory/position/step", {"shape": (10**11,), "dtype": "i8", "chunks": True}),
        ("particles/trajectory/species", {"shape": (10**11,), "dtype": "i4", "chunks": True}),
        ("particles/trajectory/mass", {"data": ["a" * 100] * 6}),
    ],
)
def test_arrays_that_are_not_in_the_file_are_refused(ours, name, what):
    instead(ours, name, **what)
    with pytest.raises(InputError, match=r"larger than the file|not of numbers"):
        Trajectory.read(ours)


def test_a_good_file_is_looked_at_once(ours, monkeypatch):
    whole = Trajectory.read(ours)
    monkeypatch.setattr(hdf5, "run_helper", None)
    assert np.array_equal(Trajectory.read(ours, stop=3).positions_A, whole.positions_A[:3])
    assert len(read_h5md(ours, slice(None), trusted=True)["time_fs"]) == 20
    os.utime(ours, (1, 1))
    with pytest.raises(TypeError):
        Trajectory.read(ours)


def test_hdf5_that_does_not_come_to_an_end_is_ended(ours, monkeypatch):
    """A file that keeps HDF5 in a loop in C is a hard thing to keep: the script has one instead."""
    monkeypatch.setattr(hdf5, "_LOOK", "import itertools\nall(itertools.repeat(True))\n")
    monkeypatch.setattr(hdf5, "_SECONDS", 1.0)
    with pytest.raises(DamagedDataError, match="1 s of computing"):
        Trajectory.read(ours)


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("x = bytearray(2**32)", "GB of memory"),
        ("x = []\nwhile True: x.append(bytes(2**20))", "GB of memory"),
        ("import os\nos.abort()", "a crash"),
        ("import os\nos.kill(os.getpid(), 11)", "SIGSEGV"),
        ("raise ValueError('no')", "ValueError: no"),
        ("pass", ""),
    ],
)
def test_a_helper_says_what_ended_it(script, says):
    outcome = run_helper(script, [], "h5py", 5.0, 2**29)
    assert says in outcome.ended_by
    assert bool(says) == bool(outcome.ended_by)


def test_a_helper_takes_nothing_from_the_working_directory(tmp_path, monkeypatch):
    for name in ("json.py", "h5py.py", "numpy.py", "select.py"):
        (tmp_path / name).write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mlmd.bounds.helper._servers", {})
    assert run_helper("import numpy, h5py\nprint(h5py.__name__)", [], "h5py", 5.0, 2**30).output


def test_an_interrupt_ends_a_long_look_at_once(ours):
    """Ctrl-C, while the library is in a loop in C and the limits are far away."""
    code = (
        "import mlmd.bounds.hdf5 as look, mlmd, sys\n"
        "look._LOOK = 'import itertools\\nall(itertools.repeat(True))\\n'\n"
        "look._SECONDS = 1000.0\n"
        "print('begins', flush=True)\n"
        "mlmd.Trajectory.read(sys.argv[1])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(ours)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert "KeyboardInterrupt" in said


def test_the_limit_of_memory_is_said_and_can_be_set(ours, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory_limit_bytes() <= machine / 2
    with pytest.raises(InputError, match=f"limit is .* GB: take fewer atoms, or set {VARIABLE}"):
        pack("LiCl", 10_000_000_000)
    monkeypatch.setenv(VARIABLE, "0.0001")
    assert memory_limit_bytes() == 100_000
    check_memory("this", 100_000)
    with pytest.raises(InputError, match=VARIABLE):
        check_memory("this", 100_001)
    monkeypatch.setenv(VARIABLE, "0.000001")
    with pytest.raises(InputError, match=rf"20 frames would take .* GB.*--every.*{VARIABLE}"):
        Trajectory.read(ours)
    assert len(Trajectory.read(ours, stop=1)) == 1
    for wrong in ("much", "0", "-1", "nan", "inf"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(InputError, match="gigabytes above 0"):
            memory_limit_bytes()


def test_a_table_that_takes_too_much_is_refused(tmp_path, monkeypatch):
    (tmp_path / "g.csv").write_text("r,Li-O\n" + "0.1,1\n0.2,1\n" * 100)
    assert len(PairCurves.read_csv(tmp_path / "g.csv").r_A) == 200
    monkeypatch.setenv(VARIABLE, "0.00001")
    with pytest.raises(InputError, match=VARIABLE):
        PairCurves.read_csv(tmp_path / "g.csv")


@pytest.mark.parametrize(
    "name", ["s.cif", "POSCAR", "s.extxyz", "s.traj", "s.xsf", "s.gen", "s.json"]
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_good_files_are_read_as_before(tmp_path, monkeypatch, name, suffix):
    """Also by a relative name that looks like the address of a database."""
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    if suffix and name in ("s.traj", "s.json"):
        pytest.skip("ASE reads none")
    write(tmp_path / f"{name}{suffix}", atoms, format="vasp" if name == "POSCAR" else None)
    (tmp_path / "postgres@1").mkdir()
    path = Path("postgres@1") / f"{name}{suffix}"
    (tmp_path / f"{name}{suffix}").rename(tmp_path / path)
    monkeypatch.chdir(tmp_path)
    back = read_structure(path)
    assert sorted(back.numbers) == sorted(atoms.numbers)
    assert back.get_volume() == pytest.approx(atoms.get_volume())


@pytest.mark.parametrize("name", ["t.extxyz", "t.traj"])
def test_whole_frames_of_a_cut_file_are_read_with_a_warning(tmp_path, caplog, name):
    images = [bulk("LiCl", "rocksalt", a=5.1 + 0.01 * i, cubic=True) for i in range(5)]
    write(tmp_path / name, images)
    content = (tmp_path / name).read_bytes()
    whole = Trajectory.read(tmp_path / name, 1.0).positions_A
    assert len(whole) == 5
    seen = set()
    for cut in np.linspace(len(content) // 3, len(content) - 2, 25, dtype=int):
        caplog.clear()
        (tmp_path / name).write_bytes(content[:cut])
        try:
            back = Trajectory.read(tmp_path / name, 1.0).positions_A
        except InputError:
            if name != "t.traj":
                raise
            continue  # the table of the places of all frames is lost
        assert np.array_equal(back, whole[: len(back)])
        assert len(back) == 5 or "cut short" in caplog.text
        seen.add(len(back))
        if name == "t.traj" and len(back) < 5:
            with pytest.raises(InputError):
                read_structure(tmp_path / name)
    assert {3, 4} <= seen
