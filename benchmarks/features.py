"""Features of structures: time of one snapshot, of a pymatgen peer, and of 10,000 structures.

    python benchmarks/features.py [--structures 10000 --jobs 2 --repeats 30]

The peer is what one writes on pymatgen's ``Structure.get_neighbor_list``: the fourteen neighbour
features (counts, ionicities, shortest distances, anion framework, straight paths), site by site as
they are defined; without the paths also with NumPy on the arrays of the list ("arrays"), which is
as far as that list can be pushed. All start from a ready structure of either kind. The many are
against a plain loop with the peer's fourteen features, timed over a hundredth of them. Prints
medians of CPU time, which other work on the machine disturbs least, and ratios; exits 1 if the two
disagree or a target is missed.
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
from mlmd.descriptors.snapshot import BOND_A, ROUNDING_A, Snapshot
from mlmd.structure.packing import pack

if TYPE_CHECKING:
    from ase import Atoms

FORMULAS = ("Li3PS4", "LiAlO2", "Li2Si2O5", "LiPF6")
NEIGHBOUR_FEATURES = ("LNC", "SNC", "LLB", "SDLC", "LBI", "SBI", "SDLI")
NEIGHBOUR_FEATURES += ("AFC", "AASD", "LASD", "LLSD")
PATH_FEATURES = ("SLPW", "SLPW_pp", "SLPE")
SNAPSHOT_MS, RATIO, MANY_S, MEMORY_MB = 10.0, 5.0, 120.0, 50.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cells = [pack(formula, n_atoms=100, seed=1) for formula in FORMULAS]
    everything, _ = medians_ms(all_features, cells, len, cells, options.repeats)
    print(f"100 atoms, {', '.join(FORMULAS)}: medians of CPU time")
    print(f"  all {len(FEATURES)} features: {everything:.2f} ms   target <= {SNAPSHOT_MS}")
    report: dict[str, float | str] = {"benchmark": "features", "all_ms": everything}
    good = everything <= SNAPSHOT_MS
    try:
        from pymatgen.io.ase import AseAtomsAdaptor
    except ImportError:
        print("  pymatgen is not installed: no ratio; pip install pymatgen")
        good = False
    else:
        structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in cells]
        with_paths = (*NEIGHBOUR_FEATURES, *PATH_FEATURES)
        for name, peer, names in (
            ("loops_paths", with_loops_and_paths, with_paths),
            ("loops", with_loops, NEIGHBOUR_FEATURES),
            ("arrays", with_arrays, NEIGHBOUR_FEATURES),
        ):
            ours = chosen(names)
            difference = max(
                abs(peer(structure)[key] - value)
                for structure, atoms in zip(structures, cells, strict=True)
                for key, value in ours(atoms).items()
            )
            ours_ms, peer_ms = medians_ms(ours, cells, peer, structures, options.repeats)
            report[f"ours_{name}_ms"], report[f"pymatgen_{name}_ms"] = ours_ms, peer_ms
            report[f"ratio_{name}"] = peer_ms / ours_ms
            target = f"target >= {RATIO:g}" if name == "loops_paths" else ""
            print(
                f"  {len(names)} features, {name:12s} ours {ours_ms:6.2f} ms, pymatgen "
                f"{peer_ms:6.2f} ms: {peer_ms / ours_ms:5.1f} times; largest difference "
                f"{difference:.1e}   {target}"
            )
            good = good and difference < 1e-6
        good = good and report["ratio_loops_paths"] >= RATIO
    report |= many(options.structures, options.jobs, cells)
    if "ratio_loops_paths" in report:
        report["plain_loop_s"] = plain_loop_s(options.structures, cells)
        print(
            f"  a plain loop with pymatgen, 14 features: {report['plain_loop_s']:.1f} s: "
            f"{report['plain_loop_s'] / report['many_s']:.1f} times"
        )
    good = good and report["many_s"] <= max(10.0, MANY_S * options.structures / 10_000)
    good = good and report["memory_growth_MB"] <= MEMORY_MB
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in report.items()}))
    return 0 if good else 1


def medians_ms(
    ours: Callable, cells: list, peer: Callable, structures: list, repeats: int
) -> tuple[float, float]:
    """Median CPU time of ours and of the peer in turns of ten, the first of each to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(max(1, repeats // 10)):
        for mine, theirs in zip(cells, structures, strict=True):
            for kind, work, item in ((0, ours, mine), (1, peer, theirs)):
                work(item)
                for _ in range(10):
                    start = time.process_time()
                    work(item)
                    times[kind].append(time.process_time() - start)
    return 1000.0 * statistics.median(times[0]), 1000.0 * statistics.median(times[1])


def chosen(names: tuple[str, ...]) -> Callable[[Atoms], dict[str, float]]:
    features = [feature for feature in FEATURES if feature.name in names]

    def work(atoms: Atoms) -> dict[str, float]:
        snapshot = Snapshot.of_atoms(atoms)
        return {feature.name: feature.of_snapshot(snapshot) for feature in features}

    return work


def all_features(atoms: Atoms) -> dict[str, float]:
    return measure(Snapshot.of_atoms(atoms))


def disturbed(n: int, cells: list[Atoms]) -> Iterator[Atoms]:
    rng = np.random.default_rng(0)
    for i in range(n):
        atoms = cells[i % len(cells)].copy()
        atoms.positions += rng.normal(0.0, 0.05, atoms.positions.shape)
        yield atoms


def many(n: int, jobs: int, cells: list[Atoms]) -> dict[str, float]:
    """Featurize n structures from a generator; memory after a tenth against that at the end."""
    memory_MB: list[float] = []

    def watch(done: int, _: int | None) -> None:
        if done in (max(1, n // 10), n):
            memory_MB.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    start = time.perf_counter()
    featurize(disturbed(n, cells), n_jobs=jobs, progress=watch)
    seconds = time.perf_counter() - start
    worker_MB = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    growth = memory_MB[-1] - memory_MB[0]
    print(
        f"{n} structures in {jobs} processes: {seconds:.1f} s wall   target <= "
        f"{MANY_S * n / 10_000:g}; memory {memory_MB[0]:.0f} MB after the first tenth, "
        f"{memory_MB[-1]:.0f} MB at the end, the largest worker {worker_MB:.0f} MB"
    )
    return {"structures": n, "many_s": seconds, "memory_growth_MB": growth, "worker_MB": worker_MB}


def plain_loop_s(n: int, cells: list[Atoms]) -> float:
    """Wall time of n structures one after another with pymatgen, converted from ASE's."""
    from pymatgen.io.ase import AseAtomsAdaptor

    part = max(1, n // 100)
    start = time.perf_counter()
    for atoms in disturbed(part, cells):
        with_loops_and_paths(AseAtomsAdaptor.get_structure(atoms))
    return (time.perf_counter() - start) * n / part


def with_loops(structure) -> dict[str, float]:
    """The neighbour features by pymatgen's list of pairs, site by site."""
    symbols = [site.specie.symbol for site in structure]
    x = [site.specie.X for site in structure]
    mobile = [i for i, symbol in enumerate(symbols) if symbol == "Li"]
    anion = max({s for s in symbols if s != "Li"}, key=lambda s: x[symbols.index(s)])
    anions = [i for i, symbol in enumerate(symbols) if symbol == anion]
    around: list[list[tuple[int, float]]] = [[] for _ in symbols]
    for i, j, _, d in zip(*structure.get_neighbor_list(5.0), strict=True):
        around[i].append((j, d))
    near = [[(j, d) for j, d in one if d <= BOND_A + ROUNDING_A] for one in around]
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


def with_loops_and_paths(structure) -> dict[str, float]:
    """All of them; the straight paths atom by atom, NumPy over the neighbours of each."""
    from ase.data import covalent_radii

    x = np.array([site.specie.X for site in structure])
    radii = covalent_radii[[site.specie.Z for site in structure]]
    mobile = np.array([site.specie.symbol == "Li" for site in structure])
    first, second, offsets, d = structure.get_neighbor_list(5.0)
    shifted = structure.frac_coords[second] + offsets
    vectors = (shifted - structure.frac_coords[first]) @ structure.lattice.matrix
    widths, centre_widths, nearest_x = [], [], []
    for i in np.flatnonzero(mobile):
        around = np.flatnonzero(first == i)
        ends = around[mobile[second[around]]]
        end = ends[np.argmin(d[ends])]
        others = around[around != end]
        to, along = vectors[others], vectors[end]
        share = np.clip(to @ along / d[end] ** 2, 0.0, 1.0)
        centres = np.linalg.norm(to - share[:, None] * along, axis=1)
        surfaces = centres - radii[second[others]]
        widths.append(surfaces.min())
        centre_widths.append(centres.min())
        nearest_x.append(x[second[others[np.argmin(surfaces)]]])
    paths = {
        "SLPW": float(np.mean(widths)),
        "SLPW_pp": float(np.mean(centre_widths)),
        "SLPE": float(np.mean(nearest_x)),
    }
    return with_loops(structure) | paths


def with_arrays(structure) -> dict[str, float]:
    """The same with NumPy on the arrays of the list."""
    numbers = np.array(structure.atomic_numbers)
    x = np.array([site.specie.X for site in structure])
    mobile = numbers == 3
    anion = numbers == numbers[np.argmax(np.where(mobile, 0.0, x))]
    i, j, _, d = structure.get_neighbor_list(5.0)
    near = d <= BOND_A + ROUNDING_A
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
