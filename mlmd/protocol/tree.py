"""A protocol: named stages that say what is done to a structure, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from mlmd.checks import by_name, is_whole, shown, usable_text
from mlmd.errors import InputError
from mlmd.files import write_output
from mlmd.plain import to_plain
from mlmd.stages.registry import stage_class
from mlmd.stages.stage import Stage
from mlmd.yaml_text import to_yaml

SCHEMA = 1
KEYS = (
    "schema",
    "name",
    "reference",
    "description",
    "deviations",
    "sources",
    "analysis",
    "stages",
)
BESIDE_THE_STAGES = ("structure", "analysis")
"""Targets of sources that name no stage: what the command line gives `run` and `analyze`."""

SET_BY_HAND = "changed from the protocol's own value"
"""Source of a value that :meth:`ProtocolTree.with_settings` changed."""


@dataclass(frozen=True)
class ProtocolTree:
    """Named stages, each knowing which one it starts from.

    Attributes
    ----------
    name
        Of the protocol.
    stages
        In order; names are unique.
    reference
        Where it is published (DOI), or that it is ours.
    description
        A few sentences for people.
    deviations
        Where it differs from the reference, or where that is silent.
    sources
        Where each value comes from: ``{"NAME.field": "paper, section"}``. NAME is a stage's
        name, else a class name; ``structure`` and ``analysis`` stand for options of ``mlmd run``
        and ``mlmd analyze`` that belong to the protocol.
    analysis
        How diffusivities of its runs are measured where nothing else is given: keywords of
        :func:`mlmd.diffusivity` (estimator, window_ps, fit_ps, drift, origins), see
        :class:`mlmd.analysis.recipe.RecipeAnalysis`. No part of a run's identity.
    """

    name: str
    stages: tuple[Stage, ...]
    reference: str = ""
    description: str = ""
    deviations: tuple[str, ...] = field(default=())
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    analysis: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check that names are unique and that every stage knows where it starts."""
        usable_text("name of the protocol", self.name)
        for name in ("reference", "description"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} is {shown(getattr(self, name))}; expected a text")
        for name, kind in (("stages", Stage), ("deviations", str)):
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or not all(isinstance(x, kind) for x in given):
                wanted = "stages" if kind is Stage else "texts"
                raise InputError(f"{name} is {shown(given)}; expected a list of {wanted}")
            object.__setattr__(self, name, tuple(given))
        if not self.stages:
            raise InputError(f"protocol '{self.name}' has no stages; expected at least one")
        seen: set[str] = set()
        for stage in self.stages:
            if stage.name in seen:
                raise InputError(
                    f"protocol '{self.name}' has two stages named '{stage.name}'; names are unique"
                )
            if stage.starts_from is not None and stage.starts_from not in seen:
                raise InputError(
                    f"stage '{stage.name}' starts from '{stage.starts_from}'; expected a stage "
                    f"before it ({', '.join(s.name for s in self.stages if s.name in seen)})"
                )
            seen.add(stage.name)
        object.__setattr__(self, "sources", dict(self.sources))
        if not isinstance(self.analysis, Mapping) or self.analysis:
            # Measuring is loaded for recipes that say how; others start without it.
            from mlmd.analysis.recipe import RecipeAnalysis

            said = RecipeAnalysis(self.name, self.analysis).settings
            object.__setattr__(self, "analysis", said)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Self:
        """Read a protocol that ships with mlmd by its name, or any YAML file.

        Raises
        ------
        InputError
            If there is none such, or a key in it is unknown.
        """
        from mlmd.protocol.recipes import read_recipe

        return cls.from_dict(read_recipe(name_or_path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make a protocol from plain data, as YAML gives it; unknown keys are errors."""
        if not isinstance(content, Mapping):
            raise InputError(f"protocol is {shown(content)}; expected a mapping with its stages")
        unknown = [str(key) for key in content if key not in KEYS]
        if unknown:
            raise InputError(
                f"protocol has unknown key(s) {', '.join(unknown)}; expected among "
                f"{', '.join(KEYS)}"
            )
        schema = content.get("schema")
        if not is_whole(schema) or schema != SCHEMA:
            raise InputError(
                f"protocol has schema {shown(schema)}; this mlmd reads schema {SCHEMA}"
            )
        if not isinstance(content.get("name"), str) or not content["name"]:
            raise InputError("protocol has no name; expected a text under 'name'")
        stages = content.get("stages")
        if not isinstance(stages, list):
            raise InputError("protocol has no list of stages under 'stages'")
        made = tuple(_stage(item) for item in stages)
        sources = _or_none(content, "sources", {})
        _check_sources(sources, made)
        return cls(
            name=content["name"],
            stages=made,
            reference=_or_none(content, "reference", ""),
            description=_or_none(content, "description", ""),
            deviations=_or_none(content, "deviations", ()),
            sources=sources,
            analysis=_or_none(content, "analysis", {}),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the protocol as plain data; every field of every stage is written out."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "reference": self.reference,
            "description": self.description,
            "deviations": list(self.deviations),
            "sources": dict(self.sources),
            "analysis": to_plain(self.analysis),
            "stages": [stage.to_dict() for stage in self.stages],
        }

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write the protocol as YAML; what is there is replaced only with `force`."""
        with write_output(path, "recipe", force) as place:
            place.write_text(to_yaml(self.to_dict()), encoding="utf-8")

    def stage(self, name: str) -> Stage:
        """Return a stage by name.

        Raises
        ------
        InputError
            If there is none such.
        """
        for stage in self.stages:
            if isinstance(name, str) and stage.name == name:
                return stage
        raise InputError(
            f"protocol '{self.name}' has no stage {shown(name)}; it has "
            f"{', '.join(stage.name for stage in self.stages)}"
        )

    def parent(self, name: str) -> Stage | None:
        """Return the stage whose end the named one starts from; None for the first."""
        stage, before = self.stage(name), None
        for other in self.stages:
            if other.name == name:
                break
            before = other
        return self.stage(stage.starts_from) if stage.starts_from else before

    def descendants(self, name: str) -> list[Stage]:
        """Return the stages that start from the named one, or from one that does, in order."""
        found: list[Stage] = []
        for stage in self.stages:
            parent = self.parent(stage.name)
            if parent is not None and (parent.name == name or parent in found):
                found.append(stage)
        return found

    def source(self, name: str, setting: str) -> str | None:
        """Return where the value of a stage's field comes from, None where nothing is said."""
        kind = type(self.stage(name)).__name__
        return self.sources.get(f"{name}.{setting}") or self.sources.get(f"{kind}.{setting}")

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """Return the protocol with some fields changed.

        Parameters
        ----------
        settings
            ``{"NAME.field": value}``; NAME is a stage's name, else a class name, which
            addresses all stages of that class.

        Raises
        ------
        InputError
            If the name or the field is unknown or the value not allowed.
        """
        changes: dict[str, dict[str, Any]] = {}
        for key, value in by_name("settings", settings).items():
            for stage in self._addressed(key):
                changes.setdefault(stage.name, {})[key.rpartition(".")[2]] = value
        # All changes of a stage at once: one alone may not fit what the others are still.
        stages = tuple(
            type(stage).from_dict({**_fields(stage), **changes[stage.name]})
            if stage.name in changes
            else stage
            for stage in self.stages
        )
        overridden = {f"{name}.{item}": SET_BY_HAND for name in changes for item in changes[name]}
        sources = {**self.sources, **overridden} if self.sources else {}
        return replace(self, stages=stages, sources=sources)

    def _addressed(self, key: str) -> list[Stage]:
        """Return the stages that ``NAME.field`` addresses."""
        usable_text("setting", key)
        target, dot, name = key.rpartition(".")
        if not dot:
            raise InputError(f"setting '{key}' names no field; expected NAME.field=value")
        chosen = [stage for stage in self.stages if stage.name == target] or [
            stage for stage in self.stages if type(stage).__name__ == target
        ]
        if not chosen:
            known = [stage.name for stage in self.stages]
            kinds = dict.fromkeys(type(stage).__name__ for stage in self.stages)
            raise InputError(
                f"setting '{key}': no stage or class '{target}'; expected one of "
                f"{', '.join([*known, *kinds])}"
            )
        if name == "name":
            raise InputError(f"setting '{key}': the name of a stage cannot be set")
        return chosen


def _stage(content: Any) -> Stage:
    if not isinstance(content, dict) or "name" not in content or "class" not in content:
        raise InputError(
            f"stage {shown(content)} is not understood; expected a mapping with 'name' and 'class'"
        )
    settings = {key: value for key, value in content.items() if key != "class"}
    return stage_class(content["class"]).from_dict(settings)


def _or_none(content: Mapping[str, Any], key: str, nothing: Any) -> Any:
    """Return what stands under a key that may be left out or empty."""
    value = content.get(key)
    return nothing if value is None else value


def _check_sources(sources: Any, stages: tuple[Stage, ...]) -> None:
    """Raise InputError unless every source is a text about a field that is there."""
    if not isinstance(sources, Mapping):
        raise InputError(f"sources is {shown(sources)}; expected a mapping of NAME.field to a text")
    for key, text in sources.items():
        target, _, name = str(key).rpartition(".")
        meant = [stage for stage in stages if target in (stage.name, type(stage).__name__)]
        known = target in BESIDE_THE_STAGES or any(name in stage.to_dict() for stage in meant)
        if not known or not isinstance(text, str) or not text:
            raise InputError(
                f"source '{key}: {shown(text)}' is not understood; expected STAGE.field or "
                "Class.field of this protocol, and a text"
            )


def _fields(stage: Stage) -> dict[str, Any]:
    """Return the settings of a stage, without those that its class derives from others."""
    settings = {key: value for key, value in stage.to_dict().items() if key != "class"}
    if settings.get("rate_K_ps") is not None:
        settings.pop("duration_ps")
    return settings
