"""Features of structures: time of one snapshot, of a pymatgen peer, and of 10,000 structures.

    python benchmarks/features.py [--structures 10000 --jobs 2 --repeats 30]

The peer is what one writes on pymatgen's ``Structure.get_neighbor_list``: the eleven neighbour
features (counts, ionicities, shortest distances, anion framework), with the loops over sites that
its list of directed pairs asks for; once more with NumPy in their place ("arrays"). Both times
start from a ready structure of either kind. Prints medians of CPU time, which other work on the
machine disturbs least, and ratios; exits 1 if the two disagree or a target is missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from mlmd.descriptors.features import FEATURES, measure
from mlmd.descriptors.featurize import featurize
from mlmd.descriptors.snapshot import Snapshot
from mlmd.structure.packing import pack

if TYPE_CHECKING:
    from ase import Atoms

FORMULAS = ("Li3PS4", "LiAlO2", "Li2Si2Os", "LiPF6")
NEIGHBOUR_FEATURES = ("LNC", "SNC", "LLB", "SDLC", "LBI", "SBI", "SDLI")
NEIGHBOUR_FEATURES += ("AFC", "AASD", "LASD", "LLSD")
SNAPSHOT_MS, RATIO, MANY_S, MEMORY_MB = 10.0, 5.0, 120.0, 50.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cells = [pack(formula, n_atoms=100, seed=1) for formula in FORMULAS]
    everything = median_ms(lambda atoms: measure(Snapshot.of_atoms(atoms)), cells, options.repeats)
    ours = median_ms(neighbour_features, cells, options.repeats)
    print(f"100 atoms, {', '.join(FORMULAS)}: medians of CPU time")
    print(f"  all {len(FEATURES)} features          {everything:8.2f} ms   target <= {SNAPSHOT_MS}")
    print(f"  neighbour features       {ours:8.2f} ms")
    report = {"benchmark": "features", "all_ms": everything, "neighbour_ms": ours}
    good = everything <= SNAPSHOT_MS
    try:
        from pymatgen.io.ase import AseAtomsAdaptor
    except ImportError:
        print("  pymatgen is not installed: no ratio; pip install pymatgen")
        good = False
    else:
        structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in cells]
        for name, peer in {"loops": with_loops, "arrays": with_arrays}.items():
            difference = max(
                abs(peer(structure)[key] - value)
                for structure, atoms in zip(structures, cells, strict=True)
                for key, value in neighbour_features(atoms).items()
            )
            peer_ms = median_ms(peer, structures, options.repeats)
            report[f"pymatgen_{name}_ms"], report[f"ratio_{name}"] = peer_ms, peer_ms / ours
            print(
                f"  pymatgen, {name:12s}   {peer_ms:8.2f} ms   {peer_ms / ours:5.1f} times ours, "
                f"largest difference {difference:.1e}"
            )
            good = good and difference < 1e-6
        good = good and report["ratio_loops"] >= RATIO
    report |= many(options.structures, options.jobs, cells)
    good = good and report["many_s"] <= MANY_S * options.structures / 10_000
    good = good and report["memory_growth_MB"] <= MEMORY_MB
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in report.items()}))
    return 0 if good else 1


def median_ms(work: Callable, items: list, repeats: int) -> float:
    """Median CPU time per item, each warmed up."""
    for item in items:
        work(item)
    times = []
    for _ in range(repeats):
        for item in items:
            start = time.process_time()
            work(item)
            times.append(time.process_time() - start)
    return 1000.0 * statistics.median(times)


def neighbour_features(atoms: Atoms) -> dict[str, float]:
    snapshot = Snapshot.of_atoms(atoms)
    chosen = [f for f in FEATURES if f.name in NEIGHBOUR_FEATURES]
    return {f.name: f.of_snapshot(snapshot) for f in chosen}


def many(n: int, jobs: int, cells: list[Atoms]) -> dict[str, float]:
    """Featurize n structures from a generator; memory after a tenth against that at the end."""
    rng = np.random.default_rng(0)

    def structures() -> Iterator[Atoms]:
        for i in range(n):
            atoms = cells[i % len(cells)].copy()
            atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
            yield atoms

    memory_MB: list[float] = []

    def watch(done: int, _: int | None) -> None:
        if done in (max(1, n // 10), n):
            memory_MB.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    start = time.perf_counter()
    featurize(structures(), n_jobs=jobs, progress=watch)
    seconds = time.perf_counter() - start
    growth = memory_MB[-1] - memory_MB[0]
    print(
        f"{n} structures in {jobs} processes: {seconds:.1f} s wall   target <= "
        f"{MANY_S * n / 10_000:g}; memory +{growth:.0f} MB after the first tenth"
    )
    return {"structures": n, "many_s": seconds, "memory_growth_MB": growth}


def with_loops(structure) -> dict[str, float]:
    """The neighbour features by pymatgen's list of pairs, site by site."""
    symbols = [site.specie.symbol for site in structure]
    x = [site.specie.X for site in structure]
    mobile = [i for i, symbol in enumerate(symbols) if symbol == "Li"]
    anion = max({s for s in symbols if s != "Li"}, key=lambda s: x[symbols.index(s)])
    anions = [i for i, symbol in enumerate(symbols) if symbol == anion]
    around: list[list[tuple[int, float]]] = [[] for _ in symbols]
    for i, j, _, d in zip(*structure.get_neighbor_list(6.0), strict=True):
        around[i].append((j, d))
    near = [[(j, d) for j, d in one if d <= 4.0] for one in around]
    counts = [len(near[i]) for i in mobile]
    rest = [i for i in range(len(symbols)) if symbols[i] != "Li"]
    mobile_bonds = [abs(x[i] - x[j]) for i in mobile for j, _ in near[i]]
    rest_bonds = [abs(x[i] - x[j]) for i in rest for j, _ in near[i]]

    def shortest(i: int, symbol: str) -> float:
        return min(d for j, d in around[i] if symbols[j] == symbol)

    shells = []
    for i in anions:
        reach = shortest(i, anion) + 1.0
        shells.append(sum(d <= reach for j, d in around[i] if symbols[j] == anion))
    return {
        "LNC": statistics.fmean(counts),
        "SNC": statistics.fmean(len(near[i]) for i in rest),
        "LLB": sum(symbols[j] == "Li" for i in mobile for j, _ in near[i]) / len(mobile),
        "SDLC": statistics.pstdev(counts),
        "LBI": statistics.fmean(mobile_bonds),
        "SBI": statistics.fmean(rest_bonds),
        "SDLI": statistics.pstdev(mobile_bonds),
        "AFC": statistics.fmean(shells),
        "AASD": statistics.fmean(shortest(i, anion) for i in anions),
        "LASD": statistics.fmean(shortest(i, anion) for i in mobile),
        "LLSD": statistics.fmean(shortest(i, "Li") for i in mobile),
    }


