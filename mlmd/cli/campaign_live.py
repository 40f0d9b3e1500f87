"""Showing a campaign at work: a table on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlmd.cli.progress import clock
from mlmd.errors import MlmdError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from mlmd.campaign import Campaign, CampaignState, Outcome

LINE_EVERY_S = 30.0
TABLE_EVERY_S = 2.0
SHARE_OF_TIME = 0.05
"""Of the client's, that looking at ten thousand cases may take."""
MOST_ROWS = 16
HEADS = ("case", "stage", "", "ps", "wall")


@contextmanager
def following(campaign: Campaign) -> Iterator[Follower]:
    """Give what follows a campaign, and shows it on standard error while the block runs."""
    from mlmd.campaign import state_of

    if not sys.stderr.isatty():
        yield Follower(campaign, state_of(campaign), LINE_EVERY_S)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    follower = Follower(campaign, state_of(campaign), TABLE_EVERY_S, console)
    with Live(console=console, get_renderable=follower.table, refresh_per_second=1, transient=True):
        yield follower


class Follower:
    """Knows how far a campaign is, and says so from time to time.

    Parameters
    ----------
    campaign
        At work.
    state
        How far it was at the beginning.
    every_s
        Wall time between looks at the files, or more where there are many.
    console
        Where the table is; lines are printed where None.
    """

    def __init__(
        self,
        campaign: Campaign,
        state: CampaignState,
        every_s: float,
        console: Console | None = None,
    ) -> None:
        self._campaign, self._state, self._every_s = campaign, state, every_s
        self._console = console
        self._began = self._due = time.monotonic()
        self._over_before = self._over()
        self._at_work: list[str] = []

    def ended(self, outcome: Outcome) -> None:
        """Say at once what has failed."""
        if outcome.state == "failed":
            self._say(f"{outcome.case} failed ({outcome.kind}): {outcome.message}")

    def looking(self, names: list[str]) -> None:
        """Look how far it is, where that is due."""
        began = time.monotonic()
        if began < self._due:
            return
        from mlmd.campaign import state_of
        from mlmd.run.lock import is_at_work

        self._state = state_of(self._campaign)
        folder = self._campaign.folder
        if self._console is None:
            self._say(self.line())
        else:
            self._at_work = [name for name in names if is_at_work(folder / name)]
        now = time.monotonic()
        self._due = now + max(self._every_s, (now - began) / SHARE_OF_TIME)

    def line(self) -> str:
        """Return how far it is in a line."""
        counts = ", ".join(f"{number} {name}" for name, number in self._state.counts.items())
        left_s = self._left_s()
        left = "" if left_s is None else f"; about {clock(left_s)} left"
        return f"{self._campaign.name}: {counts} of {len(self._campaign.cases)} cases{left}"

    def table(self) -> RenderableType:
        """Return the table of the cases at work, below a bar."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        rows = Table(box=None, pad_edge=False, header_style="bold")
        for head in HEADS:
            right = head in ("ps", "wall")
            rows.add_column(head, justify="right" if right else "left", no_wrap=True)
        for name in self._at_work[:MOST_ROWS]:
            rows.add_row(*_cells(self._campaign.folder / name))
        if len(self._at_work) > MOST_ROWS:
            rows.add_row(f"and {len(self._at_work) - MOST_ROWS} more")
        bar = ProgressBar(total=len(self._campaign.cases), completed=self._over(), width=60)
        line_of_bar = Table.grid()  # a bar by itself ends no line
        line_of_bar.add_row(bar)
        return Group(Text(self.line()), line_of_bar, rows)

    def _over(self) -> int:
        return self._state.counts["done"] + self._state.counts["failed"]

    def _left_s(self) -> float | None:
        """Forecast by the cases that have ended since the beginning."""
        ended = self._over() - self._over_before
        if ended <= 0:
            return None
        left = len(self._campaign.cases) - self._over()
        return (time.monotonic() - self._began) / ended * left

    def _say(self, text: str) -> None:
        # Nobody reads it any more, or its disk is full: no reason to end the campaign.
        with suppress(OSError):
            if self._console is None:
                print(text, file=sys.stderr, flush=True)
            else:
                self._console.print(text, markup=False)


def _cells(directory: Path) -> tuple[str, ...]:
    """Return what is to be seen of a case at work."""
    from mlmd.run.overview import overview
    from mlmd.run.run import Run

    try:
        views = overview(Run.open(directory))
    except MlmdError:  # its directory is being made
        return directory.name, "starting"
    done = sum(view.status == "done" for view in views)
    at = next((view for view in views if view.status == "running"), None)
    if at is None:
        return directory.name, "", f"{done}/{len(views)}"
    time_ps = f"{at.simulated_ps or 0.0:.4g}"
    if at.duration_ps is not None:
        time_ps += f"/{at.duration_ps:g}"
    wall = "" if at.wall is None else clock(at.wall.seconds)
    return directory.name, at.entry.name, f"{done + 1}/{len(views)}", time_ps, wall
