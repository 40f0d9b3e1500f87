"""Whether a trajectory moves as its temperature lets it."""

from __future__ import annotations

import numpy as np

from mlmd.errors import InputError
from mlmd.findings import Finding
from mlmd.trajectory.joining.speeds import CODE, SAMPLES, WRONG_TIME, fastest_of
from mlmd.trajectory.trajectory import Trajectory

# Times the thermostat's temperature. A run that is cooled down from a melt, or one whose atoms are
# given smaller masses, stays below the first; an interval wrong by a factor of four is the second.
HOT, IMPOSSIBLE = 3.0, 10.0


def refuse_impossible_speed(trajectory: Trajectory, temperature_K: float | None) -> list[Finding]:
    """Return what there is to say of a trajectory whose motion is to be measured.

    Parameters
    ----------
    trajectory
        With its unwrapped positions.
    temperature_K
        Of its thermostat, where it is known.

    Raises
    ------
    InputError
        If the times were given and its atoms move much faster than at any temperature, or they
        move much faster than at that of the thermostat.
    """
    for finding in trajectory.findings:
        if finding.code == CODE and finding.severity == "invalid":
            raise InputError(finding.message)
    if temperature_K is None or len(trajectory) < 2:
        return []
    at = np.unique(np.linspace(0, len(trajectory) - 2, SAMPLES).astype(int))
    steps = trajectory.positions_A[at + 1] - trajectory.positions_A[at]
    squares = (np.asarray(steps, dtype=float) ** 2).sum(axis=2)
    numbers = np.asarray(trajectory.numbers)
    each = np.stack([squares[:, numbers == one].mean(axis=1) for one in np.unique(numbers)], axis=1)
    apart_fs = trajectory.time_fs[at + 1] - trajectory.time_fs[at]
    fastest = fastest_of(each, apart_fs, numbers, trajectory.masses_u)
    if fastest is None:
        return []
    # The kinetic energy of few atoms strays: five standard deviations of chi squared.
    strays = 1.0 + 5.0 * np.sqrt(2.0 / (3.0 * fastest.n_atoms))
    text = f"{fastest}, and the temperature is {temperature_K:g} K: {WRONG_TIME}"
    if fastest.temperature_K > IMPOSSIBLE * temperature_K * strays:
        raise InputError(
            f"{trajectory.source}: {text}, or another temperature (or none) by --temperature-K"
        )
    if fastest.temperature_K > HOT * temperature_K * strays:
        return [Finding(CODE, "doubt", text, fastest.numbers)]
    return []
