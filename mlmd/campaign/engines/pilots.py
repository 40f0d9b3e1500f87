"""Jobs of a scheduler that work through tasks until their walltime, by Parsl."""

from __future__ import annotations

import logging
import os
import socket
import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.campaign.engines.ending import grace_s
from mlmd.campaign.engines.hub import COMMAND
from mlmd.campaign.engines.jobs import provider
from mlmd.campaign.engines.relay import Relay
from mlmd.campaign.pool import TASKS_PER_WORKER
from mlmd.errors import InputError, StoppedError

if TYPE_CHECKING:
    from mlmd.campaign.engines.settings import EngineSettings

HEARTBEAT_S = 15
"""Between signs of life of a job: how long a worker that died goes unseen, at most."""
LOST_AFTER_S = 120
"""Without one, after which a job has gone: longer than any pause of a network."""
SCALED_EVERY_S = 5
IDLE_S = 60.0
"""After which a job without a task is given back."""
LOOK_EVERY_S = 0.2
NEXT_TO_NOTHING = 0.001


class PilotPool(Relay):
    """An executor whose workers live in jobs of a scheduler, which Parsl starts and replaces.

    Parameters
    ----------
    settings
        Of an engine ``parsl``.
    folder
        Of the campaign: what Parsl writes is in its ``parsl``.
    workers_per_node
        Processes in each job.
    threads
        Of each of them.
    """

    def __init__(
        self, settings: EngineSettings, folder: Path, workers_per_node: int, threads: int = 1
    ) -> None:
        from parsl.concurrent import ParslPoolExecutor
        from parsl.config import Config
        from parsl.dataflow.dflow import DataFlowKernel
        from parsl.executors import HighThroughputExecutor
        from parsl.jobs.error_handlers import windowed_error_handler

        # What it says of a task that was lost, the campaign says in a line.
        logging.getLogger("parsl").propagate = False
        usable_s = int(settings.walltime_s - grace_s(settings.walltime_s))
        self._jobs = HighThroughputExecutor(
            label="jobs",
            provider=provider(settings, workers_per_node, threads),
            address=settings.address,
            interchange_launch_cmd=COMMAND,
            max_workers_per_node=workers_per_node,
            cores_per_worker=NEXT_TO_NOTHING,  # the number of workers is told
            heartbeat_period=HEARTBEAT_S,
            heartbeat_threshold=LOST_AFTER_S,
            drain_period=usable_s if settings.walltime_s else None,
            block_error_handler=windowed_error_handler,  # three jobs in a row that did not start
        )
        own = f"{socket.gethostname()}-{os.getpid()}-{time.time_ns()}"
        # Not the one of `parsl.load`, which is the process's: two campaigns can have one each.
        kernel = DataFlowKernel(
            Config(
                executors=[self._jobs],
                run_dir=str(folder.absolute() / "parsl" / own),
                strategy="htex_auto_scale",
                strategy_period=SCALED_EVERY_S,
                max_idletime=IDLE_S,
                initialize_logging=False,
                usage_tracking=0,
                retries=0,  # they are the campaign's, by kind
            )
        )
        super().__init__(
            TASKS_PER_WORKER * workers_per_node * settings.nodes,
            ParslPoolExecutor(dfk=kernel).submit,
            lambda idle: kernel.cleanup(),
        )

    def stop(self) -> None:
        """Wait for what the jobs are doing, and give back what none has begun.

        Tasks that are to stop return soon; jobs take those that wait, which return at once. Without
        jobs nothing is being done.
        """
        while self._open and any(one["tasks"] for one in self._jobs.connected_managers()):
            wait_for(set(self._open), timeout=LOOK_EVERY_S)
        self.give_back()

    def error_of(self, given: Future[Any]) -> BaseException | None:
        """Return why a task failed; where no job starts at all, that."""
        error = super().error_of(given)
        return self._broken() if error is not None and self._jobs.bad_state_is_set else error

    def _broken(self) -> Exception:
        """Return why there are no jobs, as the user is to read it."""
        first = str(self._jobs.executor_exception).partition("Error 2:")[0]
        said = " ".join(first.removeprefix("Error 1:").split())
        if self._jobs.connected_blocks():
            return StoppedError(f"three jobs in a row did not start: {said}; the same call goes on")
        return InputError(f"no job of the engine starts: {said}")
