"""What a program said last, and of that the lines that say why it ended.

They rarely stand at the end: backtraces, MPI's own words and hints come behind or between them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

LAST_BYTES = 2**14
LONGEST_LINE = 200
COUNT = 3
"""Lines of each file that are told."""

FRAME = " \t|*%#=-<>"
"""What boxes are drawn with."""

# Of no use to anybody without the source, or said whatever the reason is.
_NOISE = re.compile(
    r"""
    \#\d+\s                                     # a frame of gfortran's backtrace
    | at\ \S+:\d+$ | .*\bUnknown\s+Unknown\b | Image\s+PC\s+Routine
    | File\ ".*",\ line\ \d+ | Traceback\ \(most
    | (Error\ termination|Program\ aborted)?\.?\ ?Backtrace
    | Program\ received\ signal
    | .*MPI_ABORT\ was\ invoked | .*invoking\ MPI_ABORT | .*application\ called\ MPI_Abort
    | with\ errorcode\ | You\ may\ or\ may\ not\ see | exactly\ when\ Open\ MPI
    | .*mpi(run|exec)\ (noticed|detected) | Primary\ job\b | a\ non-zero\ exit\ code
    | Process\ name: | Exit\ code: | BAD\ TERMINATION | (PID|EXIT\ CODE|CLEANING\ UP)\b
    | YOUR\ APPLICATION\ TERMINATED | srun:\ error:.*\bExited\ with
    | Note:\ The\ following\ floating-point | IEEE_\w+(\ IEEE_\w+)*$
    | Gamma-point\ calculation\ with | Some\ features\ might\ not | e\.g\.\ DM\ initialization
    | redata: | timer:
    | (?:(?P<big>[A-Z\#!])(?P=big)*(\s+|$)){2,}$   # big letters
    """,
    re.VERBOSE,
)
_TELLING = re.compile(
    r"(?i)error|fatal|severe|abort|stop|fail|cannot|can't|could not|not found|no such|unable"
    r"|invalid|unknown|missing|wrong|unexpected|end of file|out of memory|oom|not enough"
    r"|not converge|too (small|large|close|few|many)|refuse|denied|no space|^at line \d+ of file"
)
# SIESTA's way to end: the reason is in the line before.
_END = re.compile(r"Stopping Program from Node")


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a text file that are more than noise; none where it is not there."""
    return [line for line in _lines(path) if not _END.match(line)][-COUNT:]


def reasons(path: Path) -> list[str]:
    """Return the last lines of a text file that say why a program ended."""
    lines = _lines(path)
    found: list[str] = []
    for number, line in enumerate(lines):
        before_end = number + 1 < len(lines) and _END.match(lines[number + 1]) is not None
        # What an error is often stands in the line below.
        below = number > 0 and _TELLING.search(lines[number - 1]) and lines[number - 1][-1] == ":"
        if (before_end or below or _TELLING.search(line)) and not _END.match(line):
            found.append(line)
    return found[-COUNT:]


def last_words(paths: Sequence[Path], *, ended: bool) -> str:
    """Return what files hold of the reason as one line, and which of them are there.

    Parameters
    ----------
    paths
        Output and error.
    ended
        It ended by itself, and said why; otherwise it was at work.
    """
    found = [line for path in paths for line in reasons(path)] if ended else []
    found = found or [line for path in paths for line in last_lines(path)]
    said = f"its last lines: {' | '.join(dict.fromkeys(found))}" if found else "it printed nothing"
    there = [str(path) for path in paths if path.is_file() and path.stat().st_size]
    return f"{said} (in {' and '.join(there)})" if there else said


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_BYTES))
        text = file.read().decode("utf-8", errors="replace")
    lines = [" ".join(line.split())[:LONGEST_LINE] for line in text.splitlines()]
    kept = [line.strip(FRAME) for line in lines if not _NOISE.match(line.strip(" |*=<>-"))]
    return [line for line in kept if line]
