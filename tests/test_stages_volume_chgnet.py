"""A melt that boils: LiCl at 5000 K has no volume of zero pressure, whatever is extrapolated."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlmd import EquilibrateVolume, Protocol, Relax, Run, pack
from mlmd.errors import StageFailedError

pytest.importorskip("chgnet", reason="needs the chgnet extra")


@pytest.mark.slow
@pytest.mark.chgnet
def test_boiling_melt_has_no_equilibrium_volume(tmp_path: Path) -> None:
    search = EquilibrateVolume(
        name="volume",
        temperature_K=5000,
        duration_ps=0.3,
        record_every_fs=10,
        max_duration_factor=1,
        max_scale=2.0,
    )
    protocol = Protocol(name="boil", stages=(Relax(name="relax"), search))
    atoms = pack("LiCl", n_atoms=16, volume_per_atom_A3=23)
    with pytest.raises(StageFailedError, match="no_equilibrium_volume"):
        protocol.run(atoms, "chgnet", tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.status == "failed"
    result = run.manifest.stage("volume").result
    assert result is not None
    assert result["status"] == "no_equilibrium_volume"
    assert result["volume_A3"] is None
    pressures = [point["pressure_GPa"] for point in result["points"]]
    volumes = [point["volume_A3"] for point in result["points"]]
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(2 * 16 * 23)
    # With 32 atoms and longer runs: 15.7 GPa at 18.4 A3/atom, 1.1 at 46.
    assert all(pressure > 0 for pressure in pressures)
    assert 8 < pressures[0] < 25
    assert pressures[-1] < 3
    assert (run.path / "02-volume" / "volumes.csv").read_text().count("\n") == len(pressures) + 1
