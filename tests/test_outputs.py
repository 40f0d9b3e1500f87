"""Every command, every output it can write, every file that is in the way: nothing is destroyed.

The commands and their outputs are those of the command line's own definition.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from mlmd import CalculatorSpec, Production, Protocol
from mlmd.calculators.weights import environment_python
from mlmd.campaign import Campaign, run_campaign
from mlmd.cli.app import app, run_command_line
from mlmd.cli.outputs import FOLDERS, Output, outputs_of
from mlmd.descriptors import FeatureTable
from mlmd.errors import InputError
from mlmd.model.data.table import TrainingTable
from mlmd.plain import csv_text, text_of_csv
from mlmd.report.page.elements import csv_block

READ = {("run", "--structure"), ("compare", "--reference"), ("screen", "--properties")}
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
    ("campaign export", "--output"): ["campaign", "export", "cases.yaml"],
    ("campaign report", "--output"): ["campaign", "report", "cases.yaml"],
    ("screen", "--output"): ["screen", "s.extxyz", "--calculator", "lj"],
    ("screen", "--report"): ["screen", "s.extxyz", "--calculator", "lj"],
    ("screen", "--keep"): ["screen", "s.extxyz", "--calculator", "lj"],
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
    (folder / "cases.yaml").write_text(
        "{structures: s.extxyz, protocol: small.yaml, workers: 1, "
        "calculators: {name: lj, options: {cutoff_A: 4.5}}}"
    )
    with ThreadPoolExecutor(1) as pool:
        run_campaign(Campaign.load(folder / "cases.yaml"), pool)
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


@pytest.fixture(autouse=True)
def one_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer takes longer to make the commands than they take to refuse a place."""
    monkeypatch.setattr(typer.main, "get_command", COMMAND_LINE)


COMMAND_LINE = functools.cache(typer.main.get_command)


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
        pytest.skip("has no --force")
    places = dict.fromkeys(in_the_way(filled, asked, force))
    if kind not in FOLDERS:
        places |= dict.fromkeys(["run", "other", "way", ".", "mine/below.png"])
    elif kind != "plots":
        places |= dict.fromkeys(["run", "study", "other", "way", "."])
    before = contents(filled)
    wrong = []
    for place in places:
        if force and place == "study/report.html" and kind not in FOLDERS:
            continue  # a page in a study may be replaced
        code = run_command_line([*asked, option, place, *["--force"] * force])
        said = capsys.readouterr().err
        if code != 2 or said.count("\n") != 1:
            wrong.append((place, code, said))
    now = contents(filled)
    assert wrong == []
    assert [name for name in {**before, **now} if before.get(name) != now.get(name)] == []


PLOTS = {  # what each draws
    "analyze": {
        "rdf-p.png",
        "rdf-q.png",
        "msd-Li.png",
        "msd-Cl.png",
        "events-p.png",
        "events-q.png",
    },
    "rdf": {"rdf-trajectory.png"},
}


@pytest.mark.parametrize("force", [False, True], ids=["plain", "forced"])
@pytest.mark.parametrize("name", PLOTS)
def test_no_plot_of_a_folder_takes_the_place_of_anything(
    filled, tmp_path, monkeypatch, capsys, name, force
):
    monkeypatch.chdir(filled)
    assert PLOTS.keys() == {command for (command, _), one in OUTPUTS.items() if one.kind == "plots"}
    command = [*ASKED[name, "--plot"], "--plot", str(tmp_path), *["--force"] * force]
    (tmp_path / "target").write_text("mine")
    for plot in PLOTS[name]:
        for make in (
            lambda path: path.write_text("mine"),
            lambda path: path.symlink_to("target"),
            lambda path: path.symlink_to("nowhere"),
            lambda path: path.hardlink_to(filled / "t.extxyz"),
            os.mkfifo,
            os.mkdir,
        )[force:]:
            make(tmp_path / plot)
            before = contents(tmp_path)
            if force and before[plot] == (filled / "t.extxyz").read_bytes() and name == "analyze":
                (tmp_path / plot).unlink()
                continue  # no input of that command
            assert run_command_line(command) == 2, plot
            assert capsys.readouterr().err.count("\n") == 1
            assert contents(tmp_path) == before
            (tmp_path / plot).rmdir() if (tmp_path / plot).is_dir() else (tmp_path / plot).unlink()


