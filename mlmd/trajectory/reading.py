"""One door to every format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlmd.checks import input_file, is_whole, usable_path, whole_number
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.trajectory.joining.clock import GivenTimes, refuse_other_times
from mlmd.trajectory.joining.join import join
from mlmd.trajectory.joining.unwrapping import LongSteps
from mlmd.trajectory.text.source import TextSource
from mlmd.trajectory.text.species_labels import (
    check_given,
    check_species,
    given_elements,
    isotopes_of,
)

if TYPE_CHECKING:
    from mlmd.trajectory.frame_block import FrameBlock

    Reader = Callable[[TextSource], Iterator[FrameBlock]]


@dataclass(frozen=True)
class Format:
    """How a program's output is known, and what reads it.

    Attributes
    ----------
    name : str
        For messages.
    files : tuple of str
        Patterns of the file's name in lower case, without the suffix of a compression.
    content : str
        Regular expression that matches at the beginning of the text of this format, and of no
        other; empty where only the name tells.
    reader : str
        ``module:function`` of ``mlmd.trajectory``: takes a `TextSource`, gives `FrameBlock`.
    """

    name: str
    files: tuple[str, ...]
    content: str
    reader: str

    def load(self) -> Reader:
        """Import the reader."""
        module, _, function = self.reader.partition(":")
        return cast("Reader", getattr(import_module(f"mlmd.trajectory.{module}"), function))


FORMATS = (
    Format(
        "VASP XDATCAR",
        ("*xdatcar*",),
        r"(?:[^\n]*\n){6,7} *Direct configuration=|(?:[^\n]*\n){3} *CAR *\n",
        "vasp.xdatcar:read_xdatcar",
    ),
    Format(
        "VASP vasprun.xml",
        ("*vasprun*.xml*",),
        r"(?:<\?xml[^>]*>)?\s*<modeling>",
        "vasp.vasprun:read_vasprun",
    ),
    Format("VASP OUTCAR", ("*outcar*",), r"\s*vasp\.\d", "vasp.outcar:read_outcar"),
    Format(
        "CP2K trajectory",
        ("*-pos-*.xyz",),
        r"\s*\d+\s*\n *i = *\d+",
        "cp2k.xyz:read_cp2k_xyz",
    ),
    Format(
        "Quantum ESPRESSO output",
        ("*.pwo",),
        r"(?:[^\n]*\n){0,50}? *Program PWSCF",
        "espresso.output:read_espresso_output",
    ),
    Format(
        "LAMMPS dump",
        ("*.lammpstrj", "*.dump", "dump.*"),
        "ITEM: ",
        "lammps.dump:read_lammps_dump",
    ),
    Format("SIESTA .ANI", ("*.ani",), "", "siesta.trajectories:read_ani"),
    Format("SIESTA .MD", ("*.md",), "", "siesta.trajectories:read_md"),
)
OF_ASE = Format("a format that ASE reads", (), "", "ase_formats:read_ase")
"""All others."""


def read_trajectory(
    path: str | Path | Sequence[str | Path],
    given: GivenTimes,
    frames: slice,
    long_steps: LongSteps = "refuse",
    pieces: bool = False,
    elements: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return what a trajectory, or each of its pieces, is made of.

    See :meth:`mlmd.Trajectory.read` and :meth:`mlmd.Trajectory.read_pieces`.
    """
    symbols = given_elements(elements)
    several = list(path) if isinstance(path, list | tuple) else [path]
    paths = [usable_path("file", one) for one in several]
    if not paths:
        raise InputError("no file given; expected a trajectory, or several of one run")
    for one in paths:
        input_file(one, "a trajectory (.h5md, .traj, .extxyz, XDATCAR, ...)")
    check_frames(frames)
    if any(one.suffix == ".h5md" for one in paths):
        from mlmd.trajectory.h5md.reader import read_h5md

        if len(paths) > 1:
            raise InputError(
                f"{len(paths)} files given with a .h5md among them; expected it alone: a run of "
                "mlmd goes on in the same file"
            )
        arrays = read_h5md(paths[0], frames)
        check_given(str(paths[0]), arrays["numbers"], symbols)
        if long_steps != "accept":
            refuse_other_times(str(paths[0]), given, arrays["time_fs"], frames.step or 1)
        return [{**arrays, "findings": _isotopes(str(paths[0]), arrays)}]
    source = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    findings: list[Finding] = []

    def opened() -> Iterator[tuple[str, Iterator[FrameBlock]]]:
        findings.clear()
        return ((str(one), _blocks(one, symbols, findings)) for one in paths)

    made = join(opened, source, given, frames, long_steps, pieces)
    made[0]["findings"] = (*findings, *made[0]["findings"])
    return made


def _isotopes(name: str, arrays: dict[str, Any]) -> tuple[Finding, ...]:
    """Tell the isotopes of a file of ours; two of an element are no reason to keep it locked."""
    try:
        notes = isotopes_of(name, arrays["numbers"], arrays["masses_u"])
    except InputError as error:
        return (Finding("isotopes_mixed", "doubt", str(error)),)
    return tuple(Finding("isotope", "note", f"{name}: {note}") for note in notes)


def check_frames(frames: slice) -> None:
    """Raise InputError unless ``start:stop:every`` are whole numbers, as far as they are given."""
    for name, number in (("start", frames.start), ("stop", frames.stop), ("every", frames.step)):
        if number is not None and not is_whole(number):
            raise InputError(f"{name} is {number!r}; expected a whole number")
    if frames.step is not None:
        whole_number("every", frames.step)


def format_of(source: TextSource) -> Format | None:
    """Return the format of a text: what its content shows, else what its name says."""
    head, name = source.head, source.name.lower()
    by_content = (one for one in FORMATS if one.content and re.match(one.content, head))
    by_name = (one for one in FORMATS if any(fnmatchcase(name, file) for file in one.files))
    return next(chain(by_content, by_name), None)


def _blocks(
    path: Path, elements: Sequence[str] | None, findings: list[Finding]
) -> Iterator[FrameBlock]:
    """Give the frames of one file."""
    with TextSource(path, elements, findings) as source:
        for n, block in enumerate(_checked(source, format_of(source) or OF_ASE)):
            if n == 0:
                check_species(source, block.numbers, block.masses_u)
            yield block


def _checked(source: TextSource, format: Format) -> Iterator[FrameBlock]:
    """Give the frames that a reader gives; say what is missing where it ends too early."""
    n = 0
    try:
        for block in format.load()(source):
            n += len(block)
            yield block
    except InputError as error:
        if source.damage is None or n:
            raise
        raise InputError(f"{source.path}: {source.damage}, before its first whole frame") from error
    if n == 0:
        reason = source.damage or source.dropped
        why = f": {reason}" if reason else ""
        raise InputError(
            f"{source.path} holds no whole frame{why}; expected those of {format.name}"
        )
    if source.damage is not None:
        source.note("cut_short", f"{source.damage}; the {n} frames before that are read")
