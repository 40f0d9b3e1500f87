"""Files of every kind that is read here, and what damage and malice make of them.

Run by tests/test_reading_fuzz.py in a process of its own, whose memory is limited and which the
system ends where one input takes longer than it may::

    python hostile_inputs.py GROUP NUMBER SEED FOLDER
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import logging
import lzma
import os
import re
import resource
import shutil
import signal
import sys
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import test_trajectory_fuzz_other as programs
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from vasp_files import outcar, run, vasprun, xdatcar

from mlmd import Protocol, Trajectory
from mlmd.bounds import helper
from mlmd.errors import MlmdError, TimeUnknownError
from mlmd.structure import read_structure
from mlmd.trajectory.export import export_trajectory

SECONDS = 10
"""Of computing, for one input: far more than any takes, so that no busy machine fails it."""
ADDRESS_BYTES = 4 * 2**30
"""A backstop: what is asserted is the memory that was really used."""
WORDS = [
    b"", b"\n", b"\n\n\n", b"\0", b" ", b"-", b"*" * 12, b"nan", b"inf", b"-1", b"0", b"1e308",
    b"-1e999", b"999999999999", b"10000000000", b"-9223372036854775809", b"1" * 500, b"9" * 5000,
    b"1_0", b"0x10", b"\xff\xfe\xc3", b"\x1f\x8b\x08", b"\r", b"\r\n", b"\x85\xc2\xb2", b"'", b'"',
    b"[" * 2000, b"{" * 300, b"&a [*a]", b"*a", b"!!python/object:os.system", b"=1+1",
    b"<!DOCTYPE a>", b"&lt;", b"\\", b",,,,", b"NaN", b"null", b"true", b"1/0", b"../../x",
    b"Direct configuration=",
    b"<calculation>", b"</varray>", b" POSITION    TOTAL-FORCE", b"ITEM: ATOMS id element x y z",
    b"Program PWSCF", b"loop_", b"data_", b"Properties=species:S:1:pos:R:100000000", b"VEC1 1 0 0",
]  # fmt: skip
NUMBERS = [
    b"0",
    b"-1",
    b"3",
    b"70000",
    b"10000000",
    b"3000000000",
    b"1000000000000",
    b"1e9",
    b"nan",
]
COMPRESSIONS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@dataclass(frozen=True)
class Case:
    """A good file among those it needs, and what reads them."""

    name: str
    files: dict[str, bytes]
    broken: str
    read: Callable[[Path], object]
    target: str = ""
    text: bool = True
    damage: Callable[[bytes, np.random.Generator], bytes] | None = None


def damaged(content: bytes, rng: np.random.Generator, text: bool) -> bytes:
    """Change a few places: bytes, words, lines, lengths; often a number where a file begins."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        if text and rng.integers(0, 4) == 0:
            numbers = [*islice(re.finditer(rb"\d+", bytes(data)), 12)]
            if numbers:
                one = numbers[rng.integers(len(numbers))]
                data[one.start() : one.end()] = NUMBERS[rng.integers(len(NUMBERS))]
            continue
        at = int(rng.integers(0, len(data) + 1))
        kind = rng.integers(0, 7 if text else 4)
        length = int(rng.choice([1, 3, 12, 40, 300]))
        if kind == 0 and at < len(data):
            data[at] = rng.integers(0, 256)
        elif kind == 1:
            data[at : at + length] = WORDS[rng.integers(len(WORDS))]
        elif kind == 2:
            data[at : at + length] = rng.bytes(length)
        elif kind == 3:
            del data[at : at + int(rng.choice([1, 40, 10**6]))]
        else:
            words = [*re.finditer(rb"\S+" if kind < 6 else rb"[^\n]*\n", bytes(data))]
            if words:
                one, other = (words[i] for i in rng.integers(0, len(words), 2))
                fresh = WORDS[rng.integers(len(WORDS))] if kind == 4 else other.group()
                data[one.start() : one.end()] = fresh
    return bytes(data)


