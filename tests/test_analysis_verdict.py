"""What a motion is called, and how long a run would have to be to tell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlmd.analysis import diffusivity, judge_motion
from mlmd.analysis.diffusion.gate import MSD_REQUIRED_A2, RELAXATIONS_REQUIRED
from mlmd.analysis.diffusion.relaxation import Relaxation
from mlmd.analysis.diffusion.units import JUMP_LENGTH_A
from mlmd.trajectory import Trajectory

LAG_PS = np.linspace(0.0, 20.0, 201)


@pytest.mark.parametrize(
    ("msd_A2", "n_atoms", "verdict"),
    [
        (6.0 * LAG_PS, 20, "diffusive"),
        (0.3 + 0.0 * LAG_PS, 20, "localised"),
        (0.0 * LAG_PS, 20, "localised"),
        (20.0 * LAG_PS**0.3, 20, "subdiffusive"),
        (0.06 * LAG_PS, 20, "too_short"),
        (1.0 * LAG_PS**2, 20, "too_short"),
        (0.5 * LAG_PS, 1, "too_short"),
    ],
    ids=["walk", "cage", "still", "single file", "slow walk", "flight", "one atom, few jumps"],
)
def test_motions_have_their_names(msd_A2, n_atoms, verdict):
    motion = judge_motion(msd_A2, n_atoms)
    assert motion.verdict == verdict
    assert motion.is_diffusive == (verdict == "diffusive")
    if verdict in ("diffusive", "localised"):
        assert motion.needs_times is None
    elif motion.log_log_slope < 1.5:
        assert motion.needs_times > 1


@pytest.mark.parametrize(("exponent", "n_atoms"), [(1.0, 20), (0.8, 20), (1.0, 1), (1.2, 3)])
def test_a_run_as_long_as_is_said_is_long_enough(exponent, n_atoms):
    """The same law followed for that much longer passes; for a little less it does not."""
    msd_A2 = 0.03 * LAG_PS**exponent
    needs = judge_motion(msd_A2, n_atoms).needs_times
    reached_A2 = float(msd_A2[100])  # half the run
    jumps = (3.43 / 0.96) ** 2 * JUMP_LENGTH_A**2 / n_atoms
    assert needs == pytest.approx((max(MSD_REQUIRED_A2, jumps) / reached_A2) ** (1 / exponent))
    for factor, passes in ((1.001 * needs, True), (0.999 * needs, False)):
        longer = LAG_PS * factor
        assert judge_motion(0.03 * longer**exponent, n_atoms).is_diffusive == passes


def test_diffusion_after_a_cage_needs_the_run_that_is_said():
    """Of c + 6 D t the exponent rises with the lag, of a power law it does not."""
    cage_A2, slope_A2_ps = 6.0, 0.9
    caged = np.where(LAG_PS > 0, cage_A2 + slope_A2_ps * LAG_PS, 0.0)
    motion = judge_motion(caged, 50)
    assert motion.verdict == "too_short"
    longer = LAG_PS * motion.needs_times
    assert judge_motion(np.where(longer > 0, cage_A2 + slope_A2_ps * longer, 0.0), 50).is_diffusive
    still = LAG_PS * 0.8 * motion.needs_times
    again = judge_motion(np.where(still > 0, cage_A2 + slope_A2_ps * still, 0.0), 50)
    assert again.log_log_slope < 0.8
    assert judge_motion(6.0 * LAG_PS**0.6, 50).verdict == "subdiffusive"


@pytest.mark.parametrize(
    ("relaxations", "relative", "verdict"),
    [(100.0, None, "diffusive"), (10.0, None, "too_short"), (10.0, 0.1, "diffusive")],
)
def test_a_run_lasts_many_relaxation_times_or_knows_its_diffusivity(relaxations, relative, verdict):
    relaxed = Relaxation(20.0 / relaxations, relaxations)
    motion = judge_motion(6.0 * LAG_PS, 20, relaxation=relaxed, relative_stderr=relative)
    assert motion.verdict == verdict
    if verdict == "too_short":
        assert motion.needs_times == pytest.approx(RELAXATIONS_REQUIRED / relaxations)


def test_a_diffusivity_says_what_its_motion_is():
    rng = np.random.default_rng(3)
    steps = rng.normal(0.0, 0.02, (1000, 10, 3))

    def walk(positions):
        return Trajectory(
            positions_A=positions,
            cell_A=np.eye(3) * 20.0,
            numbers=np.full(10, 3),
            time_fs=np.arange(len(positions)) * 10.0,
        )

    short = diffusivity(walk(np.cumsum(steps, axis=0)), "Li", drift="none")
    assert (short.verdict, short.is_diffusive, short.D_cm2_s) == ("too_short", False, None)
    times = short.motion.needs_times
    assert short.needs_ps == pytest.approx(times * short.duration_ps)
    assert math.isclose(short.duration_ps, 9.99)
    plain = short.to_dict()
    assert plain["verdict"] == "too_short"
    assert plain["needs_ps"] == short.needs_ps > short.duration_ps
    assert 0.0 <= plain["D_lower_bound_cm2_s"] < plain["D_upper_bound_cm2_s"]
    still = diffusivity(walk(rng.normal(0.0, 0.1, (1000, 10, 3))), "Li", drift="none")
    assert still.verdict == "localised"
    assert still.needs_ps is None
    far = diffusivity(walk(np.cumsum(10 * steps, axis=0)), "Li", drift="none")
    assert far.verdict == "diffusive"
    assert far.D_lower_bound_cm2_s is far.D_upper_bound_cm2_s is None