AGAIN = {
    "export": ("--output", "t2.extxyz", False),
    "features": ("--output", "new.csv", False),
    "pack": ("--output", "new.extxyz", False),
    "rdf": ("--csv", "new.csv", True),
    "predict": ("--plot", "new.svg", True),
    "compare": ("--report", "new.html", True),
    "report": ("--output", "new.html", True),
    "campaign export": ("--output", "new.csv", True),
    "campaign report": ("--output", "new.html", True),
}
"""An output of each command that is quick, and whether it is made again unasked."""


@pytest.mark.parametrize("name", AGAIN)
def test_an_earlier_output_is_made_again_or_by_force(filled, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(filled)
    option, file, again = AGAIN[name]
    path = tmp_path / file
    command = [*ASKED[name, option], option, str(path)]
    before = contents(filled)
    assert run_command_line(command) == 0, capsys.readouterr().err
    made = path.read_bytes()
    assert run_command_line(command) == (0 if again else 2)
    path.write_bytes(made + b" ")  # edited
    assert run_command_line(command) == 2
    assert "exists; nothing is overwritten" in capsys.readouterr().err
    assert path.read_bytes() == made + b" "
    assert run_command_line([*command, "--force"]) == 0
    assert path.read_bytes() == made or name == "predict"  # a drawing says when it was made
    assert [one.name for one in tmp_path.iterdir()] == [file]
    assert contents(filled) == before


def test_an_interrupted_command_leaves_nothing(filled, tmp_path, monkeypatch, capsys):
    from matplotlib.figure import Figure

    def interrupted(self: Figure, place: Path, **options: Any) -> None:
        place.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.chdir(filled)
    monkeypatch.setattr(Figure, "savefig", interrupted)
    plots = tmp_path / "new" / "plots"
    assert run_command_line([*ASKED["rdf", "--plot"], "--plot", str(plots)]) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "twice"),
    [
        ([*TABLE_OF, "-o", "a.csv", "--report", "./other/../a.csv"], "--report and --output"),
        ([*ASKED["rdf", "--csv"], "--csv", "a.png", "--plot", "a.png"], "--plot and --csv"),
        ([*ASKED["rdf", "--csv"], "--csv", "b/rdf-trajectory.png", "--plot", "b"], "in a folder"),
    ],
)
def test_two_outputs_at_one_place_are_refused(filled, monkeypatch, capsys, arguments, twice):
    monkeypatch.chdir(filled)
    before = contents(filled)
    assert run_command_line(arguments) == 2, twice
    assert "is given for two outputs" in capsys.readouterr().err
    assert contents(filled) == before


