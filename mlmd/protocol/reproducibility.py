"""Whether a run would give the same bits again: told by how each of its sessions computed.

A run may go on in any way: in another interpreter, with other threads, on another device or
machine, with other versions. Sums are then taken in another order, and motion that is chaotic
leaves the path that it was on. That is no error, but the run must say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlmd.protocol.calculators import StageCalculators
    from mlmd.run.history import EventLog
    from mlmd.run.manifest import Manifest

COMPUTED_ON = "computed_on"
"""Entry of a session that computed: how, by key of the calculator."""
WAYS = ("device", "dtype", "hardware", "threads", "python", "version")
REASONS_SHOWN = 4
CHANGES_BITS = ("device", "dtype")
"""What gives other bits for sure; of the rest nobody knows."""


def note_way_of_running(
    manifest: Manifest, calculators: StageCalculators, events: EventLog
) -> None:
    """Record how this session computes, and what that makes of the run's reproducibility.

    It is true where the calculators promise it and all sessions computed in one way, false where
    a device or precision was another, null where nobody knows. All sessions that computed count,
    so that none makes it better again.

    Parameters
    ----------
    manifest
        Of the run; its last session is this one.
    calculators
        Those made so far.
    events
        Told of ways that differ.
    """
    session = manifest.sessions[-1]
    known_before = set(_differences(manifest))
    session[COMPUTED_ON] = calculators.made()
    session["versions"] = dict(manifest.versions)
    repeats, because = calculators.reproducible()
    session["reproducible"], session["reproducible_because"] = repeats, because
    differences = _differences(manifest)
    new = [text for text in differences if text not in known_before]
    if new:
        events.write("way of running changed", how=new)
    found = [*differences.items(), *_promises(manifest)]
    for answer in (False, None, True):
        reasons = [why for why, told in found if told is answer and why]
        if reasons:
            manifest.reproducible = answer
            manifest.reproducible_because = _some_of(list(dict.fromkeys(reasons)))
            return
    manifest.reproducible, manifest.reproducible_because = repeats, because


def _some_of(reasons: list[str]) -> str:
    left_out = len(reasons) - REASONS_SHOWN
    return "; ".join(reasons[:REASONS_SHOWN]) + (f"; and {left_out} more" if left_out > 0 else "")


def _promises(manifest: Manifest) -> list[tuple[str | None, bool | None]]:
    """Return what the calculators of each session promised, and why."""
    return [
        (session.get("reproducible_because"), session["reproducible"])
        for session in manifest.sessions
        if "reproducible" in session
    ]


def _differences(manifest: Manifest) -> dict[str, bool | None]:
    """Say in what sessions that follow each other computed differently.

    Returns
    -------
    dict
        By the text that says it, whether the bits are the same: False, or None for not known.
    """
    found: dict[str, bool | None] = {}
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    versions: tuple[int, Any] | None = None
    for number, session in enumerate(manifest.sessions, 1):
        for key, computed_on in session.get(COMPUTED_ON, {}).items():
            # Of runs of before, what was asked for.
            way = {**session.get("calculators", {}).get(key, {}), **computed_on}
            before, one = last.get(key, (number, way))
            for name in WAYS:
                if way.get(name) != one.get(name) and None not in (way.get(name), one.get(name)):
                    text = f"session {number} computed with {name} {way[name]}, session {before}"
                    found[f"{text} with {one[name]}"] = False if name in CHANGES_BITS else None
            last[key] = number, way
        if "versions" in session:
            if versions is not None and session["versions"] != versions[1]:
                found[f"session {number} had other versions than session {versions[0]}"] = None
            versions = number, session["versions"]
    return found
