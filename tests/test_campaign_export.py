"""Databases of a campaign: ASE reads them, they are made anew at any time, and lose nothing."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase.db import connect
from ase.db.core import check

from mlmd import Run
from mlmd.campaign import Campaign, results_of
from mlmd.campaign.results.database import key_value_pairs, write_database
from mlmd.cli.app import run_command_line


def export(file: Path, out: Path | str, *more: str) -> int:
    return run_command_line(["campaign", "export", str(file), "-o", str(out), *more])


@pytest.fixture(scope="module")
def database(six_cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is exported without a word more."""
    out = tmp_path_factory.mktemp("db") / "six.db"
    assert export(six_cases, out) == 0
    return out


def test_every_production_is_a_row_with_its_last_frame(six_cases, database):
    campaign = Campaign.load(six_cases)
    with connect(database) as db:
        assert len(db) == 16
        assert db.count(n_melts=3) == 4
        for row in db.select(n_melts=1, include_data=True):
            run = Run.open(row.path)
            frame = run.trajectory(row.stage, -1)
            apart = row.positions - frame.positions_A[0]
            cell = np.diag(frame.cell_A.reshape(3, 3))
            assert apart / cell == pytest.approx(np.rint(apart / cell), abs=1e-5)
            assert (row.positions >= -1e-6).all()
            assert row.energy == frame.energies_eV[0]
            assert row.calculator == "lj"
            assert row.data["analysis"]["species"]["Li"]["verdict"] == row.verdict_Li
        cases = {row.case for row in db.select(n_melts=1)}
        assert cases == {case.name for case in campaign.cases}
        pooled = db.get(case=campaign.cases[0].group, temperature_K=1500)
        one = pooled.data["species"]["Li"]
        assert pooled.D_between_stderr_Li_cm2_s == one["settings"]["between_stderr_cm2_s"]
        assert pooled.D_within_stderr_Li_cm2_s == one["settings"]["within_stderr_cm2_s"]


def test_numbers_are_those_of_the_rows(six_cases, database):
    rows = {(row.case, row.stage): row for row in results_of(Campaign.load(six_cases)).rows}
    with connect(database) as db:
        for found in db.select():
            row = rows[found.case, found.stage]
            for symbol, one in row.species.items():
                assert found.get(f"D_{symbol}_cm2_s") == one.D_cm2_s
                if one.D_cm2_s is not None:
                    tens = found.get(f"log10_D_{symbol}_cm2_s")
                    assert 10**tens == pytest.approx(one.D_cm2_s)
                assert found.get(f"D_raw_{symbol}_cm2_s") == one.D_raw_cm2_s
                low, high = one.D_interval68_cm2_s
                assert found.get(f"D_low68_{symbol}_cm2_s") == low
                assert found.get(f"D_high68_{symbol}_cm2_s") == high
                assert found.get(f"E_a_{symbol}_eV") == row.laws[symbol]["E_a_eV"]


def test_ases_own_command_finds_rows(six_cases, database):
    rows = results_of(Campaign.load(six_cases)).rows
    n = sum(row.species["Li"].verdict == "diffusive" for row in rows)
    ase = Path(os.sys.executable).with_name("ase")
    for query, expected in (
        ("verdict_Li=diffusive", n),
        ("n_melts=3", 4),
        ("temperature_K>2000,reduced_formula=LiF", 4),
    ):
        done = subprocess.run(
            [ase, "db", database, query, "-n"], capture_output=True, text=True, check=True
        )
        assert done.stdout.split()[0] == str(expected), query


def test_ases_web_page_shows_rows(six_cases, database):
    if importlib.util.find_spec("flask") is None:
        pytest.skip("needs flask")
    from ase.db.app import DBApp

    campaign = Campaign.load(six_cases)
    app = DBApp()
    app.add_project("six", connect(database))
    client = app.flask.test_client()
    assert client.get("/six").status_code == 200
    page = client.get("/six/row/1")
    assert page.status_code == 200
    text = page.get_data(as_text=True)
    assert campaign.cases[0].name in text
    assert "verdict_Li" in text


