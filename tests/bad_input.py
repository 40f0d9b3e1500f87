"""A folder with a run, trajectories, tables and a model, and bad values for what may be given."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write
from typer.models import OptionInfo

from mlmd.cli.app import app, run_command_line

RECIPE = """\
schema: 1
name: tiny
stages:
  - {name: melt, class: Equilibrate, temperature_K: 900, duration_ps: 0.02, record_every_fs: 4}
  - {name: production, class: Production, temperature_K: 900, duration_ps: 0.2, record_every_fs: 4}
"""
CAMPAIGN = """\
{compositions: [LiCl], n_atoms: 16, volume_per_atom_A3: 60, protocol: tiny.yaml, workers: 1,
 calculators: {name: lj, options: {cutoff_A: 4.5}}}
"""
LJ = ["--calculator", "lj", "--calculator-option", "cutoff_A=4.5"]
RUN = ["run", "tiny.yaml", "--structure", "good.extxyz", *LJ, "--out"]
STUDY = ["compare", "--reference", "md.h5md", "--temperature-K", "900", *LJ, "--out", "study"]

GOOD: dict[str, list[str]] = {
    "pack": ["pack", "LiCl", "-o", "packed.extxyz", "--n-atoms", "16"],
    "run": [*RUN, "new"],
    "run --dry-run": [*RUN, "run", "--dry-run"],
    "status": ["status", "run"],
    "export": ["export", "run", "production", "-o", "out.extxyz"],
    "analyze": ["analyze", "run"],
    "analyze file": ["analyze", "md.extxyz", "--timestep-fs", "4"],
    "rdf": ["rdf", "run"],
    "rdf file": ["rdf", "md.extxyz"],
    "features": ["features", "run"],
    "features file": ["features", "good.extxyz"],
    "features --list": ["features", "--list"],
    "train": ["train", "table.csv", "--model", "ridge", "--folds", "random", "--beside", "none"],
    "train runs": ["train", "run", "--model", "ridge", "--folds", "random", "--beside", "none"],
    "predict": ["predict", "model.mlmd", "good.extxyz", "-T", "900"],
    "compare": ["compare", "run", "md.h5md", "--temperature-K", "900"],
    "compare study": STUDY,
    "report": ["report", "run"],
    "protocols": ["protocols"],
    "calculators": ["calculators"],
    "calculators install": ["calculators", "install", "lj"],
    "calculators bench": [
        *("calculators", "bench", "lj", "--composition", "LiCl", "--n-atoms", "32"),
        *("--volume-per-atom-A3", "60", "--walkers", "1", "--steps", "2"),
    ],
    "screen": [
        *("screen", "salt.extxyz", "--calculator", "lj", "--calculator-option", "cutoff_A=2.5"),
        *("--cell", "given", "--no-relax", "--orderings", "1", "--control", "1"),
    ],
    **{f"campaign {name}": ["campaign", name, "c.yaml"] for name in ("run", "retry", "status")},
    "campaign export": ["campaign", "export", "c.yaml", "-o", "results.csv"],
    "campaign export database": ["campaign", "export", "c.yaml", "-o", "results.db"],
    "campaign report": ["campaign", "report", "c.yaml"],
}
"""A command line of every command and of every way to use it, from which bad ones are made."""


def make_folder(folder: Path) -> None:
    """Fill a folder with what good command lines read; it is to be the working directory."""
    (folder / "tiny.yaml").write_text(RECIPE)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Li13Cl14", positions=3.2 * grid, cell=[9.6] * 3, pbc=True)
    write(folder / "good.extxyz", atoms)
    write(folder / "salt.extxyz", bulk("LiCl", "rocksalt", a=5.13, cubic=True))
    assert run_command_line([*RUN, "run"]) == 0
    (folder / "c.yaml").write_text(CAMPAIGN)
    assert run_command_line(["campaign", "run", "c.yaml"]) == 0
    for name in ("md.extxyz", "md.h5md"):
        assert run_command_line(["export", "run", "production", "-o", name]) == 0
    _training_table(folder / "table.csv")
    made = ["train", "table.csv", "--model", "ridge", "--folds", "random", "--beside", "none"]
    assert run_command_line([*made, "--bootstrap", "20", "-o", "model.mlmd"]) == 0
    (folder / "latin.yaml").write_bytes(RECIPE.replace("tiny", "\xe9t\xe9").encode("latin-1"))
    (folder / "noise").write_bytes(bytes(range(256)) * 4)
    (folder / "empty").write_bytes(b"")
    (folder / "folder").mkdir()
    (folder / "folder" / "thesis.tex").write_text("precious")
    (folder / "round").symlink_to("round")
    os.mkfifo(folder / "fifo")


def _training_table(path: Path) -> None:
    from mlmd.descriptors import featurize
    from mlmd.model import TrainingTable

    rng = np.random.default_rng(0)
    structures, at_K = [], []
    for n, symbol in enumerate(("F", "Cl", "Br", "I", "O", "S")):
        grid = 3.4 * np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
        for i in range(5):
            moved = grid + rng.normal(0, 0.1, grid.shape)
            structures.append(Atoms(f"Li13{symbol}14", moved, cell=[10.2] * 3, pbc=True))
            at_K.append(600.0 + 100.0 * i + n)
    X = featurize(structures, temperature_K=at_K).values.reset_index(drop=True)
    D = 1e-4 * np.exp(-2000.0 / np.asarray(at_K))
    formulas = [str(one.symbols) for one in structures]
    TrainingTable(X, formulas, np.asarray(at_K), D, "mlmd").to_csv(path)


def contents(folder: Path) -> dict[str, Any]:
    """What is in a folder, to the byte."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = hashlib.blake2b(path.read_bytes()).hexdigest()
        else:
            found[name] = None
    return found


