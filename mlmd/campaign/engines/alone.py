"""Processes of MPI that are each at a case of their own."""

from __future__ import annotations

import sys


def alone() -> None:
    """Tell ASE that this process is no part of a calculation with others.

    With mpi4py imported it takes all processes of ``mpiexec`` for one: reading and writing
    structures is then done together, and waits for ever for those that are at other cases.
    """
    if "mpi4py" in sys.modules:
        from ase import parallel

        parallel.world.comm = parallel.DummyMPI()