def grown(content: bytes, rng: np.random.Generator) -> bytes:
    """Change what an H5MD file says of itself: shapes, kinds, names, units, where its parts lie."""
    place = Path("grown.h5md")
    place.write_bytes(content)
    with h5py.File(place, "r+") as h5md:
        names: list[str] = []
        h5md.visit(names.append)
        name = names[rng.integers(len(names))]
        part, kind = h5md[name], rng.integers(0, 6)
        shape = getattr(part, "shape", ())
        long = int(10 ** rng.integers(0, 12))
        if kind == 0 and getattr(part, "chunks", None):
            part.resize((min(long, 1000), *shape[1:]))  # whose blocks are really made
        elif kind == 1:
            for key in part.attrs:
                part.attrs[key] = ["x", 7, "periodic" * 1000][rng.integers(3)]
        else:
            del h5md[name]
            if kind == 2:
                options = {"chunks": (min(long, 10**4), *shape[1:]), "compression": "gzip"}
                h5md.create_dataset(name, (long, *shape[1:]), "f4", **options)
            elif kind == 3:
                h5md[name] = h5py.SoftLink(["/", f"/{name}", "/mlmd"][rng.integers(3)])
            elif kind == 4:
                h5md[name] = h5py.ExternalLink(["t.h5md", "/dev/zero"][rng.integers(2)], "/")
            elif kind == 5:
                h5md.create_dataset(name, data=[["a", "b"], 1.5, np.zeros((3, 3))][rng.integers(3)])
    return place.read_bytes()


def _written(name: str, images: object, format: str | None = None) -> bytes:
    place = Path("good") / name
    place.parent.mkdir(exist_ok=True)
    write(place, images, format=format)
    return place.read_bytes()


def _files(make: Callable[[Path], object]) -> dict[str, bytes]:
    folder = Path("good") / make.__name__
    folder.mkdir(parents=True)
    make(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _read_trajectory(path: Path) -> object:
    try:
        back = Trajectory.read(path, long_steps="warn")
    except TimeUnknownError:
        back = Trajectory.read(path, frame_interval_fs=50.0, long_steps="warn")
    assert len(back) >= 1
    assert ((back.numbers >= 0) & (back.numbers < 119)).all()
    for array in (back.positions_A, back.cell_A, back.time_fs):
        assert np.isfinite(array).all(), f"{path.name}: numbers that are not finite were believed"
    return back


def _frames() -> list[Atoms]:
    rng = np.random.default_rng(0)
    images = []
    for i in range(3):
        atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
        atoms.positions += rng.normal(0, 0.02, atoms.positions.shape)
        atoms.info["time_fs"] = 2.0 * i
        atoms.set_momenta(rng.normal(0, 1, atoms.positions.shape))
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=atoms.positions * 0.01)
        images.append(atoms)
    return images


def trajectories() -> list[Case]:
    """Trajectories: our readers, ASE's, ours."""
    made = run(4)
    texts = {
        "XDATCAR": xdatcar(made, variable=True),
        "XDATCAR_fixed": xdatcar(made),
        "vasprun.xml": vasprun(made, n_electronic=1),
        "OUTCAR": outcar(made),
    }
    cases = [
        Case(name, {name: text.encode()}, name, _read_trajectory) for name, text in texts.items()
    ]
    for _, make, name, broken in programs.CASES:
        there = _files(make) if not (Path("good") / make.__name__).exists() else {
            path.name: path.read_bytes() for path in (Path("good") / make.__name__).iterdir()
        }  # fmt: skip
        cases.append(Case(f"{name}/{broken}", there, broken, _read_trajectory, name))
    images = _frames()
    for name in ("t.extxyz", "t.traj", "t.xyz"):
        content = _written(name, images)
        cases.append(Case(name, {name: content}, name, _read_trajectory, text=name != "t.traj"))
    ours = Trajectory(
        positions_A=np.array([image.positions for image in images]),
        cell_A=images[0].cell.array,
        numbers=images[0].numbers,
        time_fs=np.arange(3.0),
        energies_eV=np.arange(3.0),
    )
    path = export_trajectory(ours, Path("good") / "t.h5md")
    for name, damage in (("t.h5md", None), ("t.h5md grown", grown)):
        there = {"t.h5md": path.read_bytes()}
        cases.append(Case(name, there, "t.h5md", _read_trajectory, text=False, damage=damage))
    return cases