def functions() -> dict[str, Any]:
    """The functions of the commands by name, those of groups too."""
    found = {}
    for command in app.registered_commands:
        found[str(command.name)] = command.callback
    for group in app.registered_groups:
        if group.typer_instance.registered_callback is not None:
            found[str(group.name)] = group.typer_instance.registered_callback.callback
        for command in group.typer_instance.registered_commands:
            found[f"{group.name} {command.name}"] = command.callback
    return found


def parameters(function: Any) -> Iterator[tuple[str, type, bool]]:
    """Option (or an empty text for an argument), type of a value, and whether it has several."""
    for name, hint in get_type_hints(function, include_extras=True).items():
        if not hasattr(hint, "__metadata__"):
            continue
        kinds = [one for one in _leaves(hint.__origin__) if one is not type(None)]
        several = "list" in str(hint.__origin__)
        declared = hint.__metadata__[0].param_decls or ()
        option = next((one for one in declared if one.startswith("--")), "")
        if not option and isinstance(hint.__metadata__[0], OptionInfo):
            option = f"--{name.replace('_', '-')}"
        yield option, kinds[0], several


def _leaves(hint: Any) -> Iterator[Any]:
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        yield str
    elif not inner:
        yield hint
    for one in inner:
        if get_origin(hint) is not Literal:
            yield from _leaves(one)


LONG = "x" * 300
BAD_OF_TYPE: Mapping[type, list[str]] = {
    float: ["nan", "inf", "-inf", "1e400", "-1e400", "", "x", "0x1p3", "1,5", "-1", "\udcff", "1e"],
    int: ["1.5", "", "x", "-1", "nan", "1e400", str(2**63), str(2**64), "9" * 40, "\udcff", "--"],
    str: ["", " ", "\udcff", "a\0b"],
    Path: ["", "\udcff", "a\0b", LONG, "round", "round/x", f"folder/{LONG}"],
}
"""Values that nobody can mean, by the type of an option."""
ODD_OF_TYPE: Mapping[type, list[str]] = {
    float: ["0", "1e-300", "1e300", "-0.0", "1_000", ".5"],
    int: ["0", "1", "3"],
    str: ["x", "a\nb", "é", LONG, "a=b", "=", "a=", "a=[", "a=1e400", "Li=nan", "none", "x:y", "{}",
          "folder", "noise", "-", "1e3", "Li-O", "melt.temperature_K=2024-01-01", "../x",
          "%s", "{x}"],
    Path: ["noise", "empty", "folder", "fifo", "good.extxyz/x", "nowhere", "a\nb", "/dev/null",
           "nowhere/x.csv", "latin.yaml", "run", ".", "run/run.json", "-", "é", "a" * 250 + ".csv"],
}  # fmt: skip
"""Values that some options take and others refuse."""


def changed(command: list[str], option: str, value: str, kind: type) -> list[str]:
    """A command line with another value of an option, or another first argument."""
    if option:
        if kind is bool:
            return [*command, option]
        return [*command, f"{option}={value}"]
    n = 2 if command[0] in ("calculators", "campaign") and len(command) > 1 else 1
    return [*command[:n], *(["--"] if value.startswith("-") else []), value, *command[n + 1 :]]
