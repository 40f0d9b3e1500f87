"""How a recipe has its diffusivities measured, and what is left of that beside what is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.analysis.diffusion.diffusivity import diffusivity_settings
from mlmd.checks import known_keys
from mlmd.plain import to_plain

if TYPE_CHECKING:
    from mlmd.run.run import Run

KEYS = ("estimator", "window_ps", "fit_ps", "drift", "origins")
"""Keywords of :func:`mlmd.diffusivity` that a recipe may give: those that suit any composition."""
OF_AN_ESTIMATOR = ("estimator", "window_ps", "fit_ps", "origins")
"""Those that mean something else, or nothing, with another estimator."""


@dataclass(frozen=True)
class RecipeAnalysis:
    """What a recipe says under ``analysis``: how its diffusivities are measured.

    Attributes
    ----------
    recipe : str
        Name of the recipe, or of several that say the same.
    settings : mapping
        Keywords of :func:`mlmd.diffusivity`, a part of :data:`KEYS`; empty where the recipe says
        nothing, and the defaults hold.

    Raises
    ------
    InputError
        If a key is unknown, or a value does not go with the others.
    """

    recipe: str
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        known_keys(f"the analysis of recipe {self.recipe}", self.settings, KEYS)
        said = {key: to_plain(one) for key, one in self.settings.items() if one is not None}
        diffusivity_settings(**said)
        object.__setattr__(self, "settings", said)

    @classmethod
    def of(cls, run: Run) -> RecipeAnalysis:
        """Take what the recipe of a run says; of one recorded before recipes did, nothing."""
        protocol = run.manifest.protocol
        return cls(str(protocol.get("name")), protocol.get("analysis") or {})

    def beside(self, given: Mapping[str, Any]) -> RecipeAnalysis:
        """Return what is left of it beside what is given by hand.

        What is given replaces what the recipe says of the same. Another estimator (a window asks
        for "windowed") also replaces what belongs to the recipe's estimator, and another window
        the range of the fit, which lies in the window.

        Parameters
        ----------
        given
            Keywords of :func:`mlmd.diffusivity`; those that are None are not given.
        """
        by_hand = {key: value for key, value in given.items() if value is not None}
        asked = by_hand.get("estimator", "windowed" if "window_ps" in by_hand else None)
        replaced = set(by_hand)
        if asked is not None and asked != diffusivity_settings(**self.settings).estimator:
            replaced.update(OF_AN_ESTIMATOR)
        if "window_ps" in by_hand:
            replaced.add("fit_ps")
        left = {key: value for key, value in self.settings.items() if key not in replaced}
        return RecipeAnalysis(self.recipe, left)

    def keywords(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return keywords of :func:`mlmd.diffusivity`: what is given, and the recipe's beside."""
        by_hand = {key: value for key, value in given.items() if value is not None}
        return {**self.beside(given).settings, **by_hand}

    def __str__(self) -> str:
        """Say it in one line."""
        said = ", ".join(f"{key} {_text(value)}" for key, value in self.settings.items())
        return f"{said or 'nothing of its own'} (recipe {self.recipe})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain types for JSON."""
        return {"recipe": self.recipe, "settings": dict(self.settings)}


def shared_analysis(recipes: Iterable[RecipeAnalysis]) -> RecipeAnalysis | None:
    """Return what several recipes say alike, under all their names; None where they differ."""
    found = list(recipes)
    if not found or any(one.settings != found[0].settings for one in found):
        return None
    names = dict.fromkeys(one.recipe for one in found)
    return RecipeAnalysis(" and ".join(names), found[0].settings)


def _text(value: Any) -> str:
    return " to ".join(f"{one:g}" for one in value) if isinstance(value, list) else str(value)
