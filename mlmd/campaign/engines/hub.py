"""The process of Parsl between a client and its workers, which ends when its client does.

Parsl's own goes on without the client, and with it the jobs, idle until their walltime. It is also
in the client's group of processes, where Ctrl-C would end it before the tasks have stopped.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time

COMMAND = (sys.executable, "-m", __name__)


def _end_with(client: int) -> None:
    while os.getppid() == client:
        time.sleep(1.0)
    os._exit(1)


def _main() -> None:
    from parsl.executors.high_throughput.interchange import Interchange

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    Interchange(**pickle.load(sys.stdin.buffer)).start()


if __name__ == "__main__":
    _main()
