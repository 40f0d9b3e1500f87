"""What the page of a comparison is made from: the JSON of each surrogate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Content = Mapping[str, Any]
"""What `Comparison.to_dict` gives, or a part of it."""

Contents = Mapping[str, Content]
"""The same by the surrogate's label."""


def part_of(content: Content, section: str) -> Content:
    """Return a section; empty where it was not computed."""
    return content.get(section) or {}


def listed(content: Content, section: str, key: str = "systems") -> list[Content]:
    """Return what a section lists: its systems, points or activation energies."""
    return part_of(content, section).get(key) or []


def all_listed(
    contents: Contents, section: str, key: str = "systems"
) -> Iterator[tuple[str, Content]]:
    """Give what all surrogates list in a section, each with the surrogate's label."""
    for label, content in contents.items():
        for one in listed(content, section, key):
            yield label, one
