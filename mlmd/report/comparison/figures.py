"""Figures of a comparison: all surrogates on the same axes as the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mlmd.plot.comparison import plot_diffusivity_parity, plot_r2_distribution
from mlmd.plot.surrogates import (
    Curves,
    plot_diffusivity_intervals,
    plot_rdf_curves,
    plot_spectra,
)
from mlmd.report.comparison.contents import Contents, all_listed, listed, part_of
from mlmd.report.comparison.features import feature_figures
from mlmd.report.page.figures import PageFigure, page_figure

MOST_SYSTEMS, MOST_PAIRS, MOST_POINTS = 4, 10, 16
TITLES = {"vdos": "Vibrational density of states", "sq": "Structure factor"}


def comparison_figures(contents: Contents) -> list[PageFigure]:
    """Return g(r) of each system, the worst where there are many, diffusivities and the rest."""
    systems = _systems(contents)
    shown = systems[:MOST_SYSTEMS]
    return [
        *_rdf(contents, shown, len(systems)),
        *(_distributions(contents) if len(shown) < len(systems) else ()),
        *_diffusivities(contents),
        *feature_figures(contents),
        *(one for kind in TITLES for one in _spectra(contents, shown, kind)),
    ]


def _rdf(contents: Contents, shown: Sequence[str], n_systems: int) -> Iterator[PageFigure]:
    for i, system in enumerate(shown):
        curves = {
            label: content["rdf"]["curves"][system]
            for label, content in contents.items()
            if system in (part_of(content, "rdf").get("curves") or {})
        }
        pairs = _pairs(contents, curves, system)
        caption = "Reference in black with a band of two standard errors, surrogates in colour."
        if len(pairs) == 1:
            caption += " Below: surrogate minus reference."
        if len(shown) < n_systems:
            caption += f" One of the {len(shown)} systems of {n_systems} with the lowest R²."
        if len(pairs) < len(next(iter(curves.values()))["reference"]):
            caption += f" The {len(pairs)} pairs with the lowest R²."
        title = f"Radial distribution functions, {system}"
        yield page_figure(plot_rdf_curves(curves, pairs), f"rdf{i}", title, caption)


def _distributions(contents: Contents) -> Iterator[PageFigure]:
    """Draw how R2 is distributed: of most systems there is no g(r) to be seen."""
    from mlmd.comparison.structure.distribution import R2Distribution

    for i, (label, content) in enumerate(contents.items()):
        found = [one["r2_pooled"] for one in listed(content, "rdf")]
        known = [r2 for r2 in found if r2 is not None]
        if len(known) > MOST_SYSTEMS:
            yield page_figure(
                plot_r2_distribution(R2Distribution.of(known)),
                f"r2-{i}",
                f"R² of g(r) over the systems, {label}",
                "Share of the systems in which g(r) of all pairs has a larger R².",
            )


def _diffusivities(contents: Contents) -> Iterator[PageFigure]:
    rows = _diffusivity_rows(contents)
    if len(rows) > MOST_POINTS:
        yield from _parities(contents)
    elif rows:
        yield page_figure(
            plot_diffusivity_intervals(rows, list(contents)),
            "diffusivity",
            "Diffusivities",
            "Value and 68 % interval. An arrow to the left is an upper bound (95 %): the "
            "motion was not diffusive. Both sides of a comparison are fitted over the same "
            "lags; where those differ, each surrogate stands below its own reference.",
        )


def _parities(contents: Contents) -> Iterator[PageFigure]:
    """Draw D of each surrogate against the reference's: too many points for a line each."""
    from mlmd.comparison.motion.diffusivity_parity import diffusivity_parity
    from mlmd.comparison.motion.diffusivity_point import DiffusivityPoint

    for i, (label, content) in enumerate(contents.items()):
        points = listed(content, "diffusivity", "points")
        if points:
            parity = diffusivity_parity([DiffusivityPoint.from_dict(point) for point in points])
            yield page_figure(
                plot_diffusivity_parity(parity),
                f"parity{i}",
                f"Diffusivities, {label}",
                "Surrogate against reference, with 68 % intervals. An arrow and an open marker "
                "are an upper bound (95 %). The band is a factor of 2.",
            )


def _spectra(contents: Contents, systems: Sequence[str], kind: str) -> Iterator[PageFigure]:
    """Draw the spectra of the systems that have them."""
    for i, system in enumerate(systems):
        curves = {
            label: one[f"{kind}_curves"]
            for label, one in all_listed(contents, "spectra")
            if one["label"] == system and one.get(f"{kind}_curves")
        }
        if curves:
            yield page_figure(
                plot_spectra(curves, kind),
                f"{kind}{i}",
                f"{TITLES[kind]}, {system}",
                "All atoms. Reference in black, surrogates in colour.",
            )


def _systems(contents: Contents) -> list[str]:
    """Return the labels of all systems with curves; the lowest R2 first where there are many."""
    worst: dict[str, float] = {}
    for content in contents.values():
        curves = part_of(content, "rdf").get("curves") or {}
        for system in listed(content, "rdf"):
            if system["label"] in curves:
                r2 = system["r2_pooled"] if system["r2_pooled"] is not None else 1.0
                worst[system["label"]] = min(r2, worst.get(system["label"], 1.0))
    if len(worst) <= MOST_SYSTEMS:
        return list(worst)
    return sorted(worst, key=worst.__getitem__)


def _pairs(contents: Contents, curves: Curves, system: str) -> list[str]:
    """Return the pairs that all have, those with the lowest R2 where there are many."""
    common = [
        pair
        for pair in next(iter(curves.values()))["reference"]
        if all(pair in one["surrogate"] for one in curves.values())
    ]
    if len(common) <= MOST_PAIRS:
        return common
    r2: dict[str, float] = dict.fromkeys(common, 1.0)
    for _, one in all_listed(contents, "rdf"):
        if one["label"] == system:
            for pair in common:
                r2[pair] = min(r2[pair], one["r2_by_pair"].get(pair) or 1.0)
    return sorted(common, key=r2.__getitem__)[:MOST_PAIRS]


def _diffusivity_rows(contents: Contents) -> dict[str, list[tuple[str | None, Any]]]:
    """Bring together what the reference and every surrogate have of a system's species.

    The reference stands once where it is the same beside all; the range of lags is common to
    both sides of a comparison, so that it may differ.
    """
    found: dict[str, list[tuple[str | None, Any]]] = {}
    for label, point in all_listed(contents, "diffusivity", "points"):
        rows = found.setdefault(f"{point['species']} in\n{point['label']}", [])
        if (None, point["reference"]) not in rows:
            rows.append((None, point["reference"]))
        rows.append((label, point["surrogate"]))
    return found
