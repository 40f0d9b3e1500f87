"""An output is whole or not there, and never takes the place of what it was not made to replace."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlmd import Equilibrate, Protocol, Relax, Run, files
from mlmd.errors import InputError
from mlmd.files import check_output, keeping_inputs, refuse_one_place, sync_folder, write_output
from mlmd.marks import KINDS

CURVES = "r_A,g_total,stderr_total,g_Li-O,stderr_Li-O\n0.05,0,,1e-05,0.1\n0.1,nan,,-2,inf\n"
AGAIN = {"curves": ".csv", "page": ".html", "plot": ".png"}
"""Kinds that are made again, and a suffix of each."""
DATA = sorted(KINDS.keys() - AGAIN.keys() - {"journal"})


def content(kind: str, suffix: str, word: str) -> bytes:
    """What a writer of ours gives for a kind."""
    if kind == "curves":
        return (CURVES + "0.15,1,,1,0\n" * len(word)).encode()
    if kind != "plot":
        return f"<!doctype html>{word}".encode()
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    figure = Figure()
    figure.suptitle(word)
    figure.savefig(buffer, format=suffix[1:])
    return buffer.getvalue()


def fill(path: Path, kind: str, new: bytes = b"new", **options: Any) -> None:
    with write_output(path, kind, **options) as place:
        assert place.parent.parent == path.parent
        assert place.name == path.name
        place.write_bytes(new)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"plot"}))
def test_a_new_file_is_written(tmp_path, kind):
    fill(tmp_path / "out.csv", kind)
    assert names(tmp_path) == ["out.csv"]
    assert (tmp_path / "out.csv").read_bytes().startswith(b"new")


@pytest.mark.parametrize(
    ("kind", "suffix"), [*AGAIN.items(), ("plot", ".svg"), ("plot", ".pdf"), ("page", ".txt")]
)
def test_an_earlier_output_of_the_kind_is_replaced_until_somebody_edits_it(tmp_path, kind, suffix):
    path = tmp_path / f"thing{suffix}"
    older, newer = content(kind, suffix, "older"), content(kind, suffix, "newer than that")
    fill(path, kind, older)
    first = path.read_bytes()
    fill(path, kind, newer)
    second = path.read_bytes()
    assert first != second
    edited = second.replace(b"newer", b"mine ", 1) if b"newer" in second else second + b"# mine\n"
    path.write_bytes(edited)
    with pytest.raises(InputError, match="exists; nothing is overwritten"):
        fill(path, kind, older)
    assert path.read_bytes() == edited
    fill(path, kind, older, force=True)
    assert path.read_bytes() == first
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"journal"}))
@pytest.mark.parametrize("suffix", ["", ".extxyz", ".csv", ".html", ".png", ".json", ".cif"])
def test_a_file_of_somebody_else_is_replaced_by_force_alone(tmp_path, kind, suffix):
    if kind == "plot" and suffix != ".png":
        with pytest.raises(InputError, match="cannot be drawn"):
            check_output(tmp_path / f"thing{suffix}", kind)
        return
    path = tmp_path / f"thing{suffix}"
    path.write_text("r_A,g_total,stderr_total\n0.05,mine\n")
    with pytest.raises(InputError, match="exists; nothing is overwritten"):
        fill(path, kind)
    assert "mine" in path.read_text()
    fill(path, kind, force=True)
    assert path.read_bytes().startswith(b"new")
    assert names(tmp_path) == [path.name]


@pytest.mark.parametrize("made", AGAIN)
@pytest.mark.parametrize("kind", AGAIN)
def test_an_output_of_another_kind_stays(tmp_path, made, kind):
    suffix = AGAIN[made]
    path = tmp_path / f"thing{suffix}"
    fill(path, made, content(made, suffix, "older"))
    before = path.read_bytes()
    if kind == made:
        check_output(path, kind)
        return
    with pytest.raises(InputError, match=r"exists; nothing|cannot be drawn"):
        check_output(path, kind)
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", DATA)
def test_data_are_replaced_by_force_alone_their_own_kind_too(tmp_path, kind):
    path = tmp_path / "data"
    fill(path, kind)
    with pytest.raises(InputError, match="--force"):
        fill(path, kind)
    fill(path, kind, b"newer", force=True)
    assert path.read_bytes() == b"newer"


def test_a_seal_disturbs_no_reader(tmp_path):
    from xml.etree import ElementTree

    image = pytest.importorskip("PIL.Image")
    for suffix in (".png", ".svg", ".pdf"):
        fill(tmp_path / f"a{suffix}", "plot", content("plot", suffix, "word"))
    with image.open(tmp_path / "a.png") as read:
        read.load()
        assert read.text["mlmd"].startswith("mlmd plot ")
    ElementTree.parse(tmp_path / "a.svg")
    assert b"%%EOF" in (tmp_path / "a.pdf").read_bytes()[-100:]


def test_a_journal_is_one_of_optunas_or_refused(tmp_path):
    path = tmp_path / "trials"
    check_output(path, "journal")
    path.write_text('{"op_code": 0}\n')
    check_output(path, "journal")
    path.write_text("{}")
    for force in (False, True):
        with pytest.raises(InputError, match="not written by Optuna"):
            check_output(path, "journal", force)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("mark", ["run.json", "study.json"])
@pytest.mark.parametrize(
    "name",
    [
        "run.json",
        "study.json",
        "structure.extxyz",
        "any",
        "01-melt/trajectory.h5md",
        "01-melt/v.csv",
    ],
)
def test_a_file_of_a_run_or_a_study_is_never_replaced(tmp_path, mark, name, force):
    (tmp_path / "01-melt").mkdir()
    for one in (mark, name):
        (tmp_path / one).write_text("precious")
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    for kind in KINDS.keys() - {"plot"}:
        for path in (tmp_path / name, tmp_path / "elsewhere" / name):
            with pytest.raises(InputError, match=r"a file of the (run|study) in"):
                fill(path, kind, force=force)
    assert (tmp_path / name).read_text() == "precious"


def test_pages_plots_and_curves_may_lie_in_a_run_and_be_made_again(tmp_path):
    (tmp_path / "run.json").write_text("precious")
    for kind, suffix in AGAIN.items():
        for word in ("older", "newer"):
            fill(tmp_path / f"report{suffix}", kind, content(kind, suffix, word))
    edited = tmp_path / "report.html"
    edited.write_text("mine")
    with pytest.raises(InputError, match="exists; nothing is overwritten"):
        fill(edited, "page")
    fill(edited, "page", force=True)


@pytest.mark.parametrize(
    "name", ["lock", "heartbeat", "log.jsonl", "run.json.partial", "02-melt/trajectory.h5md"]
)
def test_no_output_takes_a_place_where_a_run_will_write(tmp_path, name):
    (tmp_path / "run.json").write_text("precious")
    (tmp_path / "02-melt").mkdir()
    with pytest.raises(InputError, match="a file of the run in"):
        check_output(tmp_path / name, "table", force=True)
    check_output(tmp_path / "mine.csv", "table")


def other_names(file: Path) -> dict[str, Path]:
    """The same file by other names."""
    folder = file.parent
    (folder / "below").mkdir()
    (folder / "soft").symlink_to(file)
    (folder / "hard").hardlink_to(file)
    (folder / "way").symlink_to(folder)
    return {
        "itself": file,
        "relative": Path(os.path.relpath(file)),
        "dots": folder / "below" / ".." / "." / file.name,
        "soft link": folder / "soft",
        "hard link": folder / "hard",
        "linked folder": folder / "way" / file.name,
    }


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("given", ["itself", "soft link", "hard link", "relative"])
def test_an_input_is_never_replaced_by_whatever_name(tmp_path, given, force):
    file = tmp_path / "input.html"
    fill(file, "page")  # even one that would be replaced if it were none
    before = file.read_bytes()
    ways = other_names(file)
    for name, path in ways.items():
        with pytest.raises(InputError, match=r"is an input|symbolic link"):
            fill(path, "page", force=force, inputs=[ways[given]])
        with keeping_inputs([ways[given]]), pytest.raises(InputError, match=r"input|symbolic"):
            check_output(path, "page", force)
        assert file.read_bytes() == before, name


@pytest.mark.parametrize("force", [False, True])
def test_what_lies_in_a_folder_that_is_an_input_is_never_replaced(tmp_path, force):
    folder = tmp_path / "inputs"
    (folder / "deep").mkdir(parents=True)
    file = folder / "deep" / "x.html"
    file.write_text("precious")
    for path in other_names(file).values():
        with pytest.raises(InputError, match=r"is an input|symbolic link"):
            fill(path, "page", force=force, inputs=[folder])
    (tmp_path / "hard").hardlink_to(file)
    with pytest.raises(InputError, match="is an input"):
        fill(tmp_path / "hard", "page", force=force, inputs=[folder])
    fill(folder / "report.html", "page", inputs=[folder])
    fill(folder / "report.html", "page", inputs=[folder])  # an earlier page is no input
    assert file.read_text() == "precious"


def test_a_symbolic_link_is_refused_and_so_is_what_it_points_to_kept(tmp_path):
    target = tmp_path / "target.html"
    fill(target, "page")
    before = target.read_bytes()
    for name, to in {"link.html": target, "gone.html": tmp_path / "gone", "loop": "loop"}.items():
        (tmp_path / name).symlink_to(to)
        for force in (False, True):
            with pytest.raises(InputError, match="exists as a symbolic link to"):
                fill(tmp_path / name, "page", force=force)
        assert (tmp_path / name).is_symlink()
    assert target.read_bytes() == before


def test_places_that_cannot_be_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="does not exist; make it first"):
        check_output(tmp_path / "nowhere" / "a.csv", "table")
    check_output(tmp_path / "nowhere" / "a.csv", "table", new_folder=True)
    with pytest.raises(InputError, match="is a folder"):
        check_output(tmp_path, "page")
    (tmp_path / "file").write_text("")
    for new in (False, True):
        with pytest.raises(InputError, match="is no folder"):
            check_output(tmp_path / "file" / "a.csv", "table", new_folder=new)
    for name in ("x" * 300, "nul\0"):
        with pytest.raises(InputError, match="cannot be written"):
            check_output(tmp_path / name, "table")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        for force in (False, True):
            with pytest.raises(InputError, match="no ordinary file"):
                check_output(path, "page", force)
    assert names(tmp_path) == ["file", "pipe"]


def test_a_folder_that_may_not_be_written_into_is_said_first(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # as root may do all
    with pytest.raises(InputError, match="nothing may be written into"):
        check_output(tmp_path / "a.csv", "table")


def test_two_outputs_do_not_share_a_place(tmp_path):
    refuse_one_place([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "way").symlink_to(tmp_path)
    for other in ("a", "A", "way/a", "way/./a"):
        path = Path(os.path.relpath(tmp_path)) / other
        with pytest.raises(InputError, match="is given for two outputs"):
            refuse_one_place([tmp_path / "a", path])


def test_the_longest_name_that_the_system_takes_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".html")
    fill(path, "page")
    fill(path, "page")


def broken(path: Path, kind: str, error: BaseException, **options: Any) -> None:
    with write_output(path, kind, **options) as place:
        place.write_text("half")
        raise error


FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EDQUOT, "No space left: quota"),
    RuntimeError(f"HDF5: no write, errno = {errno.ENOSPC}, No space left on device\nand so on"),
]


@pytest.mark.parametrize("error", FULL, ids=repr)
def test_a_full_disk_is_one_line_and_the_old_one_stays(tmp_path, error):
    path = tmp_path / "page.html"
    fill(path, "page", b"older")
    with pytest.raises(InputError, match="No space left") as caught:
        broken(path, "page", error)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["page.html"]
    assert path.read_bytes().startswith(b"older")


def test_a_really_full_disk_leaves_the_old_one(small_disk):
    path = small_disk / "page.html"
    fill(path, "page", b"older")
    with pytest.raises(InputError, match="No space left"):
        fill(path, "page", b"x" * 1_000_000)
    assert names(small_disk) == ["page.html"]
    assert path.read_bytes().startswith(b"older")


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), RuntimeError("other")])
def test_an_error_or_ctrl_c_leaves_nothing_and_what_was_there(tmp_path, error):
    path = tmp_path / "page.html"
    fill(path, "page", b"older")
    with pytest.raises(type(error)):
        broken(path, "page", error)
    with pytest.raises(type(error)):
        broken(tmp_path / "new" / "deep" / "page.html", "page", error, new_folder=True)
    assert names(tmp_path) == ["page.html"]
    assert path.read_bytes().startswith(b"older")


@pytest.mark.parametrize(("kind", "name"), [("model", "model.mlmd"), ("page", "page.html")])
def test_of_two_that_write_at_once_the_second_is_refused(tmp_path, kind, name):
    path = tmp_path / name

    def overtaken() -> None:
        with write_output(path, kind) as place:
            place.write_text("ours")
            path.write_text("theirs")  # written by another process meanwhile

    with pytest.raises(InputError, match="exists"):
        overtaken()
    assert path.read_text() == "theirs"
    assert names(tmp_path) == [name]


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
