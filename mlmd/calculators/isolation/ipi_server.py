"""Server side of the i-PI protocol: hands positions to one client, takes forces from it.

Messages are headers of 12 bytes and raw arrays in atomic units: ``STATUS`` is answered by
``NEEDINIT``, ``READY`` or ``HAVEDATA``; ``POSDATA`` carries cell, inverse cell and positions;
``GETFORCE`` is answered by ``FORCEREADY`` with energy, forces, virial and free bytes (Kapil et
al., Comput. Phys. Commun. 236, 214 (2019), doi:10.1016/j.cpc.2018.09.020). Species are never
sent. A client that cannot compute a virial sends zeros, which cannot be told from no stress.
"""

from __future__ import annotations

import os
import socket
import struct
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.units import Bohr, Hartree

from mlmd.arrays import FloatArray
from mlmd.errors import CalculatorError, InputError
from mlmd.temporary import PREFIXES, TemporaryFolder

# Clients put this before the name that they are given; it is fixed in their sources.
PREFIX = "/tmp/ipi_"
HEADER_BYTES = 12
POLL_S = 0.1
# The kernel's limit is 108; clients in Fortran and C cut or overrun before that.
LONGEST_PATH = 99
# Where there is none (macOS), the option that is set anyhow.
QUICK_ACKNOWLEDGE: int = getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY)


@dataclass(frozen=True)
class IpiForces:
    """What one force call returns.

    Attributes
    ----------
    energy_eV
        Potential energy.
    forces_eV_A
        Shape (atoms, 3), in the order in which the positions were sent.
    virial_eV
        Shape (3, 3); the stress in eV/A^3 with ASE's sign is ``-virial_eV / volume``.
    extra
        Free bytes of the client.
    """

    energy_eV: float
    forces_eV_A: FloatArray
    virial_eV: FloatArray
    extra: bytes


