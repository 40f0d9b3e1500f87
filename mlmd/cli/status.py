"""``mlmd status``: the stages of a run, what they found, and what comes next."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlmd.cli.options import AsJson
from mlmd.cli.progress import clock
from mlmd.digits import TERMINAL, with_error
from mlmd.errors import DamagedDataError, RunDirectoryError
from mlmd.findings import of_flags
from mlmd.plain import json_line, to_plain

if TYPE_CHECKING:
    from rich.text import Text

    from mlmd.run.overview import StageView
    from mlmd.run.run import Run

RunDirectories = Annotated[
    list[Path], typer.Argument(metavar="DIR...", help="A run directory, or several.")
]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every file and hold it against its checksum.")
]
COLOURS = {
    "done": "green",
    "running": "cyan",
    "stopped": "yellow",
    "failed": "bold red",
    "blocked": "red",
    "pending": "dim",
    "stale": "yellow",
    "damaged": "bold red",
}
ASCII = str.maketrans("├└│", "|`|")
BELOW = str.maketrans("├└`", "│  ")
"""What of the tree goes on below a stage's own line."""
HEADS = ("stage", "status", "T/K", "A3/atom", "P/GPa", "ps", "wall")


def status_command(
    directories: RunDirectories, verify: Verify = False, as_json: AsJson = False
) -> None:
    """Show the stages of a run, what they found, and what comes next; of several, a line each.

    T, volume per atom and P are averages; ps is the simulated time, so far and in all. Exit code 1
    where --verify finds damage.
    """
    from mlmd.run.overview import overview
    from mlmd.run.run import Run

    if len(directories) > 1:
        damaged = _show_many(directories, verify, as_json)
    else:
        run = Run.open(directories[0])
        found = run.verify() if verify else {}
        damaged = bool(found)
        views = overview(run)
        if as_json:
            print(json_line(_json(run, views) | ({"damage": found} if verify else {})))
        else:
            show(run, views)
            if verify:
                print(*_verified(found), sep="\n")
    if damaged:
        raise typer.Exit(1)


def _verified(found: dict[str, list[str]]) -> list[str]:
    """Return what a verification found, a line for each file."""
    lines = [line for lines in found.values() for line in lines]
    if not lines:
        return ["verified: every file is what was written"]
    return [
        f"verified: {len(lines)} file{'s are' if len(lines) > 1 else ' is'} damaged; the same "
        "mlmd run command sets them aside and does those stages again",
        *(f"  {line}" for line in lines),
    ]


def _show_many(directories: list[Path], verify: bool, as_json: bool) -> bool:
    """Show a line for each of several directories; tell whether one of them is damaged."""
    rows, contents = [], []
    for directory in directories:
        status, n_done, n_stages, note, found = _summary(directory, verify)
        rows.append((str(directory), status, f"{n_done}/{n_stages}", note))
        contents.append(
            {
                "directory": str(directory),
                "status": status,
                "n_stages_done": n_done,
                "n_stages": n_stages,
                "note": note or None,
                **({"damage": found} if verify else {}),
            }
        )
    if as_json:
        print(json_line({"runs": contents}))
    else:
        _print_table(rows)
    return any(row[1] == "damaged" for row in rows)


