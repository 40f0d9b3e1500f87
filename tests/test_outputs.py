"""Every command, every output it can write, every file that is in the way: nothing is destroyed.

The commands and their outputs are those of the command line's own definition.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import numpy as np
import pytest
import typer

from mlmd import CalculatorSpec, Production, Protocol
from mlmd.cli.app import app, run_command_line
from mlmd.cli.outputs import FOLDERS, Output, outputs_of

READ = {("run", "--structure"), ("compare", "--reference")}
"""Options with a path that is read."""
FEW = ["--timestep-fs", "4"]
TABLE_OF = ["train", "table.csv", "--model", "ridge"]
ASKED: dict[tuple[str, str], list[str]] = {
    ("pack", "--output"): ["pack", "LiCl", "--n-atoms", "8", "--volume-per-atom-A3", "30"],
    ("run", "--out"): [
        "run",
        "small.yaml",
        "--structure",
        "s.extxyz",
        "--calculator",
        "lj",
        "--seed",
        "7",
    ],
    ("export", "--output"): ["export", "run", "p"],
    ("analyze", "--plot"): ["analyze", "run", "--window-ps", "0.1", "--fit-ps", "0.02", "0.1"],
    ("rdf", "--plot"): ["rdf", "t.extxyz", *FEW],
    ("rdf", "--csv"): ["rdf", "t.extxyz", *FEW],
    ("features", "--output"): ["features", "s.extxyz", "run"],
    ("train", "--output"): TABLE_OF,
    ("train", "--save-table"): ["train", "run"],
    ("train", "--report"): TABLE_OF,
    ("train", "--study"): [*TABLE_OF, "--tune", "2"],
    ("predict", "--plot"): ["predict", "zheng2024_sisso", "s.extxyz", "-T", "500"],
    ("compare", "--report"): ["compare", "run", "t.extxyz", *FEW],
    ("compare", "--out"): [
        *["compare", "--reference", "t.extxyz", *FEW, "--temperature-K", "300"],
        *["--calculator", "mine=lj", "--equilibrate-ps", "0.01"],
    ],
    ("report", "--output"): ["report", "run"],
}
"""A good command for each output, without it."""


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """All commands of the command line, by what follows ``mlmd``."""
    groups = [("", app), *((f"{one.name} ", one.typer_instance) for one in app.registered_groups)]
    for before, group in groups:
        assert group is not None
        for command in group.registered_commands:
            assert command.callback is not None
            yield f"{before}{command.name}", command.callback


OUTPUTS = {
    (name, option): output
    for name, command in commands()
    for option, output in outputs_of(command).values()
}


def test_every_output_is_in_the_matrix():
    assert OUTPUTS.keys() == ASKED.keys()


def test_every_path_of_an_option_is_an_output_or_known_to_be_read():
    """An option for a new output that does not say so is found here."""
    known = set()
    for name, command in commands():
        for hint in get_type_hints(command, include_extras=True).values():
            about = getattr(hint, "__metadata__", ())
            if get_origin(hint) is not Annotated or "Path" not in str(hint.__origin__):
                continue
            options = [one for one in about if type(one) is type(typer.Option())]
            if options and not any(isinstance(one, Output) for one in about):
                (words,) = options
                known.add((name, next(w for w in (words.default, *words.param_decls) if w)))
    assert known == READ


def test_every_command_that_writes_can_be_forced():
    for name, command in commands():
        kinds = {output.kind for _, output in outputs_of(command).values()}
        assert ("force" in get_type_hints(command)) == bool(kinds - {"run"}), name


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a study, files that commands read, and files of somebody's own."""
    folder = tmp_path_factory.mktemp("outputs")
    protocol = Protocol(
        name="small",
        stages=(
            Production(name="p", temperature_K=300, duration_ps=0.2, record_every_fs=4.0),
            Production(name="q", temperature_K=300, duration_ps=0.1, record_every_fs=4.0),
        ),
    )
    from ase import Atoms

    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    protocol.run(atoms, CalculatorSpec("lj", options={"cutoff_A": 4.5}), folder / "run")
    atoms.write(folder / "s.extxyz")
    protocol.save(folder / "small.yaml")
    for arguments in (
        ["export", str(folder / "run"), "p", "-o", str(folder / "t.extxyz")],
        ["features", str(folder / "s.extxyz"), "-o", str(folder / "table.csv")],
    ):
        assert run_command_line(arguments) == 0
    (folder / "study").mkdir()
    for name in ("study/study.json", "study/comparison.json", "study/report.html"):
        (folder / name).write_text("{}")
    for name in ("mine.csv", "mine.html", "mine.png", "mine.extxyz", "mine.json", "mine"):
        (folder / name).write_text("r_A,g_total\nmine\n")
    (folder / "other").mkdir()
    (folder / "other" / "mine.txt").write_text("mine")
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to("nothing.png")
    (folder / "away.png").symlink_to("mine.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "way").symlink_to("run")
    return folder


def contents(folder: Path) -> dict[str, Any]:
    """Everything below a folder: bytes of files, targets of links, kinds of what else there is."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        kind = path.lstat().st_mode
        name = str(path.relative_to(folder))
        found[name] = stat.S_IFMT(kind)
        if stat.S_ISLNK(kind):
            found[name] = os.readlink(path)
        elif stat.S_ISREG(kind):
            found[name] = path.read_bytes()
    return found


def other_names(path: str) -> list[str]:
    """A file by other names; the links were made beside it."""
    flat = path.replace("/", "_")
    for link, make in (("soft", os.symlink), ("hard", os.link)):
        if not os.path.lexists(f"{link}-{flat}"):
            make(path, f"{link}-{flat}")
    return [path, f"./other/../{path}", os.path.abspath(path), f"soft-{flat}", f"hard-{flat}"]


def in_the_way(folder: Path, asked: list[str], force: bool) -> list[str]:
    """All places where nothing may be written: with `force` those that are never replaced."""
    files = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    read = [file for file in files if file in asked or file.partition("/")[0] in asked]
    kept = [file for file in files if file.startswith(("run/", "study/"))]
    places = [name for file in read for name in other_names(file)]
    places += [f"way/{file.removeprefix('run/')}" for file in kept if file.startswith("run/")]
    places += [
        *kept,
        "pipe.png",
        "gone.png",
        "away.png",
        "loop.png",
        "/dev/null",
        "x" * 300 + ".png",
    ]
    places += ["run/lock", "run/log.jsonl.gz", "mine/below.png"]
    return places if force else [*places, *files]


@pytest.mark.parametrize("force", [False, True], ids=["plain", "forced"])
@pytest.mark.parametrize(("name", "option"), OUTPUTS, ids="".join)
def test_nothing_is_destroyed(filled, monkeypatch, capsys, name, option, force):
    monkeypatch.chdir(filled)
    asked, kind = ASKED[name, option], OUTPUTS[name, option].kind
    if force and kind == "run":
        return  # has no --force
    places = dict.fromkeys(in_the_way(filled, asked, force))
    if kind not in FOLDERS:
        places |= dict.fromkeys(["run", "other", "way", ".", "missing/x.png"])
    elif kind != "plots":
        places |= dict.fromkeys(["run", "study", "other", "way", "."])
    before = contents(filled)
    wrong = []
    for place in places:
        if force and kind not in FOLDERS and place == "study/report.html":
            continue  # a page in a study may be replaced
        code = run_command_line([*asked, option, place, *["--force"] * force])
        said = capsys.readouterr()
        if code != 2 or said.err.count("\n") != 1:
            wrong.append((place, code, said.err))
        now = contents(filled)
        if now != before:
            wrong.append((place, sorted(key for key in now if now[key] != before.get(key))))
            break
    assert wrong == []