class IpiServer:
    """Listens on a socket for one client at a time.

    Parameters
    ----------
    path
        File of a Unix-domain socket, under 100 characters; where None, in a new folder that
        only this user may enter, under the prefix that clients expect.
    tcp
        Listen on a free port of the loopback interface instead. Any user of the machine can
        connect to it.

    Attributes
    ----------
    address
        Path of the socket, or the host.
    name
        The address as clients want it: without their own prefix.
    port
        Port, None for a Unix-domain socket.

    Raises
    ------
    InputError
        If the path is too long, exists, or cannot be bound.
    """

    def __init__(self, path: Path | None = None, tcp: bool = False) -> None:
        self._client: socket.socket | None = None
        self.port: int | None = None
        folder: TemporaryFolder | None = None
        if tcp:
            self.address = "127.0.0.1"
            self._listener = socket.socket(socket.AF_INET)
        else:
            if path is None:
                folder = TemporaryFolder("", str(Path(PREFIX).parent), PREFIXES[1])
                path = folder.path / "s"
            self.address = str(path)
            if len(os.fsencode(self.address)) > LONGEST_PATH:
                raise InputError(
                    f"path of the socket has {len(os.fsencode(self.address))} bytes; expected at "
                    f"most {LONGEST_PATH}: '{self.address}'"
                )
            self._listener = socket.socket(socket.AF_UNIX)
        self.name = self.address.removeprefix(PREFIX)
        try:
            self._listener.bind((self.address, 0) if tcp else self.address)
        except OSError as error:
            self._listener.close()
            raise InputError(f"no socket at '{self.address}': {error.strerror}") from error
        if tcp:
            self.port = self._listener.getsockname()[1]
        self._listener.listen(1)
        # Removes the file also when the owner is collected without close().
        self._remove = weakref.finalize(
            self, _remove, self._listener, None if tcp else self.address, folder
        )

    def accept(self, timeout_s: float | None, alive: Callable[[], bool]) -> None:
        """Wait for a client; one that was connected before is let go.

        Parameters
        ----------
        timeout_s
            Wall time to wait; no limit where None.
        alive
            Tells whether the client's process still runs; asked while waiting.

        Raises
        ------
        CalculatorError
            If nobody came in time, or the process ended.
        """
        self._drop()
        wait = _Wait(timeout_s, alive)
        while True:
            self._listener.settimeout(wait.slice_s())
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                wait.check("connect")
            except OSError as error:
                raise CalculatorError(f"the socket server is closed ({error})") from error
            else:
                break
        if self.port is not None:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client

    def force_call(
        self,
        positions_A: FloatArray,
        cell_A: FloatArray,
        *,
        timeout_s: float | None,
        alive: Callable[[], bool],
        init: bytes = b"",
    ) -> IpiForces:
        """Send a structure, return what the client computed for it.

        Parameters
        ----------
        positions_A
            Shape (atoms, 3).
        cell_A
            Shape (3, 3), lattice vectors in rows.
        timeout_s, alive
            As for :meth:`accept`, for the whole call.
        init
            Sent when the client says that it needs to be initialised.

        Raises
        ------
        CalculatorError
            If the time is over, the connection closed, or the answer is not finite or for
            another number of atoms. Unless it was only not finite the client is let go: a new
            one has to be accepted.
        """
        if self._client is None:
            raise CalculatorError("no client is connected to the socket server; accept one first")
        positions_A = np.ascontiguousarray(positions_A, dtype=np.float64)
        wait = _Wait(timeout_s, alive)
        try:
            result = self._exchange(positions_A, np.asarray(cell_A, np.float64), wait, init)
        except BaseException:
            self._drop()
            raise
        finite = np.isfinite(result.forces_eV_A).all() and np.isfinite(result.virial_eV).all()
        if not (finite and np.isfinite(result.energy_eV)):
            raise CalculatorError(
                "the client sent an energy, forces or a virial that are not finite; look at the "
                "structure and at its output"
            )
        return result

    def close(self) -> None:
        """Send EXIT, close the sockets, remove the socket's file."""
        if self._client is not None:
            try:
                self._client.settimeout(POLL_S)
                self._client.sendall(_header("EXIT"))
            except OSError:
                pass  # the client has gone already
        self._drop()
        self._remove()

    def _exchange(
        self, positions_A: FloatArray, cell_A: FloatArray, wait: _Wait, init: bytes
    ) -> IpiForces:
        self._send(_header("STATUS"), wait)
        status = self._header(wait)
        if status == "NEEDINIT":
            # Clients in C and Fortran cannot tell zero bytes from a closed connection.
            payload = init or b"\0"
            self._send(_header("INIT") + struct.pack("=ii", 0, len(payload)) + payload, wait)
            self._send(_header("STATUS"), wait)
            status = self._header(wait)
        if status != "READY":
            raise CalculatorError(f"the client said '{status}'; expected READY")
        n_atoms = len(positions_A)
        try:
            inverse = np.linalg.inv(cell_A)
        except np.linalg.LinAlgError as error:
            raise InputError("the cell has no volume; give three lattice vectors") from error
        message = (
            _header("POSDATA"),
            (cell_A.T / Bohr).tobytes(),
            (inverse.T * Bohr).tobytes(),
            struct.pack("=i", n_atoms),
            (positions_A / Bohr).tobytes(),
            # Answered when the forces are there.
            _header("STATUS"),
        )
        self._send(b"".join(message), wait)
        status = self._header(wait)
        if status != "HAVEDATA":
            raise CalculatorError(f"the client said '{status}'; expected HAVEDATA")
        self._send(_header("GETFORCE"), wait)
        status = self._header(wait)
        if status != "FORCEREADY":
            raise CalculatorError(f"the client said '{status}'; expected FORCEREADY")
        energy, n_sent = struct.unpack("=di", self._receive(12, wait))
        if n_sent != n_atoms:
            raise CalculatorError(f"the client sent forces of {n_sent} atoms; expected {n_atoms}")
        body = self._receive(8 * (3 * n_atoms + 9) + 4, wait)
        numbers = np.frombuffer(body, count=3 * n_atoms + 9)
        (n_extra,) = struct.unpack_from("=i", body, numbers.nbytes)
        if n_extra < 0:
            raise CalculatorError(f"the client announced {n_extra} free bytes")
        return IpiForces(
            energy_eV=energy * Hartree,
            forces_eV_A=numbers[: 3 * n_atoms].reshape(-1, 3) * (Hartree / Bohr),
            virial_eV=numbers[3 * n_atoms :].reshape(3, 3).T * Hartree,
            extra=bytes(self._receive(n_extra, wait)),
        )

    def _send(self, message: bytes, wait: _Wait) -> None:
        assert self._client is not None
        left = memoryview(message)
        while left:
            self._client.settimeout(wait.slice_s())
            try:
                left = left[self._client.send(left) :]
            except TimeoutError:
                wait.check("take the positions")
            except OSError as error:
                raise _closed() from error

    def _receive(self, n_bytes: int, wait: _Wait) -> bytearray:
        assert self._client is not None
        buffer = bytearray(n_bytes)
        left = memoryview(buffer)
        while left:
            self._client.settimeout(wait.slice_s())
            if self.port is not None:
                # Clients send small pieces and wait for each to be acknowledged; Linux delays
                # that by 40 ms unless told before every reading.
                self._client.setsockopt(socket.IPPROTO_TCP, QUICK_ACKNOWLEDGE, 1)
            try:
                n_read = self._client.recv_into(left)
            except TimeoutError:
                wait.check("answer")
                continue
            except OSError as error:
                raise _closed() from error
            if n_read == 0:
                raise _closed()
            left = left[n_read:]
        return buffer

    def _header(self, wait: _Wait) -> str:
        return self._receive(HEADER_BYTES, wait).decode("ascii", "replace").strip(" \0")

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class _Wait:
    """The deadline of one call, and the life of the process that it waits for."""

    def __init__(self, timeout_s: float | None, alive: Callable[[], bool]) -> None:
        self._timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        self._alive = alive

    def slice_s(self) -> float:
        """Return how long to block before looking around."""
        if self._end is None:
            return POLL_S
        # Never zero: that would mean not to block at all.
        return min(POLL_S, max(self._end - time.monotonic(), 1e-4))

    def check(self, what: str) -> None:
        """Raise CalculatorError where waiting on is of no use."""
        if self._end is not None and time.monotonic() >= self._end:
            raise CalculatorError(
                f"the client did not {what} within {self._timeout_s:g} s; give a larger "
                "timeout_s, or look at its output"
            )
        if not self._alive():
            raise CalculatorError(f"the client's process ended; expected it to {what}")


def _header(text: str) -> bytes:
    return text.encode("ascii").ljust(HEADER_BYTES)


def _closed() -> CalculatorError:
    return CalculatorError("the client closed the connection; look at its output")


def _remove(listener: socket.socket, address: str | None, folder: TemporaryFolder | None) -> None:
    listener.close()
    if address is not None:
        Path(address).unlink(missing_ok=True)
    if folder is not None:
        folder.remove()