def test_names_and_values_are_what_ase_takes(six_cases):
    for row in results_of(Campaign.load(six_cases)).rows:
        check(key_value_pairs(row))


def test_texts_that_read_as_numbers_are_told_apart(six_cases, tmp_path):
    (tmp_path / "1e3.yaml").write_text(
        six_cases.read_text().replace("liquid.yaml", str(six_cases.parent / "liquid.yaml"))
        + f"out: {six_cases.parent}/runs/six\nname: '1e3'\n"
    )
    campaign = Campaign.load(tmp_path / "1e3.yaml")
    write_database(campaign, results_of(campaign), tmp_path / "o.db")
    assert connect(tmp_path / "o.db").count(campaign="_1e3") == 16


@pytest.mark.parametrize("suffix", [".db", ".csv"])
def test_an_output_is_made_anew_and_nobodys_work_replaced(six_cases, tmp_path, suffix, capsys):
    out = tmp_path / f"o{suffix}"
    assert export(six_cases, out) == 0
    assert export(six_cases, out) == 0
    if suffix == ".db":
        with connect(out) as db:
            assert len(db) == 16
            db.update(1, mine="a note")
    else:
        lines = out.read_text().splitlines()
        out.write_text("\n".join(f"{line},mine" for line in lines))
    before = out.read_bytes()
    assert export(six_cases, out) == 2
    assert "nothing is overwritten" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert export(six_cases, out, "--force") == 0
    assert os.listdir(tmp_path) == [out.name]


def test_no_input_of_a_campaign_is_replaced(six_cases, tmp_path, capsys):
    shutil.copytree(six_cases.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "of.csv").write_text("composition\nLiCl\nLiF\n")
    file = tmp_path / six_cases.name
    file.write_text(six_cases.read_text().replace("[LiCl, LiF]", "of.csv"))
    for force in ([], ["--force"]):
        assert export(file, tmp_path / "of.csv", *force) == 2
    assert "is an input" in capsys.readouterr().err
    assert (tmp_path / "of.csv").read_text().startswith("composition")


def test_the_database_is_made_elsewhere_and_moved(six_cases, tmp_path, monkeypatch):
    """Locks of SQLite are not asked of the disk that the output is on."""
    seen = []
    real = connect

    def noted(name: Path, *arguments, **options):
        seen.append(Path(name))
        return real(name, *arguments, **options)

    monkeypatch.setattr("ase.db.connect", noted)
    assert export(six_cases, tmp_path / "o.db") == 0
    assert seen
    assert all(tmp_path not in path.parents for path in seen)


