"""Every trajectory in a folder, read by our readers and by ASE: frames, cells, places, results.

Prints a table "mlmd | ASE | agree" with the reason where one refuses, and where they differ; and
whether the file makes a trajectory ("joined"), which asks for times and for steps short enough to
unwrap. Positions are compared in the cell, results where both have them; where mlmd has more
frames, those of ASE have to be among them (it passes over the steps of VASP's force fields). Each
file is read in a process of its own, with limits of time and memory: a crash costs its row. Files
that neither reads are counted only. Exits 1 if the two differ anywhere, or if ours fails in another
way than by refusing.

What is no difference: LAMMPS types without elements, which ASE takes for hydrogen, helium, ...; a
CP2K or SIESTA file whose cell is in another file, which ASE reads without one.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import resource
import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.data import chemical_symbols
from ase.io.formats import filetype
from ase.stress import full_3x3_to_voigt_6_stress

from mlmd import Trajectory
from mlmd.errors import MlmdError, TimeUnknownError
from mlmd.trajectory.frame_block import FrameBlock
from mlmd.trajectory.reading import OF_ASE, Format, format_of
from mlmd.trajectory.text.source import TextSource

# What ASE calls our formats; where it has none, it is left to guess.
NAMES = {
    "VASP XDATCAR": "vasp-xdatcar",
    "VASP vasprun.xml": "vasp-xml",
    "VASP OUTCAR": "vasp-out",
    "CP2K trajectory": "xyz",
    "Quantum ESPRESSO output": "espresso-out",
    "LAMMPS dump": "lammps-dump-text",
    "SIESTA .ANI": "xyz",
}
# ASE's test data come with it.
DEFAULT = Path(ase.__file__).parent / "test" / "testdata"
# Of what is printed with fewest digits: five decimals of positions, eight of energies, and a
# pressure's work that ASE takes off with an electronvolt of 1986.
TOLERANCES = {"cell": 1e-6, "positions": 2e-5, "energies": 1e-4, "forces": 1e-5, "stresses": 1e-6}
LONGEST_REASON = 100
MOST_TYPES = 20


@dataclass
class Row:
    """One line of the table; a whole number of frames, or the reason why there are none."""

    mlmd: str
    ase: str
    agree: str
    joined: str = ""
    is_foreign: bool = False


def blocks_of(path: Path, format: Format) -> list[FrameBlock]:
    """Return the frames as our reader gives them; types without elements are numbered."""
    for n in range(len(chemical_symbols)):
        try:
            with TextSource(path, chemical_symbols[1 : n + 1] or None) as source:
                return list(format.load()(source))
        except MlmdError as error:
            if "--elements" not in str(error) and "type" not in str(error):
                raise
            if n == MOST_TYPES:
                raise
    raise AssertionError


def reason(error: BaseException, path: Path) -> str:
    """Return an error in a few words."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).replace(str(path), path.name)
    return text if len(text) <= LONGEST_REASON else text[:LONGEST_REASON] + "..."


def result_of(image: Atoms, name: str) -> Any:
    """Return a result that ASE read, or None."""
    results = {"energies": "energy", "forces": "forces", "stresses": "stress"}
    if image.calc is None:
        return None
    try:
        result = image.calc.get_property(results[name], image, allow_calculation=False)
    except (PropertyNotImplementedError, NotImplementedError):
        return None
    matrix = name == "stresses" and np.shape(result) == (3, 3)
    return full_3x3_to_voigt_6_stress(result) if matrix else result


def away(block: FrameBlock, i: int, image: Atoms) -> tuple[dict[str, float], set[str]]:
    """Return how far a frame is from ASE's in what both have, and what one of them lacks."""
    cell = block.cell_A[i]
    apart = {"positions": block.positions_A[i] - image.positions}
    if image.cell.rank == 3:
        apart["cell"] = cell - image.cell.array
        moved = apart["positions"] @ np.linalg.inv(cell)
        apart["positions"] = (moved - np.rint(moved)) @ cell
    results = {
        "energies": block.energies_eV,
        "forces": block.forces_eV_A,
        "stresses": block.stresses_eV_A3,
    }
    lacking = set()
    for name, ours in results.items():
        theirs = result_of(image, name)
        if ours is not None and theirs is not None:
            apart[name] = np.asarray(ours[i] - theirs)
        elif ours is not None or theirs is not None:
            lacking.add(f"{name} only by {'mlmd' if theirs is None else 'ASE'}")
    return {name: float(np.abs(one).max(initial=0.0)) for name, one in apart.items()}, lacking


def same_kinds(block: FrameBlock, image: Atoms, by_types: bool) -> bool:
    """Whether both have the same elements, or as many types where the file says no more."""
    pairs = set(zip(block.numbers.tolist(), image.numbers.tolist(), strict=True))
    if by_types:
        return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    return all(a == b for a, b in pairs)


