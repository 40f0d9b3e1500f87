"""Bad input: one line that says what was given and what to do, exit 2, nothing written."""

from __future__ import annotations

import dataclasses
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from bad_input import (
    BAD_OF_TYPE,
    LJ,
    ODD_OF_TYPE,
    RECIPE,
    changed,
    contents,
    functions,
    make_folder,
    parameters,
)
from bad_input import (
    GOOD as WAYS,
)

from mlmd.cli.app import run_command_line
from mlmd.protocol import Protocol
from mlmd.stages.registry import STAGES

CIF_WITH_PARTIAL_OCCUPANCY = """\
data_x
_cell_length_a 6
_cell_length_b 6
_cell_length_c 6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Li1 Li 0 0 0 0.5
Cl1 Cl 0.5 0.5 0.5 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good and bad files, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    (tmp_path / "typo.yaml").write_text(RECIPE.replace("record_every_fs", "record_evry_fs"))
    (tmp_path / "topkey.yaml").write_text(RECIPE + "calculator: chgnet\n")
    (tmp_path / "broken.yaml").write_text("stages: [")
    (tmp_path / "partial.cif").write_text(CIF_WITH_PARTIAL_OCCUPANCY)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    good = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    write(tmp_path / "good.extxyz", good)
    close = good.copy()
    close.positions[1] = close.positions[0] + [0.3, 0, 0]
    write(tmp_path / "overlap.extxyz", close)
    open_cell = good.copy()
    open_cell.pbc = False
    write(tmp_path / "cluster.extxyz", open_cell)
    write(tmp_path / "one.cif", Atoms("Cu", cell=[2.6] * 3, pbc=True))
    write(tmp_path / "two.cif", Atoms("LiCl", [[0, 0, 0], [2.5] * 3], cell=[5] * 3, pbc=True))
    (tmp_path / "noise.extxyz").write_text("this is no structure\n")
    return tmp_path


GOOD = ["run", "tiny.yaml", "--structure", "good.extxyz", *LJ, "--out", "out"]


def setting(text: str) -> list[str]:
    return [*GOOD, "--set", text]


BAD = {
    "unknown element": (
        ["run", "tiny.yaml", "--composition", "Xx2O", *LJ, "--out", "out"],
        "unknown element 'Xx'",
    ),
    "zero temperature": (setting("melt.temperature_K=0"), "temperature_K is 0"),
    "negative temperature": (setting("melt.temperature_K=-5"), "temperature_K is -5"),
    "zero time step": (setting("melt.timestep_fs=0"), "timestep_fs is 0"),
    "negative duration": (setting("Production.duration_ps=-1"), "duration_ps is -1"),
    "infinite duration": (setting("Production.duration_ps=.inf"), "duration_ps is inf"),
    "temperature in words": (setting("melt.temperature_K=hot"), "temperature_K is 'hot'"),
    "interval no multiple": (setting("melt.timestep_fs=3"), "not a whole number of time steps"),
    "unknown field": (setting("melt.temperature=300"), "unknown key(s) temperature"),
    "unknown stage": (setting("mlet.temperature_K=300"), "no stage or class 'mlet'"),
    "no field": (setting("temperature_K=300"), "expected NAME.field=value"),
    "unknown key in YAML": (
        ["run", "typo.yaml", *GOOD[2:]],
        "unknown key(s) record_evry_fs; expected among",
    ),
    "unknown key of the protocol": (["run", "topkey.yaml", *GOOD[2:]], "unknown key(s) calculator"),
    "broken YAML": (["run", "broken.yaml", *GOOD[2:]], "is not YAML"),
    "unknown protocol": (["run", "quickstrat", *GOOD[2:]], "no protocol 'quickstrat'"),
    "partial occupancies": (
        ["run", "tiny.yaml", "--structure", "partial.cif", *LJ, "--out", "out"],
        "occup",
    ),
    "overlapping atoms": (
        ["run", "tiny.yaml", "--structure", "overlap.extxyz", *LJ, "--out", "out"],
        "0.300",
    ),
    "not periodic": (
        ["run", "tiny.yaml", "--structure", "cluster.extxyz", *LJ, "--out", "out"],
        "periodic",
    ),
    "no structure in the file": (
        ["run", "tiny.yaml", "--structure", "noise.extxyz", *LJ, "--out", "out"],
        "noise.extxyz",
    ),
    "no such file": (
        ["run", "tiny.yaml", "--structure", "absent.cif", *LJ, "--out", "out"],
        "absent.cif",
    ),
    "neither composition nor structure": (
        ["run", "tiny.yaml", *LJ, "--out", "out"],
        "either --composition or --structure",
    ),
    "no such format": (
        [*GOOD, "--format", "extxzy"],
        "format is 'extxzy'; expected one that ASE reads, such as extxyz",
    ),
    "too few atoms for dynamics": (
        ["run", "tiny.yaml", "--structure", "one.cif", *LJ, "--out", "out"],
        "1 atoms; expected at least 2, repeat it first (mlmd.structure.supercell, "
        "--supercell-n-atoms)",
    ),
    "too few atoms are left": (
        [*GOOD[:2], "--structure", "two.cif", "--vacancies", "Li=1", *LJ, "--out", "out"],
        "1 of 1 Li atoms would be taken out",
    ),
    "extension in words, before anything is packed": (
        ["run", "tiny.yaml", "--composition", "Xx2O", "--extend", "melt", *LJ, "--out", "out"],
        "--extend 'melt' is not understood",
    ),
    "dispersion of no functional": (
        [*GOOD, "--calculator-option", "d3=pbee"],
        "d3 has no parameters of the functional 'pbee'",
    ),
    "dispersion on top of a program": (
        [*GOOD[:4], "--calculator", "vasp", "--calculator-option", "d3=pbe", "--out", "out"],
        "'vasp' has dispersion of its own: give the option incar: {IVDW: 12}",
    ),
    "both densities": (
        ["pack", "LiCl", "-o", "a.cif", "--density-g-cm3", "1", "--volume-per-atom-A3", "20"],
        "density",
    ),
    "negative density": (["pack", "LiCl", "-o", "a.cif", "--density-g-cm3", "-1"], "density"),
    "unknown suffix": (["pack", "LiCl", "-o", "a.nothing"], "no suffix that ASE can write"),
    "unknown calculator": (
        [
            "run",
            "tiny.yaml",
            "--structure",
            "good.extxyz",
            "--calculator",
            "chgnett",
            "--out",
            "out",
        ],
        "calculator 'chgnett' is not known; expected one of chgnet, cp2k, emt",
    ),
    "calculator that cannot do the elements": (
        ["run", "tiny.yaml", "--structure", "good.extxyz", "--calculator", "emt", "--out", "out"],
        "No EMT-potential for",
    ),
    "unknown option of the calculator": (
        [*GOOD[:4], "--calculator", "lj", "--calculator-option", "cutof=3", "--out", "out"],
        "options: sigma_A, epsilon_eV, cutoff_A",
    ),
    "negative seed": ([*GOOD, "--seed", "-3"], "seed is -3"),
    "zero checkpoint interval": ([*GOOD, "--checkpoint-every-s", "0"], "--checkpoint-every-s is 0"),
    "no threads": ([*GOOD, "--threads", "0"], "threads is 0"),
    "unknown option": ([*GOOD, "--tempreature", "3"], "--tempreature"),
    "missing option": (["run", "tiny.yaml", "--structure", "good.extxyz"], "--calculator"),
    "status of no run": (["status", "."], "not a run directory"),
    "analysis of no file": (["analyze", "absent.h5md"], "no file absent.h5md"),
    "times not known": (["analyze", "good.extxyz"], "--frame-interval-fs"),
    "zero time between frames": (
        ["analyze", "good.extxyz", "--timestep-fs", "0"],
        "--frame-interval-fs is 0",
    ),
}


@pytest.mark.parametrize(("arguments", "said"), BAD.values(), ids=BAD.keys())
def test_bad_input(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    before = sorted(folder.rglob("*"))
    assert run_command_line(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    assert line.startswith("mlmd: ")
    assert said in line
    assert sorted(folder.rglob("*")) == before


def test_missing_extra_names_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "chgnet" else found(name, *a)
    )
    arguments = ["run", "tiny.yaml", "--structure", "good.extxyz", "--calculator", "chgnet"]
    assert run_command_line([*arguments, "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "pip install 'mlmd[chgnet]'" in line
    assert not (folder / "out").exists()


def test_window_longer_than_the_trajectory(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(GOOD) == 0
    capsys.readouterr()
    assert run_command_line(["analyze", "out", "--estimator", "windowed"]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.strip().splitlines()
    assert "15" in line
    assert "0.2 ps" in line
    assert "--window-ps" in line
    assert captured.out == ""


def test_another_runs_directory(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(GOOD) == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert run_command_line([*GOOD, "--seed", "5"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "out holds another run: seed is 0 there and 5 given" in line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_existing_files_are_not_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(GOOD) == 0
    (folder / "taken.extxyz").write_text("mine")
    for arguments in (
        ["export", "out", "production", "-o", "taken.extxyz"],
        ["pack", "LiCl", "-o", "taken.extxyz"],
    ):
        assert run_command_line(arguments) == 2
        assert "nothing is overwritten" in capsys.readouterr().err
    assert (folder / "taken.extxyz").read_text() == "mine"


def command_of(way: str) -> str:
    """The name of the command, of a way to use one."""
    return max((name for name in functions() if f"{way} ".startswith(f"{name} ")), key=len)


OPTIONS = [
    (way, option, kind)
    for way in WAYS
    for option, kind, _ in parameters(functions()[command_of(way)])
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that good command lines read; nothing may change it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_folder(folder)
    return folder


@pytest.fixture
def inside(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Give a command line that is to be refused; return the line that says why."""
    code = run_command_line(arguments)
    said = capsys.readouterr()
    assert code == 2, (arguments, code, said.err)
    assert said.out == "", arguments
    assert said.err.startswith("mlmd: "), (arguments, said.err)
    assert said.err.count("\n") == 1, (arguments, said.err)
    assert "Traceback" not in said.err
    assert len(said.err) < 1100
    return said.err


