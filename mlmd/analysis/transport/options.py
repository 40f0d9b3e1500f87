"""Keywords that conductivity hands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from mlmd.analysis.diffusion.estimators.options import WeightedOptions
    from mlmd.analysis.transport.charge import ChargeEstimator
    from mlmd.analysis.transport.collective import Reference


class ChargeOptions(TypedDict, total=False):
    """Keywords of :func:`mlmd.analysis.transport.charge.charge_diffusivity`."""

    reference: Reference
    estimator: ChargeEstimator
    fit_ps: tuple[float, float] | None
    window_ps: float | None
    options: WeightedOptions | None
