"""A scheduler of our own, real and on this machine: Debian's Slurm with one node on loopback."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
CONFIGURATION = """\
ClusterName=mlmd
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmctldPort={controller}
SlurmdPort={node}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurmError(Exception):
    """Why there is none here."""


@contextlib.contextmanager
def running_slurm() -> Iterator[Path]:
    """Start one; the environment knows of it while the block runs. Gives its folder."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])  # where Debian has the daemons
    missing = [name for name in COMMANDS if shutil.which(name, path=path) is None]
    if missing:
        raise NoSlurmError(f"{', '.join(missing)} not installed (slurm-wlm, munge)")
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # munged wants its socket to be reached
        daemons: list[subprocess.Popen] = []
        before = dict(os.environ)
        os.environ["PATH"] = path
        try:
            _start(folder, daemons)
            yield folder
        finally:
            with contextlib.suppress(Exception):
                command = ["scancel", "--user", getpass.getuser()]
                subprocess.run(command, timeout=20, check=False)
                _until(lambda: not queue(), 20)
            for daemon in reversed(daemons):
                daemon.send_signal(signal.SIGTERM)
            for daemon in reversed(daemons):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    daemon.wait(20)
                daemon.kill()
                daemon.wait()
            os.environ.clear()
            os.environ.update(before)


def queue() -> list[str]:
    """Jobs of all states that the controller has, one a line: number, state."""
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%i %t"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def _start(folder: Path, daemons: list[subprocess.Popen]) -> None:
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    controller, node = _free_ports(2)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            user=getpass.getuser(),
            folder=folder,
            controller=controller,
            node=node,
        )
    )
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    files = {"socket": "socket", "key-file": "key", "log-file": "log", "pid-file": "pid"}
    options = [f"--{option}={folder}/munge.{file}" for option, file in files.items()]
    for command in (
        ["munged", "--foreground", "--force", *options, f"--seed-file={folder}/munge.seed"],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D"],
    ):
        with (folder / f"{command[0]}.out").open("wb") as log:
            daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
        if command[0] == "munged":
            _until((folder / "munge.socket").exists, 10)
    state = ["sinfo", "--noheader", "--format=%t"]

    def idle() -> bool:
        done = subprocess.run(state, capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.strip() == "idle"

    if not _until(idle, 30):
        said = [path.read_text()[-500:] for path in sorted(folder.glob("*.out"))]
        raise NoSlurmError(f"it does not start: {' | '.join(said)}")


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _until(true, timeout_s: float) -> bool:
    end = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True