def structures() -> list[Case]:
    """Structures, in formats of ASE."""
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    cases = []
    for name, format in (
        ("s.cif", None), ("POSCAR", "vasp"), ("s.extxyz", None), ("s.traj", None), ("s.xsf", None),
        ("s.gen", None), ("s.cube", None), ("s.json", None), ("s.res", None), ("s.pdb", None),
        ("s.in", "espresso-in"), ("geometry.in", "aims"),
        ("s.lmp", "lammps-data"), ("s.xsd", None), ("s.gro", None), ("s.nc", "netcdftrajectory"),
        ("s.db", None), ("s.cjson", "cjson"), ("s.cfg", "cfg"), ("s.v_sim", "v-sim"),
    ):  # fmt: skip
        try:
            content = _written(name, atoms, format)
        except Exception:  # a format that cannot be written here
            continue

        def read(path: Path, format: str | None = format) -> object:
            return read_structure(path, format)

        cases.append(Case(name, {name: content}, name, read, text=name[-3:] not in ("raj", ".nc")))
    return cases


def tables() -> list[Case]:
    """Tables, models, studies, recipes and choices of calculators."""
    from mlmd.calculators.choice import chosen_calculators
    from mlmd.comparison.curves import PairCurves
    from mlmd.descriptors.elements import ElementTable
    from mlmd.descriptors.featurize import featurize
    from mlmd.descriptors.table import FeatureTable
    from mlmd.model import TrainingTable

    place = Path("good")
    place.mkdir(exist_ok=True)
    atoms = bulk("LiCl", "rocksalt", a=5.1, cubic=True)
    featurize([atoms, atoms * 2], "Li", temperature_K=[600.0, 700.0]).to_csv(place / "f.csv")
    import test_model_predictor as model

    table = model.planted(n=40)
    table.to_csv(place / "t.csv")
    recipe = Protocol.load("quickstart")
    recipe.save(place / "p.yaml")
    curves = "r,Li-O,O-O\n" + "".join(f"{0.1 * i},{i},{i * i}\n" for i in range(20))
    elements = Path(sys.modules[ElementTable.__module__].__file__ or "").with_name("elements.csv")
    chosen = b"default: lj\nProduction: {name: lj, options: {cutoff_A: 4}}\n"
    given = {
        "f.csv": ((place / "f.csv").read_bytes(), FeatureTable.read_csv),
        "t.csv": ((place / "t.csv").read_bytes(), TrainingTable.read),
        "g.csv": (curves.encode(), PairCurves.read_csv),
        "e.csv": (elements.read_bytes(), ElementTable.read),
        "p.yaml": ((place / "p.yaml").read_bytes(), Protocol.load),
        "c.yaml": (chosen, lambda path: chosen_calculators([str(path)])),
    }
    cases = [
        Case(name, {name: content}, name, read)  # type: ignore[arg-type]
        for name, (content, read) in given.items()
    ]
    return cases + _models(table)


