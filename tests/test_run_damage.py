"""Damage in the files of a run is found, mended by the same command, and changes no result.

``MLMD_DAMAGES=5000`` tries so many damages instead of those that fit into a minute or two.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from mlmd import CalculatorSpec, Protocol, Run
from mlmd.errors import MlmdError, StoppedError
from mlmd.run.stopping import StopToken

N_DAMAGES = int(os.environ.get("MLMD_DAMAGES", "300"))
RECIPE = {
    "schema": 1,
    "name": "damaged",
    "stages": [
        {"name": "relax", "class": "Relax", "max_force_eV_A": 0.001, "max_steps": 10},
        {
            "name": "melt",
            "class": "Equilibrate",
            "temperature_K": 900,
            "duration_ps": 0.1,
            "record_every_fs": 4,
        },
        {
            "name": "hot",
            "class": "Production",
            "temperature_K": 900,
            "duration_ps": 0.1,
            "record_every_fs": 4,
            "record_velocities": True,
        },
        {
            "name": "cold",
            "class": "Production",
            "starts_from": "melt",
            "temperature_K": 300,
            "duration_ps": 0.1,
            "record_every_fs": 4,
        },
        {
            "name": "minima",
            "class": "SampleInherentStructures",
            "starts_from": "hot",
            "n_structures": 2,
            "every_ps": 0.02,
            "max_steps": 5,
            "relax_cell": False,
        },
    ],
}
PROTOCOL = Protocol.from_dict(RECIPE)
LJ = CalculatorSpec("lj", options={"cutoff_A": 4.5})
GRID = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
ATOMS = Atoms("Li13Cl14", positions=3.2 * GRID, cell=[9.6] * 3, pbc=True)
Damage = Callable[[Path], None]


def run(folder: Path) -> Run:
    return PROTOCOL.run(ATOMS, LJ, folder, seed=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two stages are done, the third has stopped in its middle."""
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    stop = StopToken()

    def look(progress: object) -> None:
        if progress.stage == "hot" and progress.step > 40:  # type: ignore[attr-defined]
            stop.stop("enough")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mlmd.stages.context.REPORT_INTERVAL_S", 0.0)
        with pytest.raises(StoppedError):
            PROTOCOL.run(ATOMS, LJ, folder, seed=1, progress=look, stop=stop)
    return Run.open(folder)


def arrays_of(one: Run, stage: str) -> dict[str, np.ndarray]:
    trajectory = one.trajectory(stage)
    names = ("positions_A", "cell_A", "numbers", "time_fs", "masses_u", "energies_eV")
    more = ("velocities_A_fs", "temperatures_K", "pressures_GPa", "conserved_energies_eV")
    found = {name: getattr(trajectory, name) for name in (*names, *more)}
    return {name: value for name, value in found.items() if value is not None} | {
        "pbc": np.array(trajectory.pbc)
    }


def says_the_same(one: Run, other: Run) -> None:
    """Hold all that can be read of a run, where it can be read, against another."""
    assert one.results == {name: other.results[name] for name in one.results}
    for name in ("protocol", "identity", "calculators", "versions", "reproducible"):
        assert getattr(one.manifest, name) == getattr(other.manifest, name)
    for entry in one.stages:
        same = other.manifest.stage(entry.name)
        assert (entry.settings, entry.flags, entry.measured) in (
            (same.settings, same.flags, same.measured),
            (same.settings, [], same.measured),
        )
        try:
            found = arrays_of(one, entry.name)
        except MlmdError:
            continue
        there = arrays_of(other, entry.name)
        assert found.keys() == there.keys()
        for name, values in found.items():
            expected = there[name]
            if values.shape != expected.shape:  # a stage that is not done has fewer frames
                assert entry.status != "done"
                expected = expected[: len(values)]
            assert np.array_equal(values, expected, equal_nan=True), (entry.name, name)
    try:
        atoms = one.atoms
    except MlmdError:
        return
    assert atoms == other.atoms


def damages(folder: Path, count: int, seed: int) -> list[tuple[str, str, Damage]]:
    """Flips of one bit, cuts, losses, of every file in turn; half the flips in its first part."""
    rng = random.Random(seed)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    made: list[tuple[str, str, Damage]] = []
    for name in files:
        made += [
            (name, "lost", lambda path: path.unlink()),
            (name, "emptied", lambda path: path.write_bytes(b"")),
            (name, "cut", lambda path: os.truncate(path, path.stat().st_size // 2)),
            (name, "cut by one", lambda path: os.truncate(path, path.stat().st_size - 1)),
        ]
    while len(made) < count:
        name = files[len(made) % len(files)]
        size = (folder / name).stat().st_size
        at = rng.randrange(min(size, 4096) if len(made) % 2 else size)
        bit = rng.randrange(8)
        made.append((name, f"bit {bit} of byte {at}", flipped(at, bit)))
    return made


def flipped(at: int, bit: int) -> Damage:
    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[at] ^= 1 << bit
        path.write_bytes(content)

    return flip


@pytest.mark.slow
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_damage_is_found_or_harmless_and_the_same_command_mends_it(
    state: str,
    whole: Run,
    unfinished: Run,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    source = whole if state == "finished" else unfinished
    found = repeated = refused = 0
    for i, (name, what, damage) in enumerate(damages(source.path, N_DAMAGES // 2, seed=5)):
        folder = tmp_path / f"{i}"
        shutil.copytree(source.path, folder)
        damage(folder / name)
        try:
            try:
                read = Run.open(folder)
            except MlmdError:
                found += 1
            else:
                found += bool(read.verify())
                says_the_same(read, whole)
            try:
                again = run(folder)
            except MlmdError:
                refused += 1
                assert name in ("run.json", "run.previous.json"), "only these may be beyond mending"
                continue
            assert again.status == "done"
            assert again.verify() == {}
            says_the_same(again, whole)
            assert again.results.keys() == whole.results.keys()
            repeated += any(folder.rglob("*.damaged-*"))
        except AssertionError as error:
            raise AssertionError(f"{name}, {what}: {error}") from error
        finally:
            shutil.rmtree(folder)
    record_property(state, f"{found} found when read, {repeated} set aside, {refused} not mended")
    assert found > N_DAMAGES // 8
    assert refused == 0