def with_arrays(structure) -> dict[str, float]:
    """The same with NumPy on the arrays of the list."""
    numbers = np.array(structure.atomic_numbers)
    x = np.array([site.specie.X for site in structure])
    mobile = numbers == 3
    anion = numbers == numbers[np.argmax(np.where(mobile, 0.0, x))]
    i, j, _, d = structure.get_neighbor_list(6.0)
    near = d <= 4.0
    counts = np.bincount(i[near], minlength=len(numbers))
    ionicity = np.abs(x[i[near]] - x[j[near]])
    of_mobile = mobile[i[near]]

    def shortest(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        chosen = first[i] & second[j]
        found = np.full(len(numbers), np.inf)
        np.minimum.at(found, i[chosen], d[chosen])
        return found

    between = shortest(anion, anion)
    shell = anion[i] & anion[j] & (d <= between[i] + 1.0)
    return {
        "LNC": counts[mobile].mean(),
        "SNC": counts[~mobile].mean(),
        "LLB": (of_mobile & mobile[j[near]]).sum() / mobile.sum(),
        "SDLC": counts[mobile].std(),
        "LBI": ionicity[of_mobile].mean(),
        "SBI": ionicity[~of_mobile].mean(),
        "SDLI": ionicity[of_mobile].std(),
        "AFC": shell.sum() / anion.sum(),
        "AASD": between[anion].mean(),
        "LASD": shortest(mobile, anion)[mobile].mean(),
        "LLSD": shortest(mobile, mobile)[mobile].mean(),
    }


if __name__ == "__main__":
    sys.exit(main())
