"""A VASP process that stays: positions in by standard input, one ionic step at a time.

The dialogue of IBRION = 11 (https://vasp.at/wiki/INTERACTIVE): VASP computes the POSCAR, prints
forces and energy, then ``POSITIONS: reading from stdin``, and reads fractional coordinates, one
atom a line. The numbers on standard output are short; the results are read from the OUTCAR.
"""

from __future__ import annotations

import contextlib
import logging
import time

from mlmd.calculators.programs.dialogue import ENDING_LIMIT_S, Dialogue
from mlmd.calculators.programs.process import Program, written_since
from mlmd.calculators.programs.vasp.files import Layout, mark_finished
from mlmd.calculators.programs.vasp.settings import INTERACTIVE_STEPS
from mlmd.errors import CalculatorError

logger = logging.getLogger(__name__)

PROMPT = b"POSITIONS: reading from stdin"
# The prompt may come before the last lines of the OUTCAR are on a network file system.
FLUSH_LIMIT_S = 5.0
OUTCAR_END = b"energy(sigma->0)"


class VaspDialogue(Dialogue):
    """One VASP process, from its start to its end; its first step is that of the POSCAR."""

    def __init__(self, program: Program) -> None:
        super().__init__(program, keeps_output=True)
        self._layout: Layout | None = None
        self._read_from = 0
        self._n_steps = 0

    def can_go_on(self, layout: Layout) -> bool:
        """Tell whether only positions differ, and VASP will ask for them.

        It does not ask again after its last step; it is ended before, with its WAVECAR.
        """
        left = self._n_steps < INTERACTIVE_STEPS - 1
        return left and self._layout is not None and layout.continues(self._layout)

    def step(self, layout: Layout) -> str:
        """Send coordinates, none for those of the POSCAR, and return the step's part of OUTCAR.

        Raises
        ------
        CalculatorError
            If VASP ends, or does not ask for the next positions in time.
        """
        self.begin()
        self.exchange(layout.coordinates().encode() if self._n_steps else b"", PROMPT)
        text = self._new_outcar()
        self._layout = layout
        self._n_steps += 1
        return text

    def finish(self) -> None:
        """End VASP in its own way, so that it writes WAVECAR.

        The last coordinates are sent again: VASP looks for STOPCAR only after it has read some.
        """
        stopcar = self.program.folder / "STOPCAR"
        with contextlib.suppress(OSError):
            stopcar.write_text("LABORT = .TRUE.\n")
        self.begin(ENDING_LIMIT_S)
        coordinates = "" if self._layout is None else self._layout.coordinates()
        try:
            while self.process.poll() is None:  # it may ask once more before it stops
                self.exchange(coordinates.encode(), PROMPT)
        except CalculatorError as error:
            if self.process.poll() != 0:
                logger.info("VASP was not ended in its own way: %s", error)
        ended = self.process.poll() == 0
        self.kill()
        with contextlib.suppress(OSError):
            stopcar.unlink(missing_ok=True)
        if ended and self._layout is not None:
            mark_finished(self.program.folder, self._layout)

    def _new_outcar(self) -> str:
        """Return what was added to the OUTCAR since the step before."""
        until = time.monotonic() + FLUSH_LIMIT_S
        while True:
            new = written_since(self.program.folder / "OUTCAR", self._read_from)
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
