"""What the laws over the temperatures give at another: D and conductivity, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmd.analysis.activation.arrhenius import Arrhenius, ArrheniusValue, arrhenius
from mlmd.analysis.transport import ConductivityValue
from mlmd.checks import positive_number
from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.plain import to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmd.analysis.stage import StageDiffusivity


@dataclass(frozen=True)
class Extrapolation:
    r"""What the Arrhenius laws give at a temperature at which nothing was measured.

    The conductivity is that of laws of :math:`\sigma T`, which as D follows
    :math:`\exp(-E_a / k_B T)`, fitted to the stages that have one.

    Attributes
    ----------
    temperature_K : float
        Of all that follows.
    species : mapping of str to (ArrheniusValue or None)
        Diffusivities; None where there is no law.
    nernst_einstein, full : ConductivityValue or None
        None where fewer than two temperatures have one, or no oxidation states were given.
    findings : tuple of Finding
        From where to where each number was extrapolated, and what could not be had.
    """

    temperature_K: float
    species: Mapping[str, ArrheniusValue | None]
    nernst_einstein: ConductivityValue | None
    full: ConductivityValue | None
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain types for JSON; the findings stand in the summary."""
        return {
            "temperature_K": self.temperature_K,
            "species": to_plain(self.species),
            "nernst_einstein": to_plain(self.nernst_einstein),
            "full": to_plain(self.full),
        }


def extrapolated(
    stages: Mapping[str, StageDiffusivity],
    laws: Mapping[str, Arrhenius | None],
    temperature_K: float,
) -> Extrapolation:
    """Return what the laws give at a temperature.

    Raises
    ------
    InputError
        If the temperature is not positive.
    """
    T_K = positive_number("extrapolate_K", temperature_K, "K")
    found = {symbol: None if law is None else law.at(T_K) for symbol, law in laws.items()}
    about: list[Finding] = []
    for symbol, law in laws.items():
        about += _about(f"D of {symbol}", T_K, law)
    charged = any(stage.conductivity is not None for stage in stages.values())
    values: dict[str, ConductivityValue | None] = {"nernst_einstein": None, "full": None}
    for name in values if charged else ():
        sigma = _law_of_conductivity(stages, name)
        about += _about(f"conductivity ({name.replace('_', '-')})", T_K, sigma)
        values[name] = None if sigma is None else _conductivity(sigma.at(T_K))
    return Extrapolation(T_K, found, **values, findings=tuple(about))


def _about(what: str, T_K: float, law: Arrhenius | None) -> Iterator[Finding]:
    """Say how far a number lies from what was measured."""
    if law is None:
        text = f"no {what} at {T_K:g} K: there is no law over two temperatures or more"
        yield Finding("not_extrapolated", "invalid", text, {"temperature_K": T_K})
        return
    low, high = float(law.temperatures_K.min()), float(law.temperatures_K.max())
    if not low <= T_K <= high:
        text = f"{what} at {T_K:g} K is extrapolated from {low:g} to {high:g} K"
        numbers = {"temperature_K": T_K, "from_K": low, "to_K": high}
        yield Finding("extrapolated", "doubt", text, numbers)


def _law_of_conductivity(stages: Mapping[str, StageDiffusivity], name: str) -> Arrhenius | None:
    """Fit an Arrhenius law to conductivity times temperature, S K / cm in place of cm^2/s."""
    points: list[tuple[float, ConductivityValue, float]] = []
    for stage in stages.values():
        sigma = stage.conductivity
        value = None if sigma is None else getattr(sigma, name)
        if sigma is None or value is None:
            continue
        df = [sigma.charge.collective.df]
        if name == "nernst_einstein":
            df = [tracer.df for tracer in sigma.charge.tracers.values()]
        points.append((sigma.temperature_K, value, min(df)))
    T_K = [one for one, _, _ in points]
    stderr = [_times(value.stderr_S_cm, T) for T, value, _ in points]
    try:
        return arrhenius(
            T_K,
            [value.S_cm * T for T, value, _ in points],
            stderr,
            df=[df or None for _, _, df in points],
        )
    except InputError:  # fewer than two temperatures, or a value below zero
        return None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _conductivity(sigma_T: ArrheniusValue) -> ConductivityValue:
    """Return the conductivity of what a law gives for it times temperature."""
    T_K, interval = sigma_T.temperature_K, sigma_T.D_interval68_cm2_s
    return ConductivityValue(
        sigma_T.D_cm2_s / T_K,
        None if sigma_T.D_stderr_cm2_s is None else sigma_T.D_stderr_cm2_s / T_K,
        None if interval is None else (interval[0] / T_K, _times(interval[1], 1.0 / T_K)),
    )
