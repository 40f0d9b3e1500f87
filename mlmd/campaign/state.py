"""How far a campaign is, from what its workers wrote down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.campaign.journal import BUSY, DONE, FAILED, STARTED, Told, read_journals
from mlmd.campaign.plan import Campaign, Planned
from mlmd.run.lock import is_at_work

if TYPE_CHECKING:
    from mlmd.campaign.lengthening import Until


@dataclass(frozen=True)
class CampaignState:
    """How far a campaign is.

    Attributes
    ----------
    counts
        Cases ``done``, ``running``, ``failed`` and ``waiting``.
    failures
        By case: ``kind`` and ``message``.
    cases
        State of each case, as they are counted.
    """

    counts: Mapping[str, int]
    failures: Mapping[str, Mapping[str, Any]]
    cases: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "counts": dict(self.counts),
            "failures": {k: dict(v) for k, v in self.failures.items()},
        }


def state_of(campaign: Campaign) -> CampaignState:
    """Return how far a campaign is, from what its workers wrote down."""
    told = read_journals(campaign.folder)
    until = plain_rule(campaign.until)
    counts = Counter({"done": 0, "running": 0, "failed": 0, "waiting": 0})
    failures: dict[str, dict[str, Any]] = {}
    cases: dict[str, str] = {}
    for case in campaign.cases:
        one = told.get(case.name)
        event = "" if one is None or _is_short(one, until) else one.event
        if one is not None and event == FAILED:
            failures[case.name] = {key: one.details.get(key) for key in ("kind", "message")}
        at_work = event in (STARTED, BUSY) and is_at_work(campaign.folder / case.name)
        state = event if event in (DONE, FAILED) else "running" if at_work else "waiting"
        counts[state] += 1
        cases[case.name] = state
    return CampaignState(dict(counts), failures, cases)


def left_of(campaign: Campaign, told: Mapping[str, Told], retry: bool = False) -> list[Planned]:
    """Return the cases that have not ended; with `retry` those that failed, too."""
    over = {DONE} if retry else {DONE, FAILED}
    until = plain_rule(campaign.until)
    found = []
    for case in campaign.cases:
        one = told.get(case.name)
        if one is None or one.event not in over or _is_short(one, until):
            found.append(case)
    return found


def plain_rule(until: Until | None) -> dict[str, Any] | None:
    """Return the rule of a campaign, if it has one, as what is written down."""
    return None if until is None else until.to_dict()


def _is_short(told: Told, until: Mapping[str, Any] | None) -> bool:
    """Tell whether a case that is done has its productions by another rule than they are to have.

    Without a rule, however long they have become will do.
    """
    return told.event == DONE and until is not None and told.details.get("until") != until
