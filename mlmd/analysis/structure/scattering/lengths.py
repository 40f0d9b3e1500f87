"""How strongly the elements scatter neutrons and X-rays.

Both come from the package ``periodictable``: bound coherent scattering lengths of the natural
elements (H. Rauch, W. Waschkowski, Landolt-Boernstein I/16A (2000), after V. F. Sears, Neutron
News 3, 26 (1992)), and form factors of the neutral atoms as five Gaussians and a constant
(D. Waasmaier, A. Kirfel, Acta Cryst. A 51, 416 (1995), DOI 10.1107/S0108767394013292), good to
q = 75 1/A, without anomalous dispersion.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from mlmd.checks import choice
from mlmd.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmd.arrays import FloatArray


Radiation = Literal["neutron", "xray"]


def scattering_lengths(
    symbols: Sequence[str], q_1_A: FloatArray, radiation: Radiation
) -> FloatArray:
    """Return b (fm) or f(q) (electrons) of each element, shape (elements, q).

    Raises
    ------
    MissingExtraError
        If ``periodictable`` is not installed.
    InputError
        If the radiation is not known, or an element has no such value.
    """
    choice("radiation", radiation, get_args(Radiation))
    try:
        elements = importlib.import_module("periodictable").elements
    except ImportError as error:
        raise MissingExtraError("periodictable", "scattering") from error
    rows = []
    for symbol in symbols:
        element = elements.symbol(symbol)
        value = element.neutron.b_c if radiation == "neutron" else element.xray.f0(q_1_A)
        if value is None or not np.isfinite(value).all():
            raise InputError(
                f"no {radiation} scattering of {symbol} is known up to {q_1_A.max():g} 1/A; leave "
                "these weights out"
            )
        rows.append(np.broadcast_to(np.asarray(value, dtype=float), q_1_A.shape))
    return np.array(rows)