def _models(table: object) -> list[Case]:
    from optuna.distributions import FloatDistribution
    from optuna.trial import create_trial

    from mlmd.model import Predictor, fit_predictor
    from mlmd.model.tuning.studies import Study

    place = Path("good")
    fit_predictor(table, "ridge", n_bootstrap=10).save(place / "m.mlmd")  # type: ignore[arg-type]
    content = (place / "m.mlmd").read_bytes()
    study = Study(place / "s.log", "ridge")
    study.describe("what was tuned")
    for alpha in (1.0, 10.0):
        scale = FloatDistribution(1e-3, 1e3, log=True)
        study.add(
            create_trial(params={"alpha": alpha}, distributions={"alpha": scale}, value=alpha)
        )

    def open_study(path: Path) -> object:
        return Study(path, "ridge").find({"alpha": 10.0})

    def load_inner(path: Path) -> object:
        """Pack what was damaged so that its hash is right: damage alone would end there."""
        with zipfile.ZipFile(place / "m.mlmd") as archive:
            head = json.loads(archive.read("about.json"))
        inner = path.read_bytes()
        written = json.dumps(head["about"], sort_keys=True).encode()
        head["sha256"] = hashlib.sha256(written + b"\n" + inner).hexdigest()
        with zipfile.ZipFile(path.with_suffix(".mlmd"), "w") as archive:
            archive.writestr("about.json", json.dumps(head))
            archive.writestr("model.skops", inner)
        return Predictor.load(path.with_suffix(".mlmd"))

    def load_schema(path: Path) -> object:
        """The same with the description of the objects in it damaged."""
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive, zipfile.ZipFile(io.BytesIO(inner)) as good:
            for item in good.infolist():
                if item.filename != "schema.json":
                    archive.writestr(item, good.read(item))
            archive.writestr("schema.json", path.read_bytes())
        path.write_bytes(out.getvalue())
        return load_inner(path)

    with zipfile.ZipFile(place / "m.mlmd") as archive:
        inner = archive.read("model.skops")
    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        schema = archive.read("schema.json")
    return [
        Case("m.mlmd", {"m.mlmd": content}, "m.mlmd", Predictor.load, text=False),
        Case("model.skops", {"m.skops": inner}, "m.skops", load_inner, text=False),
        Case("schema.json", {"m.json": schema}, "m.json", load_schema),
        Case("s.log", {"s.log": (place / "s.log").read_bytes()}, "s.log", open_study),
    ]


GROUPS = {"trajectories": trajectories, "structures": structures, "tables": tables}


READ, REFUSED = "read", "refused"


def attempt(case: Case, content: bytes, folder: Path, suffix: str = "") -> str:
    """Read what is damaged; return that it was read or refused, or else what is wrong with that."""
    for name, other in case.files.items():
        if name != case.broken:
            (folder / name).write_bytes(other)
    (folder / f"{case.broken}{suffix}").write_bytes(content)
    target = case.target or case.broken
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.read(folder / (f"{target}{suffix}" if target == case.broken else target))
    except MlmdError as error:
        return REFUSED if "\n" not in str(error) else f"several lines: {error}"
    except BaseException as error:  # whatever it is, it is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return f"{type(error).__name__}: {str(error)[:200]} ({place})"
    return READ


def main(group: str, number: int, seed: int, work: Path) -> None:
    """Read so many damaged files; say as JSON what went wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    logging.disable(logging.CRITICAL)
    os.chdir(work)
    cases = GROUPS[group]()
    wrong, ended = [], Counter[str]()
    (work / "here").mkdir()
    for case in cases:
        said = attempt(case, case.files[case.broken], _fresh(work / "here"))
        if said != READ:
            wrong.append([case.name, "undamaged", said])
    for n in range(number):
        case = cases[n % len(cases)]
        rng = np.random.default_rng([seed, n])
        content, suffix = case.files[case.broken], ""
        if case.damage is not None:
            content = case.damage(content, rng)
        elif case.text and rng.integers(0, 6) == 0:
            suffix = str(rng.choice([*COMPRESSIONS]))
            pack, suffix = COMPRESSIONS[suffix], f".{suffix}"
            early = bool(rng.integers(0, 2))
            content = pack(damaged(content, rng, True) if early else content)
            content = content if early else damaged(content, rng, False)
        else:
            content = damaged(content, rng, case.text)
        folder = _fresh(work / "here")
        (work / "current").write_text(f"{case.name} {n}")
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its default is to end the process
        said = attempt(case, content, folder, suffix)
        signal.setitimer(signal.ITIMER_PROF, 0)
        ended[said if said in (READ, REFUSED) else "wrong"] += 1
        if said not in (READ, REFUSED):
            wrong.append([case.name, n, said])
    helper._kill_all()  # what it has used counts only then
    # Of this process not getrusage: that counts what the process that started it had.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    children_kB = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    used = [1024 * int(status["VmHWM"].split()[0]), 1024 * children_kB]
    json.dump({"wrong": wrong, "ended": ended, "bytes": max(used)}, sys.stdout)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder)
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
