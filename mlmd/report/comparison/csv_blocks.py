"""Verdicts and numbers of a comparison as CSV, to be copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlmd.report.comparison.contents import Content, Contents, listed, part_of
from mlmd.report.comparison.features import judged_features
from mlmd.report.comparison.tables import POINT_WISE
from mlmd.report.page.elements import CopyBlock, csv_block

Row = tuple[Any, ...]
"""Quantity, system, part, value, and the ends of its interval where there is one."""


def copy_blocks(contents: Contents) -> list[CopyBlock]:
    """Return verdicts, and every number of the tables once, as CSV."""
    verdicts = [
        (label, key, temperature, one["answer"], one.get("value"), one["reason"])
        for label, content in contents.items()
        for key, verdict in content["verdict"].items()
        for temperature, one in {"all": verdict, **(verdict.get("by_temperature") or {})}.items()
    ]
    numbers = [
        (label, *row)
        for label, content in contents.items()
        for rows in (_structure, _features, _motion, _point_wise)
        for row in rows(content)
    ]
    return [
        csv_block(
            "Verdicts",
            ".",
            ("surrogate", "property", "temperature_K", "answer", "value", "reason"),
            verdicts,
        ),
        csv_block(
            "Numbers",
            "; low and high are intervals of 68 %.",
            ("surrogate", "quantity", "system", "part", "value", "low", "high"),
            numbers,
        ),
    ]


def _structure(content: Content) -> Iterator[Row]:
    for one in listed(content, "rdf"):
        at = ("rdf_r2", one["label"])
        yield *at, "all", one["r2_pooled"]
        yield from ((*at, pair, r2) for pair, r2 in one["r2_by_pair"].items())
        yield "rdf_r2_noise_ceiling", one["label"], "all", one["r2_noise_ceiling"]
    for one in listed(content, "coordination"):
        for pair, found in one["pairs"].items():
            for side in ("surrogate", "reference"):
                yield f"coordination of the {side}", one["label"], pair, found[side]
    for one in listed(content, "spectra"):
        for key in ("vdos_overlap", "vdos_ceiling", "vdos_mean_ratio", "sq_r2"):
            yield key, one["label"], "all", one[key]


def _features(content: Content) -> Iterator[Row]:
    """Give R2 over the systems, or where there is none the features of each."""
    section = part_of(content, "features")
    if section.get("r2_pooled") is not None:
        yield "feature_r2", "", "all", section["r2_pooled"]
        yield "feature_r2_noise_ceiling", "", "all", section["r2_pooled_noise_ceiling"]
        yield "feature_r2", "", "all, bare numbers", section["r2_pooled_raw"]
        for name in (name for name, r2 in section["r2"].items() if r2 is not None):
            yield "feature_r2", "", name, section["r2"][name]
            yield "feature_r2_noise_ceiling", "", name, section["r2_noise_ceiling"][name]
        return
    for one in section.get("systems") or []:
        for name, found in judged_features(one).items():
            part = name if found["unit"] == "1" else f"{name} ({found['unit']})"
            for side in ("surrogate", "reference"):
                value, error = found[side], found[f"{side}_error"]
                ends = () if error is None else (value - error, value + error)
                yield f"feature of the {side}", one["label"], part, value, *ends
            for key in ("relative_difference", "sigma"):
                yield f"feature_{key}", one["label"], name, found[key]


def _motion(content: Content) -> Iterator[Row]:
    for point in listed(content, "diffusivity", "points"):
        at = (point["label"], point["species"])
        for side in ("surrogate", "reference"):
            found = point[side]
            ends = found["D_interval68_cm2_s"] or ()
            yield f"D_cm2_s of the {side}", *at, found["D_cm2_s"], *ends
        yield "D_log10_ratio", *at, point["log10_ratio"], *(point["log10_ratio_interval68"] or ())
    for one in listed(content, "diffusivity", "activation_energy"):
        for side in ("surrogate", "reference"):
            at = (one["composition"], one["species"])
            ends = one[f"{side}_interval68_eV"] or ()
            yield f"E_a_eV of the {side}", *at, one[f"{side}_eV"], *ends


def _point_wise(content: Content) -> Iterator[Row]:
    for key in POINT_WISE:
        value = part_of(content, "points").get(key)
        if value is not None:
            yield key, "", "", value
