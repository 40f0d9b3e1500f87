"""The report of a comparison: one surrogate or several against the same reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlmd.comparison.comparison import NOT_COMPARED
from mlmd.digits import number
from mlmd.report.comparison.contents import Content, Contents, listed, part_of
from mlmd.report.comparison.csv_blocks import copy_blocks
from mlmd.report.comparison.figures import comparison_figures
from mlmd.report.comparison.tables import comparison_tables
from mlmd.report.comparison.verdict_rows import limit_in_words, property_name, verdict_rows
from mlmd.report.page.elements import Group, entries
from mlmd.report.page.page import render, write_page


@dataclass(frozen=True)
class Compared:
    """A surrogate on the page.

    Attributes
    ----------
    label
        Its name.
    content
        What `Comparison.to_dict` gives; None where its dynamics failed.
    error
        The line that the dynamics failed with.
    """

    label: str
    content: Content | None
    error: str | None = None


def write_comparison_report(
    path: str | Path,
    surrogates: Sequence[Compared],
    force: bool = False,
    *,
    settings: Sequence[Group] = (),
    ranking: str = "",
) -> Path:
    """Write a report of surrogates against a reference.

    Parameters
    ----------
    path
        The HTML file; an earlier one is replaced.
    surrogates
        The best first.
    force
        Replace what else is there, but never a file of a run.
    settings
        How everything was done, beyond what the comparisons say themselves.
    ranking
        What the order of the surrogates means.

    Raises
    ------
    MissingExtraError
        If Jinja2 is not installed.
    InputError
        If the file cannot be written.
    """
    page = comparison_page(surrogates, settings=settings, ranking=ranking)
    return write_page(page, Path(path), force)


def comparison_page(
    surrogates: Sequence[Compared], *, settings: Sequence[Group] = (), ranking: str = ""
) -> str:
    """Return the HTML of :func:`write_comparison_report`."""
    contents = {one.label: one.content for one in surrogates if one.content is not None}
    first = next(iter(contents.values()), None)  # the reference is the same beside all
    shown = [
        {
            "label": one.label,
            "rank": i if len(surrogates) > 1 else None,
            "error": one.error,
            "verdicts": verdict_rows(one.content["verdict"]) if one.content else (),
        }
        for i, one in enumerate(surrogates, start=1)
    ]
    return render(
        "comparison.html.j2",
        eyebrow="Surrogate potential against its reference",
        title=_title([one.label for one in surrogates], contents),
        lead=_lead(first["systems"]) if first else "",
        surrogates=shown,
        ranking=ranking,
        missing=_lines(contents, "missing"),
        warnings=_lines(contents, "warnings"),
        figures=comparison_figures(contents),
        tables=comparison_tables(contents),
        copies=copy_blocks(contents),
        settings=[*settings, *(_own_settings(first) if first else ())],
        content={
            "surrogates": [
                {"label": one.label, "error": one.error, "comparison": one.content}
                for one in surrogates
            ]
        },
    )


def _title(labels: Sequence[str], contents: Contents) -> str:
    systems = (system for content in contents.values() for system in content["systems"])
    compositions = list(dict.fromkeys(system["composition"] for system in systems))
    what = ", ".join(compositions[:3]) + (" …" if len(compositions) > 3 else "")
    who = " and ".join(labels) if len(labels) < 3 else f"{len(labels)} surrogates"
    return f"{what}: {who} against the reference" if what else f"{who} against the reference"


def _lead(systems: Sequence[Content]) -> str:
    """Say in a line what the reference is."""
    parts = []
    for system in systems[:4]:
        T, one = system["temperature_K"], system["reference"]
        words = ["temperature not known" if T is None else f"{T:g} K"]
        if one["n_atoms"] is not None:
            words.append(f"{one['n_atoms']} atoms")
        if one["duration_ps"] is not None:
            words.append(f"{number(one['duration_ps'])} ps")
        parts.append(", ".join(words))
    more = len(systems) - 4
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _lines(contents: Contents, key: str) -> list[str]:
    """Return what is missing, or the warnings; said once where all surrogates share it."""
    found: dict[str, list[str]] = {}
    for label, content in contents.items():
        lines = content[key]
        if isinstance(lines, Mapping):
            lines = [f"{property_name(name)}: {why}" for name, why in lines.items()]
        for line in lines:
            found.setdefault(str(line), []).append(label)
    return [
        line if len(who) == len(contents) else f"{', '.join(who)}: {line}"
        for line, who in found.items()
    ]


def _own_settings(content: Content) -> list[Group]:
    """Return how g(r) and D were measured, which is the same on both sides."""
    groups = []
    rdf, points = part_of(content, "rdf").get("settings"), listed(content, "diffusivity", "points")
    if rdf:
        groups.append(Group("Radial distribution functions", entries(rdf, " to ")))
    if points:
        notes = [
            one
            for one in content.get("findings") or ()
            if one["severity"] == "note" and one["code"] != NOT_COMPARED
        ]
        how = (
            *entries(points[0]["settings"], " to "),
            *(("note", one["message"]) for one in notes),
        )
        groups.append(Group("Diffusivities", how))
    files = [(one["label"], one["reference"]) for one in content["systems"]]
    return [
        *groups,
        Group(
            "Reference",
            tuple(
                (f"{label}, reference", f"{one['source']}; {one['n_frames'] or '?'} frames")
                for label, one in files
            ),
        ),
        Group(
            "Thresholds",
            tuple(
                (name, limit_in_words(name, value))
                for name, value in part_of(content, "thresholds").items()
            ),
            "Choices, not laws: the command judges again, without running again, with "
            "--threshold NAME=VALUE.",
        ),
    ]
