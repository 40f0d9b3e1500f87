"""A campaign that has ended: six small liquids, two temperatures each, three melts of the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlmd.campaign import Campaign, run_campaign

PROTOCOL = """\
schema: 1
name: liquid
stages:
  - {name: melt, class: Equilibrate, temperature_K: 300, duration_ps: 0.4, timestep_fs: 2,
     record_every_fs: 40}
  - {name: production-1500K, class: Production, temperature_K: 1500, duration_ps: 2,
     timestep_fs: 4, record_every_fs: 20}
  - {name: production-2500K, class: Production, temperature_K: 2500, duration_ps: 2,
     timestep_fs: 4, record_every_fs: 20}
"""
CAMPAIGN = """\
compositions: [LiCl, LiF]
n_atoms: 24
volume_per_atom_A3: 20
protocol: liquid.yaml
calculators: {name: lj, options: {cutoff_A: 3.5, sigma_A: 2.6, epsilon_eV: 0.1}}
seeds: 3
"""


def make_campaign(folder: Path) -> Path:
    """Run it, and return its file."""
    (folder / "liquid.yaml").write_text(PROTOCOL)
    file = folder / "six.yaml"
    file.write_text(CAMPAIGN)
    with ThreadPoolExecutor(1) as pool:
        state = run_campaign(Campaign.load(file), pool)
    assert state.counts["done"] == 6, state
    return file
