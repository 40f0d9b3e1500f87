"""An output is whole or not there, and never takes the place of what it was not made to replace."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from mlmd import Equilibrate, Protocol, Relax, Run, files
from mlmd.errors import InputError
from mlmd.files import KINDS, check_output, sync_folder, write_output


def fill(path: Path, kind: str, text: str = "new", force: bool = False) -> None:
    with write_output(path, kind, force) as place:
        assert place.parent == path.parent
        assert place.suffix == path.suffix
        place.write_text(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_file_is_written(tmp_path, kind):
    fill(tmp_path / "out.csv", kind)
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").read_text() == "new"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["", ".extxyz", ".csv", ".html", ".png", ".json", ".cif"])
def test_only_an_earlier_output_of_the_kind_is_replaced(tmp_path, kind, suffix):
    path = tmp_path / f"thing{suffix}"
    path.write_text("precious")
    if suffix and suffix in KINDS[kind]:
        fill(path, kind)
        assert path.read_text() == "new"
        return
    with pytest.raises(InputError, match="exists; nothing is overwritten"):
        fill(path, kind)
    assert path.read_text() == "precious"
    fill(path, kind, force=True)
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "name", ["run.json", "structure.extxyz", "01-melt/trajectory.h5md", "01-melt/checkpoint.npz"]
)
def test_a_file_of_a_run_is_never_replaced(tmp_path, name, force):
    (tmp_path / "01-melt").mkdir()
    for one in ("run.json", name):
        (tmp_path / one).write_text("precious")
    for kind in KINDS:
        with pytest.raises(InputError, match="a file of the run in"):
            fill(tmp_path / name, kind, force=force)
    assert (tmp_path / name).read_text() == "precious"
    fill(tmp_path / "report.html", "page")  # but a report may lie there, and be made again
    fill(tmp_path / "report.html", "page", "newer")
    assert (tmp_path / "report.html").read_text() == "newer"


def test_places_that_cannot_be_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="does not exist; make it first"):
        check_output(tmp_path / "nowhere" / "a.csv", "table")
    with pytest.raises(InputError, match="is a folder"):
        check_output(tmp_path, "page")
    (tmp_path / "link.csv").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match="exists"):
        check_output(tmp_path / "link.csv", "table")


def broken(path: Path, kind: str, error: Exception) -> None:
    with write_output(path, kind) as place:
        place.write_text("half")
        raise error


def test_an_error_leaves_nothing_and_what_was_there(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("older")
    with pytest.raises(ZeroDivisionError):
        broken(path, "page", ZeroDivisionError())
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(InputError, match="No space left") as caught:
        broken(path, "page", full)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert path.read_text() == "older"


def test_of_two_that_write_at_once_the_second_is_refused(tmp_path):
    path = tmp_path / "model.mlmd"

    def overtaken() -> None:
        with write_output(path, "model") as place:
            place.write_text("ours")
            path.write_text("theirs")  # written by another process meanwhile

    with pytest.raises(InputError, match="exists"):
        overtaken()
    assert path.read_text() == "theirs"
    assert [p.name for p in tmp_path.iterdir()] == ["model.mlmd"]


def of_a_folder(handle: int) -> bool:
    return stat.S_ISDIR(os.fstat(handle).st_mode)


def fails_with(monkeypatch: pytest.MonkeyPatch, name: str, number: int, fails) -> None:
    """Let a call of the system fail for the handles that `fails` names."""
    real = getattr(os, name)

    def call(handle, *arguments):
        if fails(handle):
            raise OSError(number, os.strerror(number))
        return real(handle, *arguments)

    monkeypatch.setattr(os, name, call)


@pytest.fixture
def never_warned():
    files._warn_of_folders.cache_clear()
    yield
    files._warn_of_folders.cache_clear()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_run_where_folders_cannot_be_written_out_is_the_same_run(
    tmp_path, monkeypatch, caplog, atoms, calculator, never_warned, number
):
    stages = (
        Relax(name="relax", max_steps=5, max_force_eV_A=0.01),
        Equilibrate(name="eq", temperature_K=300.0, duration_ps=0.02, record_every_fs=4.0),
    )
    protocol = Protocol(name="p", stages=stages)
    whole = protocol.run(atoms, calculator, tmp_path / "whole")
    assert caplog.messages == []
    fails_with(monkeypatch, "fsync", number, of_a_folder)
    fails_with(monkeypatch, "posix_fallocate", number, lambda handle: True)
    run = protocol.run(atoms, calculator, tmp_path / "odd")
    assert Run.open(tmp_path / "odd").status == "done"
    assert np.array_equal(run.trajectory("eq").positions_A, whole.trajectory("eq").positions_A)
    fill(tmp_path / "out.csv", "table")
    (said,) = [text for text in caplog.messages if "cannot write out a folder" in text]
    assert os.strerror(number) in said


def test_other_errors_of_a_folder_and_any_of_a_file_stay_errors(
    tmp_path, monkeypatch, never_warned
):
    with monkeypatch.context() as patch:
        fails_with(patch, "fsync", errno.EIO, of_a_folder)
        with pytest.raises(OSError, match="Input/output error"):
            sync_folder(tmp_path)
    fails_with(monkeypatch, "fsync", errno.EINVAL, lambda handle: not of_a_folder(handle))
    with pytest.raises(InputError, match=r"out\.csv cannot be written \(Invalid argument\)"):
        fill(tmp_path / "out.csv", "table")
    assert list(tmp_path.iterdir()) == []