def test_every_command_has_a_good_command_line() -> None:
    assert {command_of(way) for way in WAYS} == set(functions())
    assert sum(len(BAD_OF_TYPE.get(kind, ())) for _, _, kind in OPTIONS) > 500


@pytest.mark.parametrize("way", WAYS)
def test_what_nobody_can_mean_is_refused_before_anything_is_done(
    inside: Path, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    """Every option and argument of every command, with bad values of its type."""
    before = contents(inside)
    for option, kind in [(option, kind) for one, option, kind in OPTIONS if one == way]:
        for value in BAD_OF_TYPE.get(kind, ()):
            refused(changed(WAYS[way], option, value, kind), capsys)
    assert contents(inside) == before


PASSED_OVER = {
    "analyze": ["--timestep-fs=4", "--md-step-fs=1", "--elements=Li", "--pieces",
                "--temperature-K=900", "--long-steps=warn"],
    "export": ["--frame-interval-fs=4", "--md-step-fs=1", "--elements=Li", "--long-steps=warn"],
    "rdf": ["--timestep-fs=4", "--elements=Li"],
    "features": ["--timestep-fs=4", "--temperature-K=900"],
    "features --list": ["--mobile=Na", "--every=2", "--last", "--start", "--frame-interval-fs=4",
                        "--temperature-K=900", "--jobs=2", "--convention=zheng2024", "-o=x.csv"],
    "train": ["--features-from=production", "--mobile=Na", "--convention=zheng2024",
              "--save-table=t.csv", "--bootstrap=50", "--study=s.log"],
    "train runs": ["--format=zheng2024", "--bootstrap=50", "--study=s.log"],
    "compare": ["--skip-ps=0", "--equilibrate-ps=1", "--md-timestep-fs=1", "--seed=0",
                "--calculator-option=a=1", "--device=cpu", "--threads=1",
                "--checkpoint-every-s=5", "--surrogate-timestep-fs=4"],
    "compare study": ["--surrogate-timestep-fs=4", "--report=r.html"],
    "run": ["--n-atoms=9", "--density-g-cm3=2", "--volume-per-atom-A3=20", "--dtype=float32",
            "--deterministic", "--timeout-s=9", "--device=cuda"],
}  # fmt: skip
"""Options that would do nothing, with a value, by the way in which the command is used."""
ALONE = {
    "a run knows its times": ["compare", "run", "run", "--timestep-fs=4"],
    "a .h5md says its times": ["analyze", "md.h5md", "--timestep-fs=4"],
    "a .h5md is unwrapped": ["analyze", "md.h5md", "--long-steps=warn"],
    "one frame is no mean": ["features", "run", "--last", "--every=2"],
    "a format of no file": ["run", "tiny.yaml", "--composition=LiCl", "--format=cif", *LJ,
                            "--out=n"],
    "before a command": ["calculators", "--json", "install", "lj"],
    "a window of an estimator without": ["analyze", "run", "--estimator=gls", "--window-ps=1"],
}  # fmt: skip


@pytest.mark.parametrize(("way", "option"), [(w, o) for w, all in PASSED_OVER.items() for o in all])
def test_an_option_that_would_be_passed_over_is_refused_by_its_name(
    inside: Path, capsys: pytest.CaptureFixture[str], way: str, option: str
) -> None:
    line = refused([*WAYS[way], option], capsys)
    name = option.partition("=")[0].lstrip("-")
    said = {"o": "--output", "n-atoms": "--n-atoms", "density-g-cm3": "density",
            "volume-per-atom-A3": "volume", "timeout-s": "timeout_s"}  # fmt: skip
    if way not in ("analyze", "rdf", "compare study") and (way, name) != ("features", name):
        assert said.get(name, name) in line


@pytest.mark.parametrize("name", ALONE)
def test_an_option_without_what_it_is_of_is_refused(
    inside: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = contents(inside)
    refused(ALONE[name], capsys)
    assert contents(inside) == before


def test_settings_that_cannot_be_had_leave_the_page_of_before(
    inside: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2", reason="needs the report extra")
    for options in (["--estimator=x"], ["--window-ps=1000"], ["--fit-ps", "5", "1"], ["--drift=x"]):
        before = contents(inside)
        refused(["report", "run", *options], capsys)
        assert contents(inside) == before


OUTPUTS = ("--output", "--plot", "--csv", "--report", "--save-table", "--study")
SCALARS = [
    "2024-01-01", "12:30:45", "!!python/object/apply:os.system [ls]", "!foo 900", "!!binary aGk=",
    "!!timestamp 2024-01-01", ".nan", "1e400", "-1e400", "[]", "{}", "[[1]]", "{a: 1}", "text",
    '"\\0"', '"\\ud800"', "*nowhere", "{<<: 1}", "!!int x", "-1", "[900", "@", "9" * 400, "0x",
]  # fmt: skip
"""What no number can be, as YAML has it."""


def numbers() -> list[str]:
    """Setting of every field of a number of every stage of a protocol."""
    protocol = Protocol.from_dict(
        {
            "schema": 1,
            "name": "all",
            "stages": [
                {"name": "relax", "class": "Relax"},
                {"name": "melt", "class": "Equilibrate", "temperature_K": 9, "duration_ps": 1},
                {"name": "volume", "class": "EquilibrateVolume", "temperature_K": 9},
                {"name": "cool", "class": "Quench", "temperature_K": 9, "duration_ps": 1},
                {"name": "go", "class": "Production", "temperature_K": 9, "duration_ps": 1},
                {"name": "sample", "class": "SampleInherentStructures"},
            ],
        }
    )
    assert {type(stage) for stage in protocol.stages} == set(STAGES.values())
    return [
        f"{stage.name}.{item.name}"
        for stage in protocol.stages
        for item in dataclasses.fields(stage)
        if str(item.type).startswith(("float", "int"))
    ]


def test_numbers_in_recipes_and_settings_are_numbers(
    inside: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A sample of every field of every stage with everything that is no number."""
    recipe = tmp_path / "all.yaml"
    stages = "\n".join(
        f"  - {{name: {name}, class: {kind}{more}}}"
        for name, kind, more in (
            ("relax", "Relax", ""),
            ("melt", "Equilibrate", ", temperature_K: 9, duration_ps: 1"),
            ("volume", "EquilibrateVolume", ", temperature_K: 9"),
            ("cool", "Quench", ", temperature_K: 9, duration_ps: 1"),
            ("go", "Production", ", temperature_K: 9, duration_ps: 1"),
            ("sample", "SampleInherentStructures", ""),
        )
    )
    recipe.write_text(f"schema: 1\nname: all\nstages:\n{stages}\n")
    before = contents(inside)
    choices = [(name, value) for name in numbers() for value in SCALARS]
    for name, value in random.Random(1).sample(choices, 150):
        arguments = ["run", str(recipe), *WAYS["run"][2:], "--set", f"{name}={value}"]
        refused(arguments, capsys)
    assert contents(inside) == before


RECIPES = {
    "a key twice": RECIPE.replace("name: melt,", "name: melt, name: melt,"),
    "a date as schema": RECIPE.replace("schema: 1", "schema: 2024-01-01"),
    "true as schema": RECIPE.replace("schema: 1", "schema: true"),
    "a list as name": RECIPE.replace("name: tiny", "name: [tiny]"),
    "a tag of Python": RECIPE.replace("name: tiny", "name: !!python/name:os.system"),
    "a tag": RECIPE.replace("name: tiny", "name: !tiny x"),
    "two documents": f"{RECIPE}---\n{RECIPE}",
    "an alias inside itself": RECIPE.replace("stages:", "sources: &a {x: *a}\nstages:"),
    "deep": RECIPE.replace("name: tiny", f"name: {'[' * 5000}"),
    "a bomb": "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9 if i else 'x')}]\n"
                      for i in range(12)),
    "long": RECIPE + "#" * 600_000,
    "a number": "5",
    "nothing": "",
    "no list": RECIPE.replace("  - {", "  a: {").replace("  a: {name: production", "  b: {name: p"),
    "a text as stage": "schema: 1\nname: x\nstages: [melt]\n",
    "a number as class": RECIPE.replace("class: Equilibrate", "class: 5"),
    "a list as class": RECIPE.replace("class: Equilibrate", "class: [Equilibrate]"),
    "no texts as deviations": RECIPE + "deviations: 5\n",
    "no mapping as sources": RECIPE + "sources: 2024-01-01\n",
    "a start that is no text": RECIPE.replace("name: production,", "name: p, starts_from: 5,"),
    "a name of a folder above": RECIPE.replace("name: melt,", "name: ../melt,"),
    "a name longer than files have": RECIPE.replace("name: melt,", f"name: {'m' * 300},"),
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_that_are_none(
    inside: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    before = contents(inside)
    (tmp_path / "bad.yaml").write_text(RECIPES[name])
    refused(["run", str(tmp_path / "bad.yaml"), *WAYS["run"][2:]], capsys)
    (tmp_path / "calculators.yaml").write_text(RECIPES[name])
    refused([*GOOD[:4], "--calculator", str(tmp_path / "calculators.yaml"), "--out=n"], capsys)
    assert contents(inside) == before


def test_files_that_are_not_text(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["run", "latin.yaml", *WAYS["run"][2:]],
        ["run", "noise", *WAYS["run"][2:]],
        [*GOOD[:2], "--structure=latin.yaml", *LJ, "--out=n"],
        ["train", "noise", "--model=ridge"],
        ["predict", "noise", "good.extxyz"],
        ["analyze", "noise", "--timestep-fs=1"],
    ):
        line = refused(arguments, capsys)
        assert "UTF-8" in line or arguments[0] != "run" or arguments[1] == "tiny.yaml"


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("compare")])
def test_odd_values_are_taken_or_refused(
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    way: str,
) -> None:
    """No foreign exception, and what is refused has changed nothing."""
    shutil.copytree(made, tmp_path / "copy", symlinks=True, ignore=shutil.ignore_patterns("fifo"))
    monkeypatch.chdir(tmp_path / "copy")
    before = contents(Path())
    apart = ("--jobs", *OUTPUTS)  # processes take long; where outputs may go is tested elsewhere
    for option, kind in [(o, kind) for one, o, kind in OPTIONS if one == way and o not in apart]:
        for value in ODD_OF_TYPE.get(kind, ()):
            arguments = changed(WAYS[way], option, value, kind)
            code = run_command_line(arguments)
            said = capsys.readouterr()
            assert "shows where" not in said.err, arguments
            now = contents(Path())
            if code == 2:
                assert said.err.count("mlmd: ") == 1, arguments
                assert now == before, arguments
            before = now


@pytest.mark.parametrize("words", [["--n-atoms", "1e1"], ["--n-atoms=1_0"], ["--n-atoms", "10"]])
def test_whole_numbers_are_read_as_people_write_them(words: list[str], tmp_path: Path) -> None:
    from ase.io import read

    file = tmp_path / "p.xyz"
    assert run_command_line(["pack", "LiCl", *words, "--seed=0e0", "-o", str(file)]) == 0
    assert len(read(file)) == 10