def _print_table(rows: list[tuple[str, str, str, str]]) -> None:
    """Print a line for each run and how many are in which state."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False) if sys.stdout.isatty() else None
    heads = ("run", "status", "stages", "")
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(3)]
    for row in (heads, *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row[:3], widths, strict=True))
        text = "  ".join([*cells, row[3]]).rstrip()
        if console is None:
            print(text)
            continue
        line = Text(text, no_wrap=True, overflow="ellipsis")
        start = widths[0] + 2
        line.stylize(COLOURS.get(row[1], "bold"), start, start + len(row[1]))
        console.print(line, no_wrap=True, overflow="ellipsis")
    counts = Counter(row[1] for row in rows)
    print(", ".join(f"{count} {status}" for status, count in counts.most_common()))


def _summary(directory: Path, verify: bool) -> tuple[str, int, int, str, dict[str, list[str]]]:
    """Return status, stages done, stages, a note and what is damaged of a directory."""
    from mlmd.run.run import Run

    try:
        run = Run.open(directory)
    except RunDirectoryError as error:
        return "no run", 0, 0, str(error), {}
    except DamagedDataError as error:
        return "damaged", 0, 0, str(error), {"": [str(error)]}
    found = run.verify() if verify else {}
    left = [entry for entry in run.stages if entry.status != "done"]
    at = next((f"{entry.name}: {entry.error}" for entry in left if entry.error), "")
    note = at or (left[0].name if left else "")
    status = "damaged" if found else run.status
    if found:
        note = next(iter(found.values()))[0]
    return status, len(run.stages) - len(left), len(run.stages), note, found


def show(run: Run, views: list[StageView]) -> None:
    """Print the tree: in colour and folded to the width on a terminal, else plain lines."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False) if sys.stdout.isatty() else None
    for before, text in _lines(run, views):
        if console is None:
            print(f"{before}{text.plain}")
        elif before:
            for part in text.wrap(console, max(console.width - len(before), 20)):
                console.print(Text(before) + part)
        else:
            console.print(Text(text.plain, spans=text.spans, no_wrap=True, overflow="ellipsis"))


def _lines(run: Run, views: list[StageView]) -> Iterator[tuple[str, Text]]:
    """Yield the lines to be shown, with what stands before each part where one is folded."""
    from rich.text import Text

    yield "", Text.assemble(f"{run.path}: ", (run.status, COLOURS[run.status]), _by(run))
    guides = _guides(views)
    names = [f"{guide}{view.entry.name}" for guide, view in zip(guides, views, strict=True)]
    rows = [(name, view.status, *_cells(view)) for name, view in zip(names, views, strict=True)]
    widths = [max(len(row[i]) for row in (HEADS, *rows)) for i in range(len(HEADS))]
    yield "", Text("  " + _line(HEADS, widths), "bold")
    for row, guide, view in zip(rows, guides, views, strict=True):
        line = Text("  " + _line(row, widths))
        start = 2 + widths[0] + 2
        line.stylize(COLOURS.get(view.status, ""), start, start + len(view.status))
        yield "", line
        for note, colour in _notes(view):
            yield f"  {guide.translate(BELOW)}    ", Text(note, colour)
    for text in _next(run, views):
        yield "", Text(text)


def _by(run: Run) -> str:
    """Say which process works on the run."""
    from mlmd.run.lock import read_owner

    owner = read_owner(run.path) if run.status == "running" else None
    return f" (process {owner['pid']} on {owner['host']})" if owner else ""


