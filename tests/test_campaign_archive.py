"""A finished run is one file, and a run again when it is to go on."""

from __future__ import annotations

import os
import shutil
import tarfile

import pytest
from campaigns import assert_as_alone, content_of, here
from runs import assert_equal_bits

from mlmd import Run
from mlmd.campaign import Campaign, state_of
from mlmd.campaign.archive import archive_of, opened_run, pack_run, unpack_run
from mlmd.errors import DamagedDataError, RunLockedError
from mlmd.run.lock import RunLock


@pytest.fixture
def content(tmp_path):
    return content_of(tmp_path)


@pytest.fixture
def done(content, tmp_path):
    """A finished case of a campaign, and a copy of its directory."""
    campaign = Campaign.from_dict(
        {**content, "compositions": ["LiCl"], "seeds": 1}, beside=tmp_path
    )
    here(campaign)
    directory = campaign.folder / campaign.cases[0].name
    shutil.copytree(directory, tmp_path / "copy")
    return campaign, directory, Run.open(tmp_path / "copy")


def test_a_packed_campaign_is_a_file_for_each_case_and_goes_on(content, tmp_path):
    packed = Campaign.from_dict({**content, "pack": True}, beside=tmp_path)
    assert here(packed).counts["done"] == 4
    left = [path.name for path in packed.folder.iterdir() if "campaign-" not in path.name]
    assert sorted(left) == sorted(f"{case.name}.tar" for case in packed.cases)
    # To be lengthened they are unpacked, and packed again.
    longer = Campaign.from_dict(
        {**content, "pack": True, "until": {"relative_error": 0.001, "max_ps": 0.2}},
        beside=tmp_path,
    )
    assert state_of(longer).counts["waiting"] == 4
    assert here(longer).counts["done"] == 4
    for case in longer.cases:
        with opened_run(longer.folder / case.name) as run:
            assert run.trajectory("production").duration_ps == pytest.approx(0.2)
    # Not packed any more, they are ordinary runs: those that were never packed.
    for file in longer.folder.glob("campaign-*.jsonl"):
        file.unlink()
    plain = Campaign.from_dict({**content, "set": {"production.duration_ps": 0.1}}, beside=tmp_path)
    assert [one.name for one in plain.cases] == [one.name for one in packed.cases]
    assert here(plain).counts["done"] == 4
    assert not list(plain.folder.glob("*.tar"))


def test_packed_and_unpacked_is_what_it_was(done):
    _, directory, before = done
    archive = pack_run(directory)
    assert archive == archive_of(directory)
    assert not directory.exists()
    with opened_run(directory) as run:
        assert_equal_bits(run, before)
        assert run.verify() == {}
    assert not directory.exists()
    unpack_run(directory)
    assert_equal_bits(Run.open(directory), before)
    assert not archive.exists()
    unpack_run(directory)  # there is nothing to do
    assert sorted(path.name for path in directory.parent.iterdir() if path.name[0] == ".") == []


@pytest.mark.parametrize("step", ["write", "rename", "remove"])
def test_killed_in_the_middle_of_packing_nothing_is_lost(done, tmp_path, monkeypatch, step):
    campaign, directory, before = done

    class Killed(BaseException):
        pass

    def kill(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(tarfile.TarFile, "add", kill)
        elif step == "rename":
            rename = os.rename
            patch.setattr(os, "rename", lambda a, b: kill() if a == directory else rename(a, b))
        else:
            patch.setattr(shutil, "rmtree", kill)
        with pytest.raises(Killed):
            pack_run(directory)
    for file in campaign.folder.glob("campaign-*.jsonl"):
        file.unlink()
    here(campaign)
    assert_equal_bits(Run.open(directory), before)
    left = {path.name for path in directory.parent.iterdir() if "campaign-" not in path.name}
    assert left == {directory.name}
    assert_as_alone(campaign, tmp_path / "alone")


def test_damage_is_not_packed_and_a_damaged_file_is_said(done):
    campaign, directory, _ = done
    archive = pack_run(directory)
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(DamagedDataError, match="remove it"), opened_run(directory):
        pass
    for file in campaign.folder.glob("campaign-*.jsonl"):
        file.unlink()
    ((_, failure),) = here(campaign).failures.items()
    assert "remove it, and the same command does its case again" in failure["message"]
    archive.unlink()
    assert here(campaign, retry=True).counts["done"] == 1
    trajectory = directory / "02-production" / "trajectory.h5md"
    content = bytearray(trajectory.read_bytes())
    content[len(content) // 2] ^= 1
    trajectory.write_bytes(content)
    with pytest.raises(DamagedDataError):
        pack_run(directory)
    assert trajectory.exists()
    assert not archive.exists()


def test_a_run_at_work_is_not_packed(done):
    _, directory, _ = done
    with RunLock(directory), pytest.raises(RunLockedError):
        pack_run(directory)
    assert directory.exists()
