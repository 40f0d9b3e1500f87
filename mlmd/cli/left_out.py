"""What of a batch could not be done: said when it is met, and again at the end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.errors import MlmdError

logger = logging.getLogger(__name__)

_MOST_SAID = 3


class LeftOut:
    """Errors of single structures of a batch, in which one costs no other.

    Each is a warning where it is not all that there is to say. At the end, after all output, they
    become one error, so that a script sees by the exit code (2) that something is missing.
    """

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._n_said = 0

    def __call__(self, error: MlmdError) -> None:
        """Note an error; the first is said with the next, or at the end."""
        self.messages.append(str(error))
        if len(self.messages) > 1:
            self._say()

    def _say(self) -> None:
        for message in self.messages[self._n_said :]:
            logger.warning("left out: %s", message)
        self._n_said = len(self.messages)

    def raise_if_any(self, n_done: int, what: str) -> None:
        """Raise InputError where something was left out; `what` is there all the same."""
        if not self.messages:
            return
        n = len(self.messages)
        if n_done == 0 and n == 1:
            raise InputError(self.messages[0])
        self._say()
        more = f"; and {n - _MOST_SAID} more" if n > _MOST_SAID else ""
        raise InputError(
            f"{n_done} {what} made, {n} left out: {'; '.join(self.messages[:_MOST_SAID])}{more}"
        )
