"""Executors of other packages, as thin as can be."""

from __future__ import annotations

import logging

from mlmd.campaign.engines.relay import Relay
from mlmd.campaign.pool import TASKS_PER_WORKER
from mlmd.errors import InputError

NEVER_BUSY = 1_000_000
"""Processes at a time for executorlib, whose thread turns without rest where all are taken."""


def dask_pool(workers: int, address: str | None) -> Relay:
    """Return workers of Dask: those of a scheduler that runs, or so many processes here."""
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").propagate = False  # what it says, the campaign says
    cluster = None
    if address is None:
        # A task whose worker died is the campaign's to give again.
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address=None,
            )
    try:
        client = Client(address or cluster)
    except OSError as error:
        raise InputError(
            f"there is no scheduler of Dask at {address} ({error}); start one, or leave address out"
        ) from error
    # Not pure: the same task again is another try, and not the result of the first.
    inner = client.get_executor(pure=False, retries=0)

    def close(idle: bool) -> None:
        inner.shutdown(wait=False)
        client.close()
        if cluster is not None:
            cluster.close()

    return Relay(TASKS_PER_WORKER * sum(client.nthreads().values()), inner.submit, close)


def executorlib_pool(workers: int) -> Relay:
    """Return processes here, one for each task, by executorlib."""
    from executorlib import SingleNodeExecutor

    inner = SingleNodeExecutor(max_workers=NEVER_BUSY, hostname_localhost=True)
    return Relay(workers, inner.submit, lambda idle: inner.shutdown(wait=idle, cancel_futures=True))


def mpi_pool() -> Relay:
    """Return the processes that ``mpiexec`` has started beside this one."""
    from mpi4py.futures import MPIPoolExecutor, _core

    # New processes (MPI_Comm_spawn) would be another way; many machines have none.
    if _core.SharedPool is None:
        raise InputError(
            "engine mpi has no processes; start it with: mpiexec -n 5 python -m mpi4py.futures -m "
            "mlmd.cli campaign run FILE (four workers and the client)"
        )
    inner = MPIPoolExecutor(main=False)
    return Relay(
        TASKS_PER_WORKER * inner.num_workers,
        inner.submit,
        lambda idle: inner.shutdown(wait=True, cancel_futures=True),
    )
