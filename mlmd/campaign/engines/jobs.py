"""Jobs of a scheduler: what they ask for, what they do first, how many a campaign takes."""

from __future__ import annotations

import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmd.campaign.engines.ending import STOP_AT, grace_s

if TYPE_CHECKING:
    from mlmd.campaign.engines.settings import EngineSettings

MOST_START_S = 60
"""Of a job before its first step: for imports, and for loading a model."""


def workers_of_a_node(settings: EngineSettings, workers_per_gpu: int = 1) -> int:
    """Return how many processes work on a node: as told, one for each GPU, or one."""
    return settings.workers_per_node or settings.gpus_per_node * workers_per_gpu or 1


def jobs_needed(
    settings: EngineSettings, n_tasks: int, hours_per_task: float, workers_per_gpu: int = 1
) -> int:
    """Return how many jobs a campaign takes at most.

    Each does tasks until shortly before its walltime, where what is begun stops at a checkpoint
    and goes on in another: jobs follow from the work and not from the number of tasks. Those of the
    end are not all full, so that there can be one more for each node.
    """
    workers = workers_of_a_node(settings, workers_per_gpu)
    lost_s = grace_s(settings.walltime_s) + min(MOST_START_S, settings.walltime_s / 4)
    full = n_tasks * hours_per_task / (workers * (settings.walltime_s - lost_s) / 3600)
    at_once = min(settings.nodes, math.ceil(n_tasks / workers))
    return max(at_once, math.ceil(full) + at_once - 1)


def first_lines(settings: EngineSettings, threads: int) -> str:
    """Return the lines of shell before the workers: this Python, and what the user wants."""
    own = [f"export PATH={shlex.quote(str(Path(sys.prefix) / 'bin'))}:$PATH"]
    if os.environ.get("PYTHONPATH"):
        own.append(f"export PYTHONPATH={shlex.quote(os.environ['PYTHONPATH'])}")
    own += [f"export {name}={threads}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]
    if settings.walltime_s:
        usable_s = math.floor(settings.walltime_s - grace_s(settings.walltime_s))
        own.append(f"export {STOP_AT}=$(($(date +%s) + {usable_s}))")
    return "\n".join([*own, *settings.commands])


def provider(settings: EngineSettings, workers: int, threads: int) -> Any:
    """Return what starts jobs, Parsl's, for a scheduler or as processes here."""
    from parsl.providers import (
        GridEngineProvider,
        LocalProvider,
        LSFProvider,
        PBSProProvider,
        SlurmProvider,
    )

    how: dict[str, Any] = {
        "init_blocks": 0,
        "min_blocks": 0,
        "max_blocks": settings.nodes,
        "worker_init": first_lines(settings, threads),
    }
    if settings.scheduler is None:
        return LocalProvider(**how)
    options = "\n".join(settings.options)
    how["walltime"] = _clock(settings.walltime_s)
    cores, gpus = workers * threads, settings.gpus_per_node
    if settings.scheduler == "slurm":
        return SlurmProvider(
            partition=settings.partition,
            account=settings.account,
            cores_per_node=cores,
            gpus_per_node=gpus or None,
            exclusive=False,
            scheduler_options=options,
            **how,
        )
    if settings.scheduler == "pbs":
        return PBSProProvider(
            queue=settings.partition,
            account=settings.account,
            cpus_per_node=cores,
            select_options=f"ngpus={gpus}" if gpus else "",
            scheduler_options=options,
            **how,
        )
    if settings.scheduler == "lsf":
        asked = [f'#BSUB -gpu "num={gpus}"'] if gpus else []
        return LSFProvider(
            queue=settings.partition,
            project=settings.account,
            cores_per_block=cores,
            cores_per_node=cores,
            request_by_nodes=False,
            bsub_redirection=True,  # its lines are read from standard input alone
            scheduler_options="\n".join([*asked, *settings.options]),
            **how,
        )
    asked = [f"#$ -P {settings.account}"] if settings.account else []
    asked += [f"#$ -l gpu={gpus}"] if gpus else []
    return GridEngineProvider(
        queue=settings.partition,
        scheduler_options="\n".join([*asked, *settings.options]),
        **how,
    )


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
