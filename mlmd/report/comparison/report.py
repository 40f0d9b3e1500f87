"""The report of a comparison: one surrogate or several against the same reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlmd._version import __version__
from mlmd.report.comparison.csv_blocks import copy_blocks
from mlmd.report.comparison.figures import comparison_figures
from mlmd.report.comparison.tables import comparison_tables
from mlmd.report.comparison.verdict_rows import TITLES, limit_in_words, verdict_rows
from mlmd.report.page.elements import Group
from mlmd.report.page.numbers import number
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
    content: Mapping[str, Any] | None
    error: str | None = None


def write_comparison_report(
    path: str | Path,
    surrogates: Sequence[Compared],
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
    return write_page(comparison_page(surrogates, settings=settings, ranking=ranking), Path(path))


def comparison_page(
    surrogates: Sequence[Compared], *, settings: Sequence[Group] = (), ranking: str = ""
) -> str:
    """Return the HTML of :func:`write_comparison_report`."""
    contents = {one.label: one.content for one in surrogates if one.content is not None}
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
        version=__version__,
        eyebrow="Surrogate potential against its reference",
        title=_title([one.label for one in surrogates], contents),
        lead=_lead(contents),
        surrogates=shown,
        ranking=ranking,
        missing=_lines(contents, "missing"),
        warnings=_lines(contents, "warnings"),
        figures=comparison_figures(contents) if contents else [],
        tables=comparison_tables(contents),
        copies=copy_blocks(contents),
        settings=[*settings, *_own_settings(contents)],
        content={
            "surrogates": [
                {"label": one.label, "error": one.error, "comparison": one.content}
                for one in surrogates
            ]
        },
    )


def _title(labels: Sequence[str], contents: Mapping[str, Mapping[str, Any]]) -> str:
    compositions = dict.fromkeys(
        system["composition"] for content in contents.values() for system in content["systems"]
    )
    what = ", ".join(list(compositions)[:3]) + (" …" if len(compositions) > 3 else "")
    who = " and ".join(labels) if len(labels) < 3 else f"{len(labels)} surrogates"
    return f"{what}: {who} against the reference" if what else f"{who} against the reference"


def _lead(contents: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in a line what the reference is."""
    for content in contents.values():
        parts = []
        for system in content["systems"][:4]:
            one = system["reference"]
            words = [
                "temperature not known"
                if system["temperature_K"] is None
                else f"{system['temperature_K']:g} K"
            ]
            if one["n_atoms"] is not None:
                words.append(f"{one['n_atoms']} atoms")
            if one["duration_ps"] is not None:
                words.append(f"{number(one['duration_ps'])} ps")
            parts.append(", ".join(words))
        more = len(content["systems"]) - 4
        return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")
    return ""


def _lines(contents: Mapping[str, Mapping[str, Any]], key: str) -> list[str]:
    """Return what is missing, or the warnings; said once where all surrogates share it."""
    found: dict[str, list[str]] = {}
    for label, content in contents.items():
        items = content[key]
        lines = (
            [f"{TITLES.get(a, a)}: {b}" for a, b in items.items()]
            if isinstance(items, Mapping)
            else items
        )
        for line in lines:
            found.setdefault(str(line), []).append(label)
    everyone = len(contents)
    return [
        line if len(who) == everyone else f"{', '.join(who)}: {line}" for line, who in found.items()
    ]


def _own_settings(contents: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """Return how g(r) and D were measured: the same for all, since it is on both sides."""
    for content in contents.values():
        groups = []
        rdf = (content.get("rdf") or {}).get("settings") or {}
        if rdf:
            groups.append(Group("Radial distribution functions", _entries(rdf)))
        points = (content.get("diffusivity") or {}).get("points") or []
        if points:
            groups.append(Group("Diffusivities", _entries(points[0]["settings"])))
        systems = [
            (
                f"{system['label']}, {side}",
                f"{one['source']}; {one['n_frames'] or '?'} frames",
            )
            for system in content["systems"]
            for side, one in (("reference", system["reference"]),)
        ]
        groups.append(Group("Reference", tuple(systems)))
        limits = content.get("thresholds") or {}
        groups.append(
            Group(
                "Thresholds",
                tuple((name, limit_in_words(name, value)) for name, value in limits.items()),
                "Choices, not laws: the command judges again, without running again, with "
                "--threshold NAME=VALUE.",
            )
        )
        return groups
    return []


def _entries(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key.replace("_", " "), _text(value))
        for key, value in settings.items()
        if value is not None
    )


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " to ".join(_text(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
