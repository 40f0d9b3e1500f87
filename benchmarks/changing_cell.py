"""D of ions in a cell that a barostat moves, by four ways to unwrap; no peer.

    python benchmarks/changing_cell.py [--seeds 25] [--frames 1500 20000]

The truth is known. Ways: "lattice", positions as they are, whole cell vectors of the frame added;
"toroidal", nearest images of the steps in the cell of the frame (von Bülow, Bullerjahn, Hummer
2020, DOI 10.1063/5.0008316); "mean cell", fractional coordinates times the mean cell; "mlmd", steps
of the fractional coordinates times the cell of the step, which is what `diffusivity` does. The
framework only vibrates: its squared displacement over half the run is 0.128 A2, and more if cell
motion is in it. Exits 1 if ours is off by more than three standard errors and 1 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from synthetic_motion import CELL_MOTIONS, UNDER_PRESSURE_D_CM2_S, under_pressure

from mlmd import Trajectory, diffusivity
from mlmd.analysis.diffusion.cell_motion import without_cell_motion


def toroidal(fractional: np.ndarray, cells: np.ndarray) -> np.ndarray:
    folded = (fractional - np.floor(fractional)) @ cells
    steps = np.diff(folded, axis=0)
    steps -= np.rint(steps @ np.linalg.inv(cells[1:])) @ cells[1:]
    return np.concatenate([folded[:1], folded[0] + np.cumsum(steps, axis=0)])


def ways(trajectory: Trajectory) -> dict[str, Trajectory]:
    """The same motion, each with a cell that stays, so that nothing more is taken out."""
    cells = trajectory.cells_A()
    fractional = trajectory.positions_A @ np.linalg.inv(cells)
    paths = {
        "lattice": trajectory.positions_A,
        "toroidal": toroidal(fractional, cells),
        "mean cell": fractional @ cells.mean(axis=0),
        "mlmd": without_cell_motion(trajectory).positions_A,
    }
    return {
        name: replace(trajectory, positions_A=path, cell_A=cells[0]) for name, path in paths.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--frames", type=int, nargs="+", default=[1500])
    given = parser.parse_args()
    failed = False
    rows = []
    for frames in given.frames:
        for kind in CELL_MOTIONS:
            found: dict[str, list[tuple[float, bool, float]]] = {}
            for seed in range(given.seeds):
                for name, one in ways(under_pressure(kind, seed, frames)).items():
                    D = diffusivity(one, "Li", drift="framework")
                    assert D.D_interval68_cm2_s is not None
                    low, high = D.D_interval68_cm2_s
                    framework = one.positions_A[:, one.indices("O")]
                    away = framework - framework.mean(axis=1, keepdims=True)
                    half = frames // 2
                    moved = ((away[half:] - away[:-half]) ** 2).sum(axis=2).mean()
                    held = low <= UNDER_PRESSURE_D_CM2_S <= high
                    found.setdefault(name, []).append(
                        (D.D_raw_cm2_s / UNDER_PRESSURE_D_CM2_S - 1.0, held, float(moved))
                    )
            for name, values in found.items():
                bias, held, moved = (
                    np.array(column, float) for column in zip(*values, strict=True)
                )
                stderr = bias.std(ddof=1) / np.sqrt(len(bias))
                print(
                    f"{frames} frames, the cell {kind}: {name}: D {100 * bias.mean():+.2f} "
                    f"+- {100 * stderr:.2f} %, interval holds {held.sum():.0f} of {len(held)}, "
                    f"framework {moved.mean():.3f} A2",
                    flush=True,
                )
                rows.append([frames, kind, name, round(100 * bias.mean(), 2), int(held.sum())])
                failed |= name == "mlmd" and abs(bias.mean()) > max(3.0 * stderr, 0.01)
    print(json.dumps({"benchmark": "changing_cell", "seeds": given.seeds, "rows": rows}))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
