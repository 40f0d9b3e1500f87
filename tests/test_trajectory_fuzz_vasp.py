"""Hostile files under every name: only our errors come out, soon, and no frame is made up."""

import bz2
import gzip
import logging
import lzma
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vasp_files import outcar, run, vasprun, xdatcar
from vasp_force_field_files import outcar_of_force_field, vasprun_of_force_field

from mlmd import Trajectory
from mlmd.errors import MlmdError

MADE = run(4)
TEXTS = {
    "XDATCAR": xdatcar(MADE, variable=True),
    "XDATCAR_fixed": xdatcar(MADE),
    "vasprun.xml": vasprun(MADE, n_electronic=1),
    "OUTCAR": outcar(MADE),
    "OUTCAR_ML": outcar_of_force_field(MADE, {0, 2}),
    "vasprun_ml.xml": vasprun_of_force_field(MADE, {0, 2}),
}
NAMES = [
    *TEXTS,
    "run.ani",
    "run.md",
    "run-pos-1.xyz",
    "md.pwo",
    "md.dump",
    "md.lammpstrj",
    "t.xyz",
    "t.extxyz",
    "t.traj",
    "t.h5md",
    "CONTCAR",
    "t",
    *(f"XDATCAR.{suffix}" for suffix in ("gz", "bz2", "xz")),
]
FAST = settings(
    max_examples=100,
    deadline=2000,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL)


def attempt(name: str, content: bytes) -> Trajectory | None:
    """Read `content` under `name`; None if it is refused in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return Trajectory.read(path, timestep_fs=2.0, long_steps="warn")
        except MlmdError as error:
            message = str(error)
    assert "\n" not in message
    assert name in message
    return None


@pytest.mark.parametrize("name", TEXTS)
def test_shuffled_lines(name):
    lines = TEXTS[name].split("\n")

    @FAST
    @given(st.integers(0, len(lines) - 1), st.integers(0, len(lines) - 1), st.integers(1, 30))
    def check(at, to, n):
        rest = lines[:at] + lines[at + n :]
        attempt(name, "\n".join([*rest[:to], *lines[at : at + n], *rest[to:]]).encode())

    check()


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes(name):
    @settings(FAST, max_examples=25)
    @given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
    def check(content):
        assert attempt(name, content) is None

    check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", TEXTS)
def test_a_valid_file_under_a_wrong_name_is_read_for_what_it_is(name, other):
    if name == "t.h5md":
        assert attempt(name, TEXTS[other].encode()) is None
        return
    back = attempt(name, TEXTS[other].encode())
    assert back is not None
    assert back.positions_A == pytest.approx(MADE.positions, abs=6e-6)


@pytest.mark.parametrize("module", [gzip, bz2, lzma], ids=["gz", "bz2", "xz"])
def test_little_that_is_much_when_unpacked(module):
    head = xdatcar(MADE)[: xdatcar(MADE).index("Direct")].encode()
    counts = head.replace(b"    4    4", b" 5000000 4000000")
    for text in (head, counts):
        assert attempt("XDATCAR", module.compress(text + b"\0" * 20_000_000)) is None
        assert attempt("XDATCAR", module.compress(text + b"\n" * 2_000_000)) is None
