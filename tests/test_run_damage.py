"""Damage in the files of a run is found, mended by the same command, and changes no result.

``MLMD_DAMAGES=5000`` tries so many damages instead of those that fit into a minute or two.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from runs import edit_manifest

from mlmd import CalculatorSpec, Protocol, Run
from mlmd.cli.app import run_command_line
from mlmd.errors import DamagedDataError, MlmdError, RunDirectoryError, StoppedError
from mlmd.run.checksums import PIECE_BYTES, checksum, file_checksum
from mlmd.run.measured import measured_stages
from mlmd.run.recorder import Recorder
from mlmd.run.stopping import StopToken
from mlmd.trajectory.h5md.frame_checksums import FrameChecksums
from mlmd.trajectory.h5md.writer import OBSERVABLES

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


def damaged(source: Run, folder: Path, name: str, damage: Damage) -> Run:
    shutil.copytree(source.path, folder)
    damage(folder / name)
    return Run.open(folder)


@pytest.mark.parametrize("damage", [flipped(-100, 3), flipped(9000, 0), lambda path: path.unlink()])
def test_analysis_refuses_a_damaged_trajectory_and_names_it(
    damage: Damage, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By every door: the run, a stage's file, a table for training, a page, an export."""
    run = damaged(whole, tmp_path / "run", "03-hot/trajectory.h5md", damage)
    with pytest.raises(DamagedDataError, match=r"03-hot/trajectory\.h5md"):
        run.trajectory("hot")
    with pytest.raises(DamagedDataError, match=r"03-hot/trajectory\.h5md"):
        measured_stages(run)
    file = run.path / "03-hot" / "trajectory.h5md"
    before = sorted(tmp_path.rglob("*"))
    for arguments in (
        ["analyze", str(run.path)],
        ["rdf", str(run.path)],
        ["report", str(run.path)],
        ["features", str(run.path)],
        ["export", str(run.path), "hot", "-o", str(tmp_path / "hot.extxyz")],
        *([["rdf", str(file)], ["analyze", str(file)]] if file.exists() else []),
    ):
        assert run_command_line(arguments) == 2, arguments
        said = capsys.readouterr().err.splitlines()
        (line,) = (one for one in said if not one.startswith("features: step"))
        assert "03-hot/trajectory.h5md" in line
    assert sorted(tmp_path.rglob("*")) == before
    assert run_command_line(["status", str(run.path), "--verify"]) == 1
    assert "03-hot/trajectory.h5md" in capsys.readouterr().out
    assert len(run.trajectory("cold")) == len(whole.trajectory("cold"))


