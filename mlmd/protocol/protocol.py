"""A protocol that can be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.protocol.engine import run_protocol
from mlmd.protocol.tree import ProtocolTree

if TYPE_CHECKING:
    from ase import Atoms

    from mlmd.protocol.settings import RunSettings
    from mlmd.run.run import Run
    from mlmd.run.stopping import StopToken
    from mlmd.stages.context import ProgressReport


class Protocol(ProtocolTree):
    """Named stages, and how they are run.

    Attributes
    ----------
    name, stages, reference, description, deviations, sources, analysis
        See :class:`~mlmd.protocol.tree.ProtocolTree`.
    """

    def run(
        self,
        atoms: Atoms,
        calculator: Any,
        directory: str | Path,
        *,
        seed: int = 0,
        progress: ProgressReport | None = None,
        stop: StopToken | None = None,
        extend: Mapping[str, float] | None = None,
        settings: RunSettings | None = None,
    ) -> Run:
        """Run the protocol in a directory, or go on with it there.

        The same call on the same directory goes on where the last checkpoint is, or returns
        at once where everything is done.

        Parameters
        ----------
        atoms
            The structure to start from; not changed.
        calculator
            An ASE calculator, a :class:`~mlmd.CalculatorSpec`, its short form (``"chgnet"``),
            or a mapping from stage name or stage class name to either; the key ``"default"``
            serves the stages that no other key names.
        directory
            Made where it does not exist.
        seed
            Every stage spawns its own generator from it.
        progress
            Called with :class:`~mlmd.stages.context.Progress` a few times a second.
        stop
            Set it, from a signal handler or another thread, to stop at a checkpoint.
        extend
            Stage name to its new total duration in ps; the stage goes on from its end.
        settings
            How the run is kept, see :class:`~mlmd.protocol.settings.RunSettings`.

        Returns
        -------
        Run
            The finished run.

        Raises
        ------
        InputError
            If something given cannot be used, or the directory holds another run.
        StageFailedError
            If stages failed, after those that do not start from them; the same call tries again.
        StoppedError
            If it was stopped or the disk is full; the same call goes on.
        """
        return run_protocol(
            self,
            atoms,
            calculator,
            Path(directory),
            seed=seed,
            progress=progress,
            stop=stop,
            extend=extend or {},
            settings=settings,
        )
