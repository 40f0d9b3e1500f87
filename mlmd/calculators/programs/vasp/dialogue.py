"""A VASP process that stays: positions in by standard input, one ionic step at a time.

The dialogue of IBRION = 11 (https://vasp.at/wiki/INTERACTIVE): VASP computes the POSCAR, prints
forces and energy, then ``POSITIONS: reading from stdin``, and reads fractional coordinates, one
atom a line. The numbers on standard output are short; the results are read from the OUTCAR.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn, cast

from mlmd.calculators.programs.process import end_program, exit_reason, output_ends, start_program
from mlmd.errors import CalculatorError

logger = logging.getLogger(__name__)

PROMPT = b"POSITIONS: reading from stdin"
# To write a large WAVECAR takes a while; a process that has hung must not hold up the caller.
CLOSING_LIMIT_S = 60.0
# The prompt may come before the last lines of the OUTCAR are on a network file system.
FLUSH_LIMIT_S = 5.0
OUTCAR_END = b"energy(sigma->0)"


class Dialogue:
    """One VASP process, from its start to its end.

    Parameters
    ----------
    command
        Program and arguments.
    directory
        Folder with its input.
    timeout_s
        Wall time for one ionic step; no limit where None.
    threads
        ``OMP_NUM_THREADS`` where the user has set none.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, timeout_s: float | None, threads: int
    ) -> None:
        self._directory, self._timeout_s = directory, timeout_s
        pipe = subprocess.PIPE
        self._process = start_program(
            command, directory, name="vasp", threads=threads, stdin=pipe, stdout=pipe
        )
        self._stdin = cast(IO[bytes], self._process.stdin)
        self._stdout = cast(IO[bytes], self._process.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._log = (directory / "vasp.out").open("wb")
        self._read_from = 0
        self.n_steps = 0

    @property
    def pid(self) -> int:
        """Process number of the program."""
        return self._process.pid

    def step(self, coordinates: str = "") -> str:
        """Send coordinates, none for the POSCAR's, and return the step's stretch of OUTCAR.

        Raises
        ------
        CalculatorError
            If VASP ends, or does not ask for the next positions in time; it is not running
            any more then.
        """
        try:
            self._exchange(coordinates.encode(), self._timeout_s)
            text = self._new_outcar()
        except BaseException:
            self.kill()
            raise
        self.n_steps += 1
        return text

    def close(self, coordinates: str) -> bool:
        """End VASP in its own way, so that it writes WAVECAR; tell whether it did.

        Parameters
        ----------
        coordinates
            The last ones again: VASP looks for STOPCAR only after it has read some.
        """
        with contextlib.suppress(OSError):
            (self._directory / "STOPCAR").write_text("LABORT = .TRUE.\n")
        try:
            until = time.monotonic() + CLOSING_LIMIT_S
            while self._process.poll() is None:  # it may ask once more before it stops
                self._exchange(coordinates.encode(), max(0.0, until - time.monotonic()))
        except CalculatorError as error:
            if self._process.poll() != 0:
                logger.info("VASP was not ended in its own way: %s", error)
        ended = self._process.poll() == 0
        self.kill()
        with contextlib.suppress(OSError):
            (self._directory / "STOPCAR").unlink(missing_ok=True)
        return ended

    def kill(self) -> None:
        """End the process and all of its group now; harmless where it has ended."""
        end_program(self._process)
        for stream in (self._stdin, self._stdout, self._log):
            with contextlib.suppress(OSError):
                stream.close()

    def _exchange(self, data: bytes, limit_s: float | None) -> None:
        """Write `data` and read standard output up to the next prompt, whichever can go on."""
        until = None if limit_s is None else time.monotonic() + limit_s
        seen = b""
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdout, selectors.EVENT_READ)
            if data:
                ready.register(self._stdin, selectors.EVENT_WRITE)
            while data or PROMPT not in seen:
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    self._fail(f"gave no forces within {limit_s:g} s and was killed", kill=True)
                for key, _ in ready.select(left):
                    if key.fileobj is self._stdin:
                        data = self._write(data)
                        if not data:
                            ready.unregister(self._stdin)
                    else:
                        seen = (seen + self._read())[-4096:]

    def _write(self, data: bytes) -> bytes:
        try:
            return data[os.write(self._stdin.fileno(), data) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            return b""  # what it said last is still to be read

    def _read(self) -> bytes:
        try:
            new = os.read(self._stdout.fileno(), 65536)
        except BlockingIOError:
            return b""
        self._log.write(new)
        self._log.flush()
        if not new:
            try:
                code = self._process.wait(CLOSING_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._fail("closed its output but did not end, and was killed", kill=True)
            self._fail(f"{exit_reason(code)} before it gave forces", kill=False)
        return new

    def _fail(self, reason: str, *, kill: bool) -> NoReturn:
        if kill:
            end_program(self._process)
        raise CalculatorError(
            f"vasp (interactive) {reason}; {output_ends(self._directory, 'vasp')}"
        )

    def _new_outcar(self) -> str:
        """Return what was added to the OUTCAR since the step before."""
        until = time.monotonic() + FLUSH_LIMIT_S
        while True:
            new = b""
            with (
                contextlib.suppress(FileNotFoundError),
                (self._directory / "OUTCAR").open("rb") as file,
            ):
                file.seek(self._read_from)
                new = file.read()
            summary = new.find(b"FREE ENERGIE OF THE ION-ELECTRON SYSTEM")
            end = new.find(b"\n", new.find(OUTCAR_END, summary)) if summary >= 0 else -1
            if summary >= 0 and OUTCAR_END in new[summary:] and end >= 0:
                self._read_from += len(new)
                return new.decode("ascii", "replace")
            if time.monotonic() > until:
                raise CalculatorError(
                    "vasp (interactive) asks for positions but its OUTCAR is not complete: this "
                    "build keeps it in memory; use the option mode: single"
                )
            time.sleep(0.02)
