"""How many steps lie between two that VASP prints, where it does not print all.

From the table "Output interval options" of https://www.vasp.at/wiki/index.php/ML_OUTBLOCK:
``NBLOCK`` spaces the positions of XDATCAR and the tables of OUTCAR, never the energies of OUTCAR
nor vasprun.xml; ``ML_OUTBLOCK`` acts in the prediction-only mode of a machine-learned force field,
up to VASP 6.4.2 as ``NBLOCK`` does, from 6.4.3 on everything alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

ALL_SPACED = (6, 4, 3)
PREDICTION_ONLY = "2"


@dataclass
class OutputSettings:
    """What a file says of how often it was written, as far as it does.

    Attributes
    ----------
    version : tuple of int
        VASP's.
    mode, istart : str
        ``ML_MODE`` in lower case; ``ML_ISTART``, which it stands for.
    ml_outblock, nblock : int
        ``ML_OUTBLOCK``, ``NBLOCK``.
    """

    version: tuple[int, ...] = ()
    mode: str = ""
    istart: str = ""
    ml_outblock: int = 1
    nblock: int = 1

    def take_version(self, text: str) -> None:
        """Read ``6.4.3`` at the beginning of a text."""
        if found := re.match(r"\s*(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text):
            self.version = tuple(int(number or 0) for number in found.groups())

    @property
    def interval(self) -> int:
        """The longest interval in steps that was asked for."""
        return max(self.ml_outblock, self.nblock, 1)

    @property
    def all_spaced(self) -> bool:
        """Whether everything is written at that interval, so that nothing tells the steps between.

        Not so certain where it is not.
        """
        predicts = self.mode == "run" or (not self.mode and self.istart == PREDICTION_ONLY)
        return predicts and self.ml_outblock > 1 and self.version >= ALL_SPACED

    @property
    def doubt(self) -> str:
        """What makes it uncertain how many steps lie between two frames, for a message."""
        version = ".".join(map(str, self.version)) or "unknown"
        return (
            f"how many steps lie between its frames is not certain (ML_OUTBLOCK = "
            f"{self.ml_outblock}, NBLOCK = {self.nblock}, VASP {version}, and the steps that are "
            "printed); its times are not taken"
        )

    @property
    def vasprun_interval(self) -> int | None:
        """Steps between two of a vasprun.xml; None where that is not certain."""
        if self.ml_outblock <= 1:
            return 1
        return self.interval if self.all_spaced else None
