"""The page of a large campaign in Chromium: its size, how long it opens, how long a filter takes.

5,000 productions: 1,000 compositions at five temperatures, of two species each, so 10,000 lines of
the table; ``--productions`` has it otherwise, ``--keep FILE`` keeps the page.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser import Page, browser

from mlmd import CalculatorSpec, Protocol
from mlmd.analysis.diffusion.diffusivity import Diffusivity
from mlmd.analysis.diffusion.estimators.estimate import DiffusivitySettings
from mlmd.analysis.diffusion.gate import Motion
from mlmd.campaign import Campaign, CampaignResults, CampaignState, ResultRow
from mlmd.campaign.plan import Planned
from mlmd.report.campaign.report import campaign_page

TEMPERATURES_K = (1000.0, 1250.0, 1500.0, 2000.0, 2500.0)
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se", "Te", "N", "P")
KB_EV_K = 8.617333262e-5
REPEATS = 7


def diffusivity(symbol: str, D: float, error: float, diffusive: bool) -> Diffusivity:
    """A result as it would be, without curves."""
    verdict = "diffusive" if diffusive else "too_short"
    return Diffusivity(
        species=symbol,
        D_raw_cm2_s=D,
        D_stderr_cm2_s=error,
        D_interval68_cm2_s=(D - error, D + error),
        df=20.0,
        D_axes_cm2_s=np.full(3, D),
        D_upper_bound_cm2_s=None if diffusive else D + 2 * error,
        D_lower_bound_cm2_s=None if diffusive else 0.0,
        n_windows=1,
        motion=Motion(verdict, 8.0, 0.9, 40.0, 0.3, "of this script", None if diffusive else 2.0),
        window_D_cm2_s=np.empty(0),
        lag_ps=np.zeros(2),
        msd_A2=np.zeros(2),
        msd_spread_A2=None,
        window_msd_A2=np.zeros((1, 2)),
        intercept_A2=0.0,
        settings=DiffusivitySettings(),
        details={},
        n_atoms=50,
        duration_ps=40.0,
        interval_fs=20.0,
        source="made",
    )


def rows_of(case: str, rng: np.random.Generator) -> Iterator[ResultRow]:
    """Productions of one case: Arrhenius with an error of ten percent, cold ones too short."""
    formula = case.rpartition("-")[0]
    anion = "".join(one for one in formula.removeprefix("Li") if one.isalpha()) or "O"
    barriers = {"Li": rng.uniform(0.15, 0.6), anion: rng.uniform(0.5, 1.2)}
    laws = {
        symbol: {"E_a_eV": E_a, "E_a_interval68_eV": [E_a - 0.03, E_a + 0.03], "D0_cm2_s": 2e-3}
        for symbol, E_a in barriers.items()
    }
    for T_K in TEMPERATURES_K:
        species = {}
        for symbol, E_a in barriers.items():
            D = 2e-3 * np.exp(-E_a / (KB_EV_K * T_K)) * rng.normal(1.0, 0.1)
            species[symbol] = diffusivity(symbol, float(D), float(0.1 * D), D > 3e-6)
        yield ResultRow(
            case=case, group=f"{case}-g", n_melts=1, formula=formula, n_atoms=100,
            calculator="chgnet", seed=0, stage=f"production-{T_K:g}K", temperature_K=T_K,
            duration_ps=40.0, wall_s=600.0, volume_per_atom_A3=float(rng.uniform(10, 30)),
            volume_per_atom_stderr_A3=0.1, species=species, laws=laws,
            flags=("unconverged_volume",) if rng.random() < 0.1 else (),
            findings={s: (f"motion_{one.verdict}",) for s, one in species.items()},
            versions={"mlmd": "0", "chgnet": "0.4.2"}, path=Path("runs", case),
        )  # fmt: skip


def made(n_productions: int) -> tuple[Campaign, CampaignResults, CampaignState]:
    """A campaign that never was: a tenth of it failed, a tenth still waits."""
    rng = np.random.default_rng(0)
    n_cases = -(-n_productions // len(TEMPERATURES_K))
    names = [f"Li{1 + n // 200}{ANIONS[n % 10]}{1 + n // 10 % 20}-{n:012x}" for n in range(n_cases)]
    waiting = [f"LiX{n}-{n:012x}" for n in range(n_cases // 10)]
    failed = [f"LiY{n}-{n:012x}" for n in range(n_cases // 10)]
    planned = [Planned(name, {}, 0, 0, f"{name}-g", 100) for name in (*names, *failed, *waiting)]
    campaign = Campaign(
        "large",
        Path("runs"),
        (Protocol.load("zheng2024"),),
        (CalculatorSpec("chgnet"),),
        tuple(planned),
    )
    rows = tuple(row for name in names for row in rows_of(name, rng))
    kinds = ("unstable", "no_volume", "memory")
    failures = {
        name: {"kind": kinds[n % 3], "message": "stage 'melt' failed: a force of 900 eV/A"}
        for n, name in enumerate(failed)
    }
    states = {name: "done" for name in names} | dict.fromkeys(failed, "failed")
    states |= dict.fromkeys(waiting, "waiting")
    counts = {"done": len(names), "running": 0, "failed": len(failed), "waiting": len(waiting)}
    return campaign, CampaignResults(rows, {}), CampaignState(counts, failures, states)


def measure(tab: Page, file: Path) -> None:
    """Print how long the page takes in Chromium."""
    opened, ready = [], []
    for _ in range(REPEATS):
        began = time.perf_counter()
        tab.open(file, width=1280)
        assert tab.evaluate("document.querySelectorAll('tr.line').length") > 0
        opened.append(1000 * (time.perf_counter() - began))
        ready.append(tab.evaluate("performance.getEntriesByType('navigation')[0].domComplete"))
    print(f"opened until drawn: {statistics.median(opened):.0f} ms (by the browser's own clock "
          f"{statistics.median(ready):.0f} ms)")  # fmt: skip
    for what, change in {
        "a text": "f.elements.text.value = 'li2 br'",
        "another species": "f.elements.species.value = ''",
        "one temperature": "f.elements.T.value = '1500'",
        "nothing": "f.reset()",
        "compositions": "f.elements.view.value = 'laws'",
    }.items():
        took = tab.evaluate(
            "(() => { const f = document.getElementById('filters'), t = performance.now(); "
            f"{change}; f.dispatchEvent(new Event('input')); document.body.offsetHeight; "
            "return performance.now() - t; })()"
        )
        print(f"filter by {what}: {took:.1f} ms, {tab.evaluate('count.textContent')}")
    took = tab.evaluate(
        "(() => { const t = performance.now(); "
        "document.querySelectorAll('button.sort')[2].click(); "
        "document.body.offsetHeight; return performance.now() - t; })()"
    )
    print(f"sorted: {took:.1f} ms")
    assert tab.complaints() == []


def main() -> None:
    """Make the page, open it, use it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--productions", type=int, default=5000)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    campaign, results, state = made(asked.productions)
    began = time.perf_counter()
    html = campaign_page(campaign, results, state, Path())
    print(f"{len(results.rows)} productions: {len(html.encode()) / 1e6:.2f} MB, "
          f"made in {time.perf_counter() - began:.2f} s")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, browser() as tab:
        file = asked.keep or Path(folder, "report.html")
        file.write_text(html, encoding="utf-8")
        measure(tab, file)


if __name__ == "__main__":
    main()
