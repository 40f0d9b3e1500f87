"""Certainty needs data: a side that is too short leaves the answer open, and is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from exact_motion import argon_motion
from synthetic_motion import vibration

from mlmd import Trajectory, compare
from mlmd.cli.app import run_command_line
from mlmd.findings import Finding

AT_K = 110.0


def vibrating(seed: int, frequency_THz: float, interval_fs: float, frames: int = 400):
    """Atoms about the sites of a crystal at one frequency with damping, cold enough to stay."""
    rng = np.random.default_rng(seed)
    time_ps = np.arange(frames) * interval_fs / 1000.0
    sites = 4.0 * np.indices((3, 3, 3)).reshape(3, -1).T
    phase = rng.uniform(0, 2 * np.pi, (1, 27, 3))
    # The frequency wanders a little, so that the line has a width.
    wander = np.cumsum(vibration(rng, frames, 27, interval_fs / 1000.0, width_A=0.3), axis=0)
    motion = np.cos(2 * np.pi * frequency_THz * time_ps[:, None, None] + phase + 0.1 * wander)
    positions = sites + 0.05 * motion
    return Trajectory(positions, np.eye(3) * 12.0, np.full(27, 18), 1000.0 * time_ps)


@pytest.mark.parametrize("short", ["surrogate", "reference"])
def test_a_single_frame_has_no_spectrum_and_its_side_is_named(short: str) -> None:
    whole = vibrating(0, 5.0, 20.0, frames=60)
    sides = (whole.part(0, 1), whole) if short == "surrogate" else (whole, whole.part(0, 1))
    (why,) = [why for what, why in compare(*sides).missing.items() if what.startswith("vdos")]
    assert f"a single frame of the {short}" in why


def test_frames_picoseconds_apart_are_the_reason_that_there_is_no_spectrum() -> None:
    sides = (vibrating(0, 5.0, 5000.0, frames=60), vibrating(1, 5.0, 20.0, frames=60))
    (why,) = [why for what, why in compare(*sides).missing.items() if what.startswith("vdos")]
    assert "the frames of the surrogate are 5000 fs apart" in why


@pytest.mark.kernels
@pytest.mark.parametrize(
    ("short", "frames"), [("surrogate", 1), ("surrogate", 10), ("reference", 1), ("reference", 30)]
)
def test_parts_of_the_same_liquid_are_never_told_apart(short: str, frames: int) -> None:
    whole = argon_motion(0)
    other = argon_motion(1).part(100, 100 + frames)
    sides = (other, whole) if short == "surrogate" else (whole, other)
    result = compare(*sides, temperature_K=AT_K)
    for name in ("rdf", "coordination", "structure_factor", "vdos"):
        verdict = result.verdict[name]
        assert verdict.answer == "inconclusive", (name, verdict)
        assert f"the {short} is too short ({frames} frame" in verdict.reason
        assert verdict.needs_ps >= 1.0
    assert result.verdict["diffusivity"].answer == "inconclusive"
    (finding,) = [one for one in result.findings if one.code == "too_short"]
    assert finding.numbers[f"{short}_n_frames"] == frames
    assert short in finding.message
    assert ("the surrogate" in finding.message) != ("the reference" in finding.message)


def test_both_sides_are_named_where_both_are_too_short() -> None:
    sides = [argon_motion(seed).part(0, 20) for seed in (0, 1)]
    reason = compare(*sides, temperature_K=AT_K).verdict["rdf"].reason
    assert "the surrogate is too short (20 frames" in reason
    assert "the reference is too short (20 frames" in reason


@pytest.mark.parametrize(("frequency_THz", "interval_fs"), [(5.0, 100.0), (9.6, 50.0)])
def test_frames_too_far_apart_give_no_verdict_on_vibrations(frequency_THz, interval_fs) -> None:
    """Nyquist: half the rate of the frames is at or below the frequency."""
    assert 500.0 / interval_fs < 1.05 * frequency_THz
    sides = [vibrating(seed, frequency_THz, interval_fs) for seed in (1, 2)]
    # The kinetic energy of that vibration at its temperature: 3/2 kB T = m w^2 A^2 3 / 4.
    velocity_A_fs = 0.05 * 2 * np.pi * frequency_THz / 1000.0
    T_K = 0.5 * 39.95 * velocity_A_fs**2 / 9.6485e-3 / 8.617e-5
    result = compare(*sides, temperature_K=T_K)
    assert "vdos" not in result.verdict
    (why,) = [why for what, why in result.missing.items() if what.startswith("vdos")]
    assert f"surrogate are {interval_fs:g} fs apart and see nothing above" in why
    assert why in [one.message.partition(": ")[2] for one in result.findings]


@pytest.mark.kernels
def test_a_liquid_recorded_too_seldom_gives_no_verdict_on_vibrations() -> None:
    """Argon has frequencies up to 3 THz; frames half a picosecond apart see up to 1 THz."""
    every = round(500.0 / argon_motion(0).uniform_interval_fs())
    sides = [argon_motion(seed).part(every=every) for seed in (0, 1)]
    assert "vdos" in compare(argon_motion(0), argon_motion(1)).verdict
    for at_K in (None, AT_K):
        assert "vdos" not in compare(*sides, temperature_K=at_K).verdict


def test_frames_that_resolve_the_vibrations_give_a_verdict() -> None:
    sides = [vibrating(seed, 5.0, 20.0) for seed in (1, 2)]
    assert compare(*sides).verdict["vdos"].answer == "yes"
    softer = vibrating(3, 3.5, 20.0)
    assert compare(softer, sides[1]).verdict["vdos"].answer == "no"


def test_what_the_reading_showed_is_said_of_its_side() -> None:
    doubt = Finding("assumed_interval", "doubt", "5 fs between frames were assumed")
    whole = argon_motion(0).part(0, 200)
    result = compare(replace(whole, findings=(doubt,)), whole, temperature_K=AT_K)
    (found,) = [one for one in result.findings if one.code == doubt.code]
    assert found.message.endswith("110 K, surrogate: 5 fs between frames were assumed")
    assert found.message in result.warnings


def test_terminal_names_the_side_that_is_too_short(tmp_path, capsys) -> None:
    whole = argon_motion(0).part(0, 120)
    frames = [
        Atoms(numbers=whole.numbers, positions=at, cell=whole.cell_A, pbc=True)
        for at in whole.positions_A
    ]
    write(tmp_path / "reference.xyz", frames)
    write(tmp_path / "one.xyz", frames[0])
    paths = [str(tmp_path / "one.xyz"), str(tmp_path / "reference.xyz")]
    step_fs = f"{whole.uniform_interval_fs():g}"
    assert run_command_line(["compare", *paths, "--timestep-fs", step_fs]) == 0
    out = capsys.readouterr().out
    assert "the surrogate is too short (1 frame, 0 ps)" in out
    assert "the reference is too short" not in out
    assert " no  " not in out