def test_the_structure_is_held_against_its_checksum(
    whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sodium(path: Path) -> None:
        path.write_text(path.read_text().replace("Li ", "Na "))

    changed = damaged(whole, tmp_path / "run", "structure.extxyz", sodium)
    with pytest.raises(DamagedDataError, match=r"structure\.extxyz is not what the run started"):
        _ = changed.atoms
    assert run_command_line(["report", str(changed.path)]) == 2
    assert not (changed.path / "report.html").exists()
    capsys.readouterr()
    assert run(changed.path).atoms == whole.atoms
    assert "Na " in (changed.path / "structure.damaged-1.extxyz").read_text()


@pytest.mark.parametrize("key", ["status", "folder", "result", "settings"])
def test_an_edited_manifest_is_refused_and_mended(key: str, whole: Run, tmp_path: Path) -> None:
    values = {"status": "pending", "folder": "../../elsewhere", "result": {}, "settings": {}}

    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        content["stages"][2][key] = values[key]
        path.write_text(json.dumps(content, indent=1))

    shutil.copytree(whole.path, tmp_path / "run")
    edit(tmp_path / "run" / "run.json")
    with pytest.raises(DamagedDataError, match="its checksum differs"):
        Run.open(tmp_path / "run")
    mended = run(tmp_path / "run")
    says_the_same(mended, whole)
    assert (
        json.loads((mended.path / "run.damaged-1.json").read_text())["stages"][2][key]
        == values[key]
    )


def test_what_descends_from_damage_is_stale_until_its_source_has_ended_again(
    whole: Run, tmp_path: Path
) -> None:
    """The same end confirms it; nothing of it is analysed meanwhile."""
    folder = damaged(whole, tmp_path / "run", "02-melt/trajectory.h5md", flipped(-9, 1)).path
    stop = StopToken()
    stop.stop("at once")
    with pytest.raises(StoppedError):
        PROTOCOL.run(ATOMS, LJ, folder, seed=1, stop=stop)
    stale = Run.open(folder)
    assert [entry.status for entry in stale.stages] == ["done", "stopped", *3 * ["stale"]]
    with pytest.raises(RunDirectoryError, match=r"'hot' of .* is stale: 'melt', which it"):
        stale.trajectory("hot")
    with pytest.raises(MlmdError, match="hot stale, cold stale"):
        measured_stages(stale)
    times = {path: path.stat().st_mtime_ns for path in (folder / "03-hot").iterdir()}
    mended = run(folder)
    says_the_same(mended, whole)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    named = [(one["event"], one["stage"]) for one in events if "stage" in one]
    assert ("stage repeated", "melt") in named
    assert [stage for event, stage in named if event == "stage confirmed"] == [
        "hot",
        "cold",
        "minima",
    ]


def test_what_descends_from_an_end_that_is_another_now_is_done_again(
    whole: Run, tmp_path: Path
) -> None:
    """As on a device whose sums are not in the same order twice."""

    def elsewhere(content: dict) -> None:
        content["stages"][2]["start"] = checksum(b"another end of the melt")

    folder = tmp_path / "run"
    shutil.copytree(whole.path, folder)
    edit_manifest(folder, elsewhere)
    (folder / "02-melt" / "trajectory.h5md").write_bytes(b"")
    mended = run(folder)
    says_the_same(mended, whole)
    assert (folder / "03-hot.damaged-1" / "trajectory.h5md").exists()
    assert not (folder / "04-cold.damaged-1").exists()


def test_the_previous_manifest_goes_on_where_the_newest_is_lost(whole: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole.path, folder)
    (folder / "run.json").unlink()
    says_the_same(run(folder), whole)
    for name in ("run.json", "run.previous.json"):
        (folder / name).write_text("{}")
    with pytest.raises(MlmdError, match=r"run\.json"):
        run(folder)
    assert (folder / "run.json").read_text() == "{}"


def test_a_large_file_has_the_checksum_of_those_of_its_pieces(tmp_path: Path) -> None:
    """Any order of threads; small files as every other program gives it."""
    content = np.random.default_rng(0).bytes(2 * PIECE_BYTES + 17)
    file = tmp_path / "large"
    file.write_bytes(content)
    pieces = [content[i : i + PIECE_BYTES] for i in range(0, len(content), PIECE_BYTES)]
    digests = b"".join(hashlib.blake2b(piece, digest_size=32).digest() for piece in pieces)
    assert file_checksum(file) == checksum(digests)
    file.write_bytes(b"abc")
    assert file_checksum(file).endswith(hashlib.blake2b(b"abc", digest_size=32).hexdigest())


def recorded(taken: Recorder, count: int) -> None:
    """Frames that differ from each other."""
    atoms = ATOMS.copy()
    for i in range(taken.n_frames, taken.n_frames + count):
        atoms.positions[:] = ATOMS.positions + 0.01 * i
        taken.record(i, 2.0 * i, atoms, dict.fromkeys(OBSERVABLES, float(i)))


def test_frames_have_checksums_wherever_a_checkpoint_ends_them(tmp_path: Path) -> None:
    """In the middle of a block, after going back, and where the run is older than checksums."""
    file = tmp_path / "t.h5md"
    with Recorder(file, ATOMS, n_frames_planned=100) as taken:
        recorded(taken, 70)
        taken.vouch(70)
        recorded(taken, 10)
        for n_frames in (75, 33):
            state = taken.vouch(n_frames)
            FrameChecksums.from_state(state).verify(file)
            taken.rewind(n_frames)
        recorded(taken, 7)
        state = taken.vouch(40)
        recorded(taken, 9)
    Recorder.probe(file, state)
    with Recorder(file, ATOMS, n_frames_planned=100, resume_from={"n_frames": 40}) as taken:
        recorded(taken, 30)
        newer = taken.vouch(70)
    Recorder.probe(file, newer)
    content = bytearray(file.read_bytes())
    place = content.find(np.float32(ATOMS.positions[5] + 0.01 * 35).tobytes())
    content[place] ^= 1
    file.write_bytes(content)
    for one in (state, newer):
        with pytest.raises(DamagedDataError, match=r"frames 33 to 39|frames 0 to 39") as caught:
            Recorder.probe(file, one)
        assert str(file) in str(caught.value)
    other = ATOMS.copy()
    other.set_masses(2 * other.get_masses())
    with Recorder(tmp_path / "u.h5md", other, n_frames_planned=100) as taken:
        recorded(taken, 40)
    with pytest.raises(DamagedDataError, match="species, masses or periodicity"):
        Recorder.probe(tmp_path / "u.h5md", state)


def test_many_runs_are_a_line_each_and_damage_is_an_exit_code(
    whole: Run, unfinished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole.path, tmp_path / "whole")
    shutil.copytree(unfinished.path, tmp_path / "stopped")
    damaged(whole, tmp_path / "flipped", "04-cold/checkpoint.npz", flipped(99, 1))
    damaged(unfinished, tmp_path / "frames", "03-hot/trajectory.h5md", flipped(-3000, 2))
    (tmp_path / "other").mkdir()
    names = ["whole", "stopped", "flipped", "frames", "other"]
    folders = [str(tmp_path / name) for name in names]
    assert run_command_line(["status", *folders]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["done", "stopped", "done", "stopped"]
    assert lines[1].split()[2] == "5/5"
    assert "2 done, 2 stopped, 1 no run" in lines[-1]
    assert run_command_line(["status", "--verify", "--json", *folders]) == 1
    found = {
        Path(one["directory"]).name: one for one in json.loads(capsys.readouterr().out)["runs"]
    }
    assert {name: found[name]["status"] for name in names} == {
        "whole": "done",
        "stopped": "stopped",
        "flipped": "damaged",
        "frames": "damaged",
        "other": "no run",
    }
    assert "04-cold/checkpoint.npz" in found["flipped"]["damage"]["cold"][0]
    assert "03-hot/trajectory.h5md" in found["frames"]["damage"]["hot"][0]


@pytest.mark.parametrize("name", ["run.json", "structure.extxyz", "03-hot/trajectory.h5md",
                                  "03-hot/checkpoint.npz", "log.jsonl"])  # fmt: skip
def test_nothing_waits_for_a_pipe_in_the_place_of_a_file(
    name: str, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole.path, folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)

    def hangs(*_: object) -> None:
        raise AssertionError(f"{arguments} waits for {name}")

    before = signal.signal(signal.SIGALRM, hangs)
    try:
        for arguments in (["status"], ["status", "--verify"], ["report"], ["rdf"]):
            signal.alarm(60)
            command, *more = arguments
            code = run_command_line([command, str(folder), *more])
            needed = {
                "run.json": True,
                "log.jsonl": False,
                "structure.extxyz": more or command == "report",
                "03-hot/checkpoint.npz": bool(more),
                "03-hot/trajectory.h5md": more or command != "status",
            }
            assert bool(code) == bool(needed[name]), arguments
            capsys.readouterr()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
