"""Structure features of a comparison: table, figures, and a line for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlmd.digits import TERMINAL, r_squared_text, with_error
from mlmd.report.comparison.contents import Content, Contents, all_listed, part_of
from mlmd.report.page.elements import Cell, Table, make_table, of, of_r_squared
from mlmd.report.page.figures import PageFigure, page_figure

_LEFT_OUT = (
    "Features of the composition and the temperature are equal by construction and left out, as "
    "are those of the volume where the surrogate has the reference's cell."
)


def feature_lines(section: Content) -> Iterator[str]:
    """Say what was found: R2 over systems, or what differs in each of few."""
    if section["r2_pooled"] is not None:
        ceiling = section["r2_pooled_noise_ceiling"]
        best = (
            ""
            if ceiling is None
            else f" (a perfect surrogate: {r_squared_text(ceiling, TERMINAL)})"
        )
        yield (
            f"features: R2 {r_squared_text(section['r2_pooled'], TERMINAL)}{best} over "
            f"{section['n_pairs']} systems, every feature alike; "
            f"{r_squared_text(section['r2_pooled_raw'], TERMINAL)} of the bare numbers"
        )
        return
    for system in section["systems"]:
        known = judged_features(system)
        sigmas = {k: one["sigma"] for k, one in known.items() if one["sigma"] is not None}
        if sigmas:
            far = max(sigmas, key=lambda name: abs(sigmas[name]))
            within = sum(abs(sigma) < 2 for sigma in sigmas.values())
            yield (
                f"features of {system['label']}: {within} of {len(sigmas)} within 2 standard "
                f"errors, {far} off by {sigmas[far]:+.1f}"
            )


def feature_tables(contents: Contents) -> Iterator[Table]:
    """Give R2 of each feature where there are enough systems, else the features themselves."""
    many = {
        label: content["features"]
        for label, content in contents.items()
        if part_of(content, "features").get("r2_pooled") is not None
    }
    if many:
        yield _r2(many)
    few = [one for one in all_listed(contents, "features") if one[0] not in many]
    if few:
        yield _values(few)


def _r2(sections: Contents) -> Table:
    kinds = ("r2", "r2_noise_ceiling")
    pooled = [
        one[key] for one in sections.values() for key in ("r2_pooled", "r2_pooled_noise_ceiling")
    ]
    names = dict.fromkeys(name for one in sections.values() for name in one["r2"])
    rows = [
        (name, *(one[kind].get(name) for one in sections.values() for kind in kinds))
        for name in names
    ]
    bare = [value for one in sections.values() for value in (one["r2_pooled_raw"], None)]
    columns = [name for label in sections for name in (f"{label}, R²", "Ceiling")]
    n_pairs = " and ".join(dict.fromkeys(str(one["n_pairs"]) for one in sections.values()))
    return make_table(
        "Structure features over the systems",
        ("Feature", *columns),
        [
            (name, *(None if value is None else of_r_squared(value) for value in values))
            for name, *values in (
                ("All, every feature alike", *pooled),
                ("All, bare numbers", *bare),
                *(row for row in rows if any(value is not None for value in row[1:])),
            )
        ],
        f"R² over {n_pairs} systems; the ceiling is that of a perfect surrogate, given the noise "
        f"of both sides. {_LEFT_OUT} Bare numbers of different units pooled, as published, say "
        "little: the features with large numbers decide.",
    )


def _values(systems: Sequence[tuple[str, Content]]) -> Table:
    rows = [
        (
            f"{label}, {system['label']}, {name}",
            _with_error(one["surrogate"], one["surrogate_error"]),
            _with_error(one["reference"], one["reference_error"]),
            "" if one["unit"] == "1" else one["unit"].replace("A", "Å").replace("3", "³"),
            of(_percent(one["relative_difference"]), 2),
            of(one["sigma"], 2),
        )
        for label, system in systems
        for name, one in judged_features(system).items()
    ]
    frames = {one[f"n_frames_{side}"] for _, one in systems for side in ("surrogate", "reference")}
    counted = f"{min(frames)} to {max(frames)}" if len(frames) > 1 else f"{min(frames)}"
    mobile = ", ".join(dict.fromkeys(one["mobile"] for _, one in systems))
    return make_table(
        "Structure features",
        ("Feature", "Surrogate", "Reference", "Unit", "Difference (%)", "In standard errors"),
        rows,
        f"Means over {counted} evenly spaced frames with standard errors; the mobile element is "
        f"{mobile}. {_LEFT_OUT}",
    )


def feature_figures(contents: Contents) -> Iterator[PageFigure]:
    """Draw parity of the scaled features, or what differs where there are few systems."""
    from mlmd.comparison.features.agreement import feature_agreement
    from mlmd.comparison.features.parity import FeatureParity
    from mlmd.plot.feature_parity import plot_feature_differences, plot_feature_parity

    differences: dict[str, FeatureParity] = {}
    for i, (label, content) in enumerate(contents.items()):
        section = part_of(content, "features")
        systems = section.get("systems") or []
        parities = {one["label"]: FeatureParity.from_dict(one) for one in systems}
        if section.get("r2_pooled") is not None:
            yield page_figure(
                plot_feature_parity(feature_agreement(list(parities.values()))),
                f"features{i}",
                f"Structure features, {label}",
                "Surrogate against reference, one point for each feature and system, each feature "
                "less its mean and over its standard deviation over the systems.",
            )
            continue
        differences |= {
            f"{label}, {name}" if len(systems) > 1 else label: parity
            for name, parity in parities.items()
            if any(one.sigma is not None for one in parity.per_feature.values())
        }
    if differences:
        yield page_figure(
            plot_feature_differences(differences),
            "features",
            "Structure features",
            "Surrogate minus reference in standard errors of that; the band is two of them. "
            "Where differences are large the axis is logarithmic beyond three.",
        )


def judged_features(system: Content) -> dict[str, Content]:
    """Return the features that both sides have and that are not equal by construction."""
    return {
        name: one
        for name, one in system["per_feature"].items()
        if None not in (one["surrogate"], one["reference"]) and not one["set_by_cell"]
    }


def _with_error(value: float, error: float | None) -> Cell:
    return Cell(with_error(value, error), value) if error else of(value, 4)


def _percent(value: float | None) -> float | None:
    return None if value is None else 100.0 * value