def _guides(views: list[StageView]) -> list[str]:
    """Return what stands before each name: the first stage of a branch hangs from its source."""
    guides = []
    for i, view in enumerate(views):
        if view.level == 0:
            guides.append("")
            continue
        # The line goes on where another branch of the same level follows below.
        inner = "".join(
            "│ " if _goes_on(views, i, level) else "  " for level in range(1, view.level)
        )
        more = _goes_on(views, i, view.level)
        begins = view.entry.settings.get("starts_from") is not None
        guides.append(inner + (("├ " if more else "└ ") if begins else ("│ " if more else "  ")))
    return guides if _can_show("├└│") else [guide.translate(ASCII) for guide in guides]


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _goes_on(views: list[StageView], i: int, level: int) -> bool:
    """Tell whether a branch of this level begins below, before the tree returns above it."""
    for view in views[i + 1 :]:
        if view.level < level:
            return False
        if view.level == level and view.entry.settings.get("starts_from") is not None:
            return True
    return False


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    left = [f"{cell:<{width}}" for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [f"{cell:>{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "  ".join([*left, *right]).rstrip()


def _cells(view: StageView) -> tuple[str, ...]:
    def number(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    time = number(view.simulated_ps, ".4g")
    if view.duration_ps is not None and view.status != "done":
        time = f"{time or '0'}/{view.duration_ps:g}"
    wall = ""
    if view.wall is not None:
        wall = ("" if view.wall.is_complete else ">") + clock(view.wall.seconds)
    return (
        number(view.temperature_K, ".0f"),
        number(view.volume_per_atom_A3, ".2f"),
        number(view.pressure_GPa, "+.2f"),
        time,
        wall,
    )


def _notes(view: StageView) -> list[tuple[str, str]]:
    """Return the lines below a stage, each with its colour."""
    entry, result = view.entry, view.entry.result or {}
    notes = [(f"flags: {', '.join(view.flags)}", "yellow")] if view.flags else []
    notes += [
        (f"{one.severity}: {one.message}", "yellow")
        for one in of_flags(view.flags)
        if one.message != one.code.replace("_", " ")  # what the name does not say
    ]
    notes += [(f"guard: {trip}", "yellow") for trip in result.get("guard_trips") or ()]
    if entry.error:
        notes.append((entry.error, COLOURS.get(view.status, "")))
    elif isinstance(result.get("status"), str):
        virial = " (virial pressure)" if result.get("pressure_convention") == "virial" else ""
        notes.append((f"{result['status']}{virial}: {result.get('reason', '')}", ""))
    elif "n_converged" in result:
        notes.append((_inherent_structures(result), ""))
    elif result.get("max_force_eV_A") is not None:
        notes.append((f"largest force {result['max_force_eV_A']:.2f} eV/A", ""))
    return notes


def _inherent_structures(result: dict[str, Any]) -> str:
    error = result["energy_stderr_eV_atom"]
    mean = result["energy_eV_atom"]
    text = f"{mean:.4f}" if error is None else with_error(mean, error, TERMINAL)
    return (
        f"energy {text} eV/atom (lowest "
        f"{result['lowest_energy_eV_atom']:.4f}), converged {result['n_converged']} of "
        f"{len(result['structures'])}"
    )


def _next(run: Run, views: list[StageView]) -> list[str]:
    """Say what comes next, and what to do for it."""
    by_status: dict[str, list[str]] = {}
    for view in views:
        by_status.setdefault(view.status, []).append(view.entry.name)
    if run.status == "done":
        return [f"next: mlmd analyze {run.path}"]
    if run.status == "running":
        now = by_status.get("running", [])
        later = by_status.get("pending", []) + by_status.get("stopped", [])
        order = [view.entry.name for view in views if view.entry.name in later]
        return [
            f"now: {', '.join(now) or 'starting'}; then {_names(order) or 'the end'}",
        ]
    lines = []
    if "stopped" in by_status:
        lines.append(f"goes on from its last checkpoint: {', '.join(by_status['stopped'])}")
    if "failed" in by_status:
        lines.append(f"tried again from its last checkpoint: {', '.join(by_status['failed'])}")
    rest = [view.entry.name for view in views if view.status in ("pending", "blocked")]
    if rest:
        lines.append(f"then: {_names(rest)}")
    return ["next: give the same mlmd run command again", *(f"  {line}" for line in lines)]


def _names(names: list[str], limit: int = 4) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _json(run: Run, views: list[StageView]) -> dict[str, Any]:
    from mlmd.run.overview import TO_DO

    stages = []
    for view in views:
        entry = view.entry
        stages.append(
            {
                **{
                    key: getattr(entry, key)
                    for key in ("name", "kind", "status", "result", "error")
                },
                "starts_from": view.starts_from,
                "flags": list(view.flags),
                "findings": to_plain(of_flags(view.flags)),
                "volume_per_atom_A3": view.volume_per_atom_A3,
                "simulated_ps": view.simulated_ps,
                "duration_ps": view.duration_ps,
                "wall_s": None if view.wall is None else view.wall.seconds,
                "wall_is_complete": None if view.wall is None else view.wall.is_complete,
            }
        )
    return {
        "directory": str(run.path),
        "status": run.status,
        "stages": stages,
        "next": [view.entry.name for view in views if view.entry.status in TO_DO],
    }
