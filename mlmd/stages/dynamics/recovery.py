"""Going back and trying again with half the time step, when a guard has tripped.

States to go back to are kept at fixed steps, not at checkpoints, whose moments depend on the
clock: a run that was interrupted takes the same way as one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ANCHOR_STEPS = 100
"""Steps between states that are kept; the older of two is gone back to."""


@dataclass
class Recovery:
    """States to go back to, and what tripped so far.

    Attributes
    ----------
    every
        Steps between kept states.
    anchors
        The two newest states, the older first, each with its ``n_frames``.
    trips
        One line for each time that a guard tripped.
    """

    every: int
    anchors: list[dict[str, Any]] = field(default_factory=list)
    trips: list[str] = field(default_factory=list)

    @classmethod
    def from_state(cls, every: int, state: Mapping[str, Any] | None) -> Recovery:
        """Take back what :meth:`state` gave, from a checkpoint."""
        if state is None:
            return cls(every)
        anchors = []
        for prefix in ("anchor0.", "anchor1."):
            anchor = {
                name.removeprefix(prefix): value
                for name, value in state.items()
                if name.startswith(prefix)
            }
            if anchor:
                anchors.append(anchor)
        return cls(every, anchors, list(state.get("trips", [])))

    def state(self) -> dict[str, Any]:
        """Return everything as entries of a checkpoint."""
        entries: dict[str, Any] = {"trips": self.trips}
        for i, anchor in enumerate(self.anchors):
            entries.update({f"anchor{i}.{name}": value for name, value in anchor.items()})
        return entries

    def is_due(self, step: int) -> bool:
        """Tell whether the state at `step` is to be kept and is not yet."""
        return step % self.every == 0 and (not self.anchors or self.anchors[-1]["nsteps"] < step)

    def keep(self, state: dict[str, Any]) -> None:
        """Keep a state, and the one before it."""
        self.anchors = [*self.anchors[-1:], state]

    def finish(self, state: dict[str, Any]) -> None:
        """Keep the end of a stage alone: an extension must not go back behind what was found."""
        self.anchors = [state]

    def go_back(self, why: str) -> dict[str, Any]:
        """Return the state to go back to; it is the only one that is kept then."""
        self.trips.append(why)
        self.anchors = self.anchors[:1]
        return self.anchors[0]
