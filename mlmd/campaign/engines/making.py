"""The executor that an engine is: made when a campaign begins, and again where it breaks."""

from __future__ import annotations

import functools
import importlib.util
import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from mlmd.campaign.engines.jobs import workers_of_a_node
from mlmd.campaign.engines.settings import LOCAL, SCHEDULERS
from mlmd.campaign.pool import LocalPool, half_of_processors
from mlmd.errors import InputError

if TYPE_CHECKING:
    from mlmd.campaign.plan import Campaign

PACKAGES = {
    "parsl": ("parsl", "mlmd[campaign]"),
    "dask": ("distributed", "distributed"),
    "executorlib": ("executorlib", "executorlib"),
    "mpi": ("mpi4py", "mpi4py"),
}
"""What each engine imports, and what pip is told."""


def executors_of(campaign: Campaign) -> Callable[[], Executor]:
    """Return what makes the executor of a campaign.

    Raises
    ------
    InputError
        If its package is not installed, or the commands of the scheduler are not here.
    """
    engine, workers = campaign.engine, campaign.workers
    if engine.name == LOCAL:
        return functools.partial(LocalPool, workers, workers_per_gpu=campaign.workers_per_gpu)
    package, asked = PACKAGES[engine.name]
    if importlib.util.find_spec(package) is None:
        raise InputError(
            f"engine {engine.name} needs the package '{package}'; install it with: "
            f"pip install '{asked}'"
        )
    if engine.scheduler is not None and shutil.which(SCHEDULERS[engine.scheduler]) is None:
        raise InputError(
            f"scheduler {engine.scheduler} has no command {SCHEDULERS[engine.scheduler]} here; "
            "start the campaign where jobs are given to it"
        )
    return functools.partial(_make, campaign)


def workers_on_node(campaign: Campaign) -> int:
    """Return how many processes work at a time on this machine, or on each node of an engine."""
    engine = campaign.engine
    if engine.name == LOCAL:
        return LocalPool(campaign.workers, workers_per_gpu=campaign.workers_per_gpu).workers
    if engine.scheduler is None:
        return engine.workers_per_node or _workers_here(campaign)
    return workers_of_a_node(engine, campaign.workers_per_gpu)


def _workers_here(campaign: Campaign) -> int:
    return campaign.workers or half_of_processors()


def _make(campaign: Campaign) -> Executor:
    # Each imports its package.
    from mlmd.campaign.engines.others import dask_pool, executorlib_pool, mpi_pool
    from mlmd.campaign.engines.pilots import PilotPool

    engine = campaign.engine
    here = _workers_here(campaign)
    if engine.name == "parsl":
        threads = max(spec.threads for spec in campaign.calculators)
        return PilotPool(engine, campaign.folder, workers_on_node(campaign), threads)
    if engine.name == "dask":
        return dask_pool(here, engine.address)
    return executorlib_pool(here) if engine.name == "executorlib" else mpi_pool()