def verdict(blocks: list[FrameBlock], images: list[Atoms], by_types: bool) -> str:
    """Return whether the two agree, and where they do not."""
    frames = [(block, i) for block in blocks for i in range(len(block))]
    worst: dict[str, float] = {}
    lacking: set[str] = set()
    left = iter(frames)
    for n, image in enumerate(images):
        for block, i in left:
            if len(block.numbers) != len(image) or not same_kinds(block, image, by_types):
                return "NO: elements"
            apart, lacks = away(block, i, image)
            if len(frames) <= len(images) or apart["positions"] < TOLERANCES["positions"]:
                break
        else:
            return f"NO: frames {len(frames)}, {len(images)}; ASE's frame {n} is not among ours"
        lacking |= lacks
        for name, one in apart.items():
            worst[name] = max(worst.get(name, 0.0), one)
    differ = [f"{name} {one:.1e}" for name, one in worst.items() if not one < TOLERANCES[name]]
    if differ:
        return f"NO: {', '.join(differ)}"
    notes = sorted(lacking)
    if len(frames) > len(images):
        notes.insert(0, f"{len(frames) - len(images)} more by mlmd")
    return f"yes: {', '.join(notes)}" if notes else "yes"


def joined(path: Path) -> str:
    """Return what reading the file as a trajectory gives, in a word or the reason."""
    try:
        try:
            return f"{len(Trajectory.read(path))} frames"
        except TimeUnknownError:
            return f"{len(Trajectory.read(path, 1.0))} frames, time to be given"
    except MlmdError as error:
        return reason(error, path)


def compare(path: Path) -> Row:
    """Read one file by both."""
    if path.suffix == ".h5md":
        return Row(joined(path), "does not know it", "only mlmd", joined(path))
    with TextSource(path) as source:
        found = format_of(source) or OF_ASE
    if found is OF_ASE:
        try:
            filetype(str(path))
        except Exception as error:  # what ASE does not know, it cannot read for us either
            return Row("as ASE", reason(error, path), "")
    blocks: list[FrameBlock] = []
    images: list[Atoms] = []
    is_foreign = False
    try:
        blocks = blocks_of(path, found)
        ours = f"{sum(map(len, blocks))} frames"
    except MlmdError as error:
        ours = reason(error, path)
    except Exception as error:
        ours, is_foreign = reason(error, path), True
    try:
        read = ase.io.read(path, ":", format=NAMES.get(found.name))
        images = read if isinstance(read, list) else [read]
        theirs = f"{len(images)} frames"
    except Exception as error:
        theirs = reason(error, path)
    if not blocks or not images:
        agree = "only mlmd" if blocks else "only ASE" if images else ""
    else:
        try:
            agree = verdict(blocks, images, by_types=found.name == "LAMMPS dump")
        except Exception as error:
            agree = f"NO: {reason(error, path)}"
    return Row(ours, theirs, agree, joined(path) if blocks else "", is_foreign)


def child(path: Path, memory_GB: float, connection: Connection) -> None:
    """Compare one file where a crash does no harm."""
    most = int(memory_GB * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    connection.send(compare(path))


def in_isolation(path: Path, memory_GB: float, timeout_s: float) -> Row:
    """Compare one file in a process of its own."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(
        target=child, args=(path, memory_GB, there)
    )
    process.start()
    there.close()
    try:
        if here.poll(timeout_s):
            return here.recv()
        why = f"no end after {timeout_s:g} s"
    except EOFError:
        process.join()
        why = f"the process ended with {process.exitcode}"
    finally:
        if process.is_alive():
            process.join(1.0)
            process.kill()
        process.join()
    return Row(why, why, "NO: crashed", is_foreign=True)


def files_under(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.stat().st_size
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT)
    parser.add_argument("--timeout-s", type=float, default=120.0)
    parser.add_argument("--memory-GB", type=float, default=8.0)
    parser.add_argument("--all", action="store_true", help="also rows of files that neither reads")
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    print("| file | mlmd | ASE | agree | joined |\n|---|---|---|---|---|", flush=True)
    for path in files_under(given.folder):
        row = in_isolation(path, given.memory_GB, given.timeout_s)
        verdict = row.agree.partition(":")[0] or "neither"
        counts[verdict] += 1
        counts["foreign errors of mlmd"] += row.is_foreign
        if verdict != "neither" or row.is_foreign or given.all:
            cells = (path.relative_to(given.folder), row.mlmd, row.ase, row.agree, row.joined)
            text = " | ".join(str(cell).replace("|", "/") for cell in cells)
            print(f"| {text} |", flush=True)
    print(json.dumps({"benchmark": "readers_against_ase", **counts}))
    return int(counts["NO"] > 0 or counts["foreign errors of mlmd"] > 0)


if __name__ == "__main__":
    sys.exit(main())
