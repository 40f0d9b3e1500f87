"""Verdicts and numbers of a comparison as CSV, to be copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlmd.report.comparison.tables import POINT_WISE, Contents
from mlmd.report.page.elements import CopyBlock, csv_text


def copy_blocks(contents: Contents) -> list[CopyBlock]:
    """Return verdicts and numbers as CSV."""
    verdicts: list[tuple[Any, ...]] = []
    for label, content in contents.items():
        for key, verdict in content["verdict"].items():
            parts = {"all": verdict, **(verdict.get("by_temperature") or {})}
            verdicts += [
                (label, key, temperature, one["answer"], one.get("value"), one["reason"])
                for temperature, one in parts.items()
            ]
    columns = ("surrogate", "quantity", "system", "part", "value", "low", "high")
    return [
        CopyBlock(
            "csv-verdicts",
            "Verdicts",
            "CSV, all digits.",
            csv_text(
                ("surrogate", "property", "temperature_K", "answer", "value", "reason"), verdicts
            ),
        ),
        CopyBlock(
            "csv-numbers",
            "Numbers",
            "CSV, all digits; low and high are intervals of 68 %.",
            csv_text(columns, _numbers(contents)),
        ),
    ]


Row = tuple[Any, ...]


def _numbers(contents: Contents) -> Iterator[Row]:
    """Give every number of the tables once: quantity, system, part, value, interval."""
    for label, content in contents.items():
        for row in (
            *_structure(content),
            *_features(content),
            *_motion(content),
            *_point_wise(content),
        ):
            yield label, *row


def _structure(content: Mapping[str, Any]) -> Iterator[Row]:
    for one in (content.get("rdf") or {}).get("systems") or []:
        at = ("rdf_r2", one["label"])
        yield *at, "all", one["r2_pooled"], None, None
        for pair, r2 in one["r2_by_pair"].items():
            yield *at, pair, r2, None, None
        yield "rdf_r2_noise_ceiling", one["label"], "all", one["r2_noise_ceiling"], None, None
    for one in (content.get("coordination") or {}).get("systems") or []:
        for pair, found in one["pairs"].items():
            for side in ("surrogate", "reference"):
                yield f"coordination of the {side}", one["label"], pair, found[side], None, None
    for one in (content.get("spectra") or {}).get("systems") or []:
        for key in ("vdos_overlap", "vdos_ceiling", "vdos_mean_ratio", "sq_r2"):
            yield key, one["label"], "all", one[key], None, None


def _features(content: Mapping[str, Any]) -> Iterator[Row]:
    """Give R2 over the systems, or where there is none the features of each."""
    section = content.get("features") or {}
    if section.get("r2_pooled") is not None:
        yield "feature_r2", "", "all", section["r2_pooled"], None, None
        yield "feature_r2_noise_ceiling", "", "all", section["r2_pooled_noise_ceiling"], None, None
        yield "feature_r2", "", "all, bare numbers", section["r2_pooled_raw"], None, None
        for name in (name for name, r2 in section["r2"].items() if r2 is not None):
            yield "feature_r2", "", name, section["r2"][name], None, None
            ceiling = section["r2_noise_ceiling"][name]
            yield "feature_r2_noise_ceiling", "", name, ceiling, None, None
        return
    for one in section.get("systems") or []:
        for name, found in one["per_feature"].items():
            if None in (found["surrogate"], found["reference"]) or found["set_by_cell"]:
                continue
            part = name if found["unit"] == "1" else f"{name} ({found['unit']})"
            for side in ("surrogate", "reference"):
                value, error = found[side], found[f"{side}_error"]
                ends = (None, None) if error is None else (value - error, value + error)
                yield f"feature of the {side}", one["label"], part, value, *ends
            for key in ("relative_difference", "sigma"):
                yield f"feature_{key}", one["label"], name, found[key], None, None


def _motion(content: Mapping[str, Any]) -> Iterator[Row]:
    section = content.get("diffusivity") or {}
    for point in section.get("points") or []:
        at = (point["label"], point["species"])
        for side in ("surrogate", "reference"):
            found = point[side]
            ends = found["D_interval68_cm2_s"] or (None, None)
            yield f"D_cm2_s of the {side}", *at, found["D_cm2_s"], *ends
        ends = point["log10_ratio_interval68"] or (None, None)
        yield "D_log10_ratio", *at, point["log10_ratio"], *ends
    for one in section.get("activation_energy") or []:
        for side in ("surrogate", "reference"):
            ends = one[f"{side}_interval68_eV"] or (None, None)
            at = (one["composition"], one["species"])
            yield f"E_a_eV of the {side}", *at, one[f"{side}_eV"], *ends


def _point_wise(content: Mapping[str, Any]) -> Iterator[Row]:
    for key, _ in POINT_WISE:
        value = (content.get("points") or {}).get(key)
        if value is not None:
            yield key, "", "", value, None, None