@pytest.mark.parametrize(
    "options", [["--estimator", "x"], ["--window-ps", "99"], ["--fit-ps", "5", "1"]]
)
def test_a_report_that_cannot_be_made_as_asked_leaves_the_good_one(
    filled, monkeypatch, capsys, options
):
    monkeypatch.chdir(filled)
    assert run_command_line(["report", "run"]) == 0
    before = contents(filled)
    capsys.readouterr()
    assert run_command_line(["report", "run", *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert contents(filled) == before
    Path("run/report.html").unlink()


def test_a_study_does_not_take_over_files_of_the_same_names(filled, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(filled)
    asked = [*ASKED["compare", "--out"], "--out", str(tmp_path)]
    good = {"schema": 1, "created": "", "references": [], "calculators": {}}
    for name, text in {
        "study.json": '{"schema": 1, "mine": true}',
        "comparison.json": '{"mine": true}',
        "report.html": "<p>mine</p>",
    }.items():
        (tmp_path / "study.json").write_text(json.dumps(good))
        (tmp_path / name).write_text(text)
        before = contents(tmp_path)
        assert run_command_line(asked) == 2
        said = capsys.readouterr().err
        assert name in said
        assert said.count("\n") == 1
        assert contents(tmp_path) == before
        (tmp_path / name).unlink()


def test_a_calculators_weights_and_the_run_that_is_gone_on_from_are_inputs(filled, monkeypatch):
    monkeypatch.chdir(filled)
    Path("weights.html").write_text("mine")
    seen = []

    def command(
        calculator: list[str],
        start: str,
        output: Annotated[Path, typer.Option("--output"), Output("page")],
        force: bool = False,
    ) -> None:
        seen.append(output)

    from mlmd.cli.outputs import _checked_first

    checked = _checked_first(command)
    for text in ("mace:weights.html", "best=mace:weights.html", "option=weights.html"):
        with pytest.raises(InputError, match=r"^--output weights\.html is an input"):
            checked(calculator=[text], start="run:p", output=Path("weights.html"), force=True)
    checked(calculator=["mace"], start="run:p", output=Path("weights.html"), force=True)
    assert seen == [Path("weights.html")]
    Path("weights.html").unlink()


TEXTS = st.text(st.sampled_from("=+-@\t\r\n'\"a1 ,;"), max_size=5)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_a_text_in_csv_is_no_formula_and_comes_back(text):
    cell = csv_text(text)
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r") or cell == ""
    assert text_of_csv(cell) == text


@settings(max_examples=20, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=8, unique=True), TEXTS)
def test_tables_give_back_names_that_look_like_formulas(tmp_path_factory, names, said):
    pandas = pytest.importorskip("pandas")
    path = tmp_path_factory.getbasetemp() / "t.csv"
    n = len(names)
    values = pandas.DataFrame({"AAV": np.linspace(-1.5, 2, n)})
    table = TrainingTable(
        values, ("LiCl",) * n, np.full(n, 500.0), np.full(n, 1e-5), "mlmd",
        names=tuple(names), frames=(said,) * n, D_from=said or "as given",
    )  # fmt: skip
    table.to_csv(path, force=True)
    with path.open(newline="", encoding="utf-8") as file:
        file.readline()
        rows = list(csv.DictReader(file))
    assert [float(row["AAV"]) for row in rows] == values["AAV"].tolist()
    for row in rows:
        for column in ("name", "frames", "D_from", "formula"):
            assert not row[column].startswith(("=", "+", "-", "@", "\t", "\r")), row
    back = TrainingTable.read(path)
    assert (back.names, back.frames, back.D_from) == (table.names, table.frames, table.D_from)
    assert FeatureTable.read_csv(path).values["AAV"].tolist() == values["AAV"].tolist()


def test_the_numbers_to_copy_from_a_page_hold_no_formulas():
    block = csv_block("T", "", ("label", "value"), [("=cmd", -1.5), ("a", "-x")])
    assert block.text.splitlines() == ["label,value", "'=cmd,-1.5", "a,'-x"]


def test_an_environment_does_not_take_the_place_of_other_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("the work began"))
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("MLMD_CACHE", str(cache))
    folder = environment_python("mace").parents[1]
    folder.mkdir(parents=True)
    (folder / "mine").write_text("mine")
    assert run_command_line(["calculators", "install", "mace"]) == 2
    assert "holds files and is no environment" in capsys.readouterr().err
    assert (folder / "mine").read_text() == "mine"
    monkeypatch.setenv("MLMD_CACHE", str(folder / "mine" / "below"))
    assert run_command_line(["calculators", "install", "mace"]) == 2
    assert "is no folder" in capsys.readouterr().err