def test_a_trajectory_that_is_damaged_meanwhile_is_said(six_cases, tmp_path):
    shutil.copytree(six_cases.parent, tmp_path / "copy")
    campaign = Campaign.load(tmp_path / "copy" / six_cases.name)
    results = results_of(campaign)
    name = campaign.cases[0].name
    trajectory = campaign.folder / name / "03-production-2500K" / "trajectory.h5md"
    trajectory.write_bytes(trajectory.read_bytes()[:-10] + bytes(10))
    problems = write_database(campaign, results, tmp_path / "o.db")
    assert name in problems
    assert connect(tmp_path / "o.db").count(case=name) == 0
    assert connect(tmp_path / "o.db").count(n_melts=1) == 10


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("o.xyz", "expected FILE.db, FILE.csv or postgresql"),
        ("o", "expected FILE.db"),
        ("mysql://here/x", "expected FILE.db"),
        ("nowhere/o.db", "does not exist"),
        ("postgresql://me:secret@127.0.0.1:9/x", "cannot be reached"),
        ("postgresql://[/x", "cannot be reached"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(six_cases, tmp_path, monkeypatch, capsys, out, says):
    monkeypatch.chdir(tmp_path)
    assert export(six_cases, out) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert "secret" not in said


def test_a_campaign_without_a_result_says_so(six_cases, tmp_path, capsys):
    file = tmp_path / "new.yaml"
    file.write_text(
        six_cases.read_text().replace("liquid.yaml", str(six_cases.parent / "liquid.yaml"))
    )
    assert export(file, tmp_path / "o.db") == 2
    assert "no finished production" in capsys.readouterr().err
    assert not (tmp_path / "o.db").exists()


def test_without_the_extra_its_name_is_said(six_cases, tmp_path, monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "psycopg2" else real(name)
    )
    assert export(six_cases, "postgresql://me@127.0.0.1:9/x") == 2
    assert "pip install 'mlmd[campaign]'" in capsys.readouterr().err


def _program(name: str) -> str | None:
    """A program of PostgreSQL, which Debian keeps out of the path."""
    found = shutil.which(name)
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return found or (str(places[-1]) if places else None)


def _nobody() -> dict[str, int]:
    """Who runs the server: it refuses to be root's."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid}
    pytest.skip("PostgreSQL refuses to be root's, and there is no other user")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A cluster of its own on a free port of this machine."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("needs PostgreSQL (Debian: postgresql)")
    if importlib.util.find_spec("psycopg2") is None:
        pytest.skip("needs psycopg2 (the extra campaign)")
    who = _nobody()
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        os.chmod(folder, 0o755)
        home = Path(folder, "home")
        home.mkdir()
        if who:
            os.chown(home, who["user"], who["group"])
        data = str(home / "data")
        made = subprocess.run(
            [initdb, "-D", data, "-U", "me", "-A", "trust", "--no-sync", "-E", "UTF8"],
            capture_output=True, text=True, cwd=home, check=False, **who,
        )  # fmt: skip
        if made.returncode != 0:
            pytest.skip(f"PostgreSQL cannot be set up here: {made.stderr.strip()[-200:]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [postgres, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", str(home), "-F"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **who,
        )  # fmt: skip
        try:
            url = f"postgresql://me@127.0.0.1:{port}/postgres"
            yield _ready(url, process)
        finally:
            process.terminate()
            process.wait(30)


def _ready(url: str, process: subprocess.Popen[bytes]) -> str:
    import psycopg2

    for _ in range(200):
        try:
            psycopg2.connect(url).close()
        except psycopg2.OperationalError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return url
    pytest.skip("PostgreSQL does not start here")


def test_a_server_has_the_same_rows_and_keeps_those_of_others(six_cases, database, server, capsys):
    from ase import Atoms

    with connect(server) as db:
        db.write(Atoms("He"), mine=1, campaign="six")
    for _ in range(2):
        assert export(six_cases, server) == 0
    assert "me@" not in capsys.readouterr().out
    with connect(server) as db, connect(database) as file:
        assert len(db) == 17
        assert db.count(mine=1) == 1
        assert db.count("verdict_Li=diffusive") == file.count("verdict_Li=diffusive")
        for row in file.select():
            other = db.get(case=row.case, stage=row.stage)
            assert other.key_value_pairs == row.key_value_pairs
            assert other.positions == pytest.approx(row.positions)
            assert other.energy == row.energy
            assert other.data["species"] == row.data["species"]


def test_all_is_in_one_transaction(six_cases, server, monkeypatch):
    """What breaks in the middle leaves what was there, however many rows there are."""
    campaign = Campaign.load(six_cases)
    results = results_of(campaign)
    write_database(campaign, results, server)
    before = {row.id for row in connect(server).select()}
    monkeypatch.setattr(
        "ase_db_backends.postgresql.PostgreSQLDatabase.managed_connection.__wrapped__.__defaults__",
        (1,),
        raising=False,
    )
    real = write_database.__globals__["data_of"]
    left = [9]

    def breaking(row, whole):
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("broke")
        return real(row, whole)

    monkeypatch.setitem(write_database.__globals__, "data_of", breaking)
    with pytest.raises(RuntimeError, match="broke"):
        write_database(campaign, results, server)
    assert {row.id for row in connect(server).select()} == before


def test_a_database_that_is_none_is_said(six_cases, server, capsys):
    assert export(six_cases, f"{server.removesuffix('/postgres')}/none") == 2
    assert "cannot be reached" in capsys.readouterr().err
