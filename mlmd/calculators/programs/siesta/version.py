"""Which SIESTA a command is: what it prints first, and what 4.1 and 5 do differently.

4.1 reads its input from standard input and pseudopotentials of the kind ``.psf``; 5 reads a file
that is named on the command line, and ``.psml`` too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlmd.calculators.programs.process import Program, end_program
from mlmd.checks import is_number
from mlmd.errors import InputError
from mlmd.temporary import TemporaryFolder

# A whole line: half of one is a version too.
LINE = re.compile(r"^ *(?:Siesta +)?Version *: *(\S.*?)\s*?\n", re.MULTILINE | re.IGNORECASE)
LIMIT_S, POLL_S = 120.0, 0.02
"""To start and say its version; on a busy machine mpirun takes its time."""


def checked_version(name: str, value: Any) -> int:
    """Return 4 or 5 of a version as the user has it: 4, 4.1, ``"4.1.5"``, 5, ``"5.4.0"``."""
    has_form = is_number(value) or (isinstance(value, str) and "." in value)
    text = str(value) if has_form else ""
    if re.fullmatch(r"4|4\.1(\.\d+)*|5(\.\d+)*", text) is None:
        raise InputError(f"{name} of SIESTA is {value!r}; expected 4 or 5 (4.1, '5.4.0', ...)")
    return int(text[0])


def major_of(said: str) -> int | None:
    """Return 4 or 5 of a version as SIESTA says it, ``master-post-4.1-268``; None if unclear."""
    if "max" in said.lower():  # numbers of their own
        return None
    found = re.search(r"(\d+)\.(\d+)", said)
    return None if found is None or found[1] not in ("4", "5") else int(found[1])


def ask(program: Program) -> str | None:
    """Have a program start with nothing to do; return the version that it says, if it does.

    One that does not know the argument prints its version and finds no input; one that then
    waits for something is ended.
    """
    with TemporaryFolder("siesta") as folder:
        short = replace(program, folder=folder)
        process = short.start(["-version"])
        until = time.monotonic() + LIMIT_S
        try:
            said, ended = None, False
            while said is None and not ended and time.monotonic() < until:
                ended = process.poll() is not None
                said = said_in(short.out.read_text(errors="replace"))
                time.sleep(POLL_S)
        finally:
            end_program(process)
    return said


def said_in(output: str) -> str | None:
    """Return the version that an output begins with."""
    found = LINE.search(output)
    return None if found is None else found[1]


def settle(given: int | None, said: str | None, command: Sequence[str]) -> int:
    """Return 4 or 5: what was given and what the program says have to agree.

    Raises
    ------
    InputError
        If they do not, or there is neither.
    """
    found = None if said is None else major_of(said)
    if found is None and given is None:
        says = "does not say its version" if said is None else f"says that it is '{said}'"
        raise InputError(
            f"SIESTA ({' '.join(command)}) {says}; give the option version, 4.1 or 5, or see "
            "whether the program runs on this machine"
        )
    if given is not None and found is not None and given != found:
        raise InputError(
            f"version is {given} but SIESTA ({' '.join(command)}) says that it is '{said}'; leave "
            "version out or give another command"
        )
    return given if found is None else found  # type: ignore[return-value]  # one of them is there
