"""Several runs of the same: one diffusivity of all, on every face."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from synthetic_motion import trajectory_of, walk

from mlmd.analysis import combine, diffusivity, summarize
from mlmd.cli.app import run_command_line
from mlmd.errors import InputError


@pytest.fixture(scope="module")
def stages():
    rng = np.random.default_rng(1)
    made = {}
    for number in range(3):
        for temperature, step in ((800.0, 0.8), (1200.0, 1.4)):
            motion = trajectory_of(step * walk(rng, 120, 12))
            made[f"run{number}:{temperature:g}"] = (motion, temperature)
    return made


def groups():
    return {name: [f"run{n}:{name}" for n in range(3)] for name in ("800", "1200")}


def test_the_law_takes_replicas_as_one_point_with_their_spread(stages):
    found = summarize(stages, species="Li", drift="none", replicas=groups())
    for name, group in found.replicas.items():
        alone = [diffusivity(stages[one][0], "Li", drift="none") for one in group.stages]
        together = combine(alone)
        one = group.species["Li"]
        assert one.D_cm2_s == pytest.approx(together.D_cm2_s)
        spread = np.std([run.D_raw_cm2_s for run in alone], ddof=1) / np.sqrt(3)
        assert one.D_stderr_cm2_s == pytest.approx(spread)
        assert group.temperature_K == float(name)
    law = found.arrhenius["Li"]
    assert law.temperatures_K.tolist() == [800.0, 1200.0]
    # ln(D2 / D1) = 2 ln(1.4 / 0.8) over 1/kT
    true = 2 * np.log(1.4 / 0.8) / (1 / 800 - 1 / 1200) * 8.617333e-5
    assert law.E_a_eV == pytest.approx(true, abs=4 * law.E_a_stderr_eV)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    said = plain["replicas"]["800"]["species"]["Li"]["settings"]
    assert said["n_runs"] == 3
    assert said["within_stderr_cm2_s"] > 0
    assert said["between_stderr_cm2_s"] > 0


def test_without_replicas_every_stage_is_a_point(stages):
    found = summarize(stages, species="Li", drift="none")
    assert len(found.arrhenius["Li"].temperatures_K) == 6
    assert "replicas" not in found.to_dict()


@pytest.mark.parametrize(
    ("replicas", "message"),
    [
        ({"all": ["run0:800"]}, "expected two stages or more"),
        ({"all": ["run0:800", "run9:800"]}, "expected two stages or more among"),
        ({"run0:800": ["run0:800", "run1:800"]}, "a name of their own"),
        ({"all": ["run0:800", "run1:1200"]}, "expected one temperature"),
    ],
)
def test_replicas_that_are_none_are_refused(stages, replicas, message):
    with pytest.raises(InputError, match=message):
        summarize(stages, species="Li", drift="none", replicas=replicas)


def test_the_command_line_takes_files_as_replicas(tmp_path, capsys):
    rng = np.random.default_rng(2)
    files = []
    for number in range(3):
        frames = [
            Atoms("Li8", positions=positions + 10.0, cell=[30.0] * 3, pbc=True)
            for positions in 0.7 * walk(rng, 80, 8)
        ]
        files.append(str(tmp_path / f"{number}.extxyz"))
        write(files[-1], frames)
    how = ["--timestep-fs", "100", "--temperature-K", "900", "--drift", "none"]
    assert run_command_line(["analyze", *files, "--replicas", *how, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    (group,) = plain["replicas"].values()
    assert group["stages"] == [f"{file}:trajectory" for file in files]
    alone = [stage["species"]["Li"]["D_raw_cm2_s"] for stage in plain["stages"].values()]
    assert len(alone) == 3
    assert group["species"]["Li"]["D_raw_cm2_s"] == pytest.approx(np.mean(alone))
    assert run_command_line(["analyze", *files, "--replicas", *how]) == 0
    told = capsys.readouterr().out
    assert "trajectory, 3 runs" in told
    assert "by the spread between them" in told
    assert run_command_line(["analyze", files[0], "--replicas", *how]) == 2
    assert "expected two independent runs or more" in capsys.readouterr().err
