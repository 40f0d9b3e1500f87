"""D of `make demo` against a recorded longer CHGNet run of the same settings.

    python benchmarks/demo_reference.py [runs/demo]

The demo is measured by the default estimator, the longer run by its many windows. Sigma is the half
width of the demo's 68 % interval and the longer run's standard error together.
Exits 1 if any D is more than two sigma off.
"""

from __future__ import annotations

import json
import sys
from math import hypot
from pathlib import Path

from mlmd import Run
from mlmd.analysis.summary import summarize
from mlmd.run.measured import measured_stages

REFERENCE = Path(__file__).parent / "reference" / "licl_chgnet_27A3.json"


def main() -> int:
    run = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    if not run.exists():
        print(f"no run in {run}; make it with: make demo")
        return 0
    reference = json.loads(REFERENCE.read_text())
    summary = summarize(measured_stages(Run.open(run)))
    worst = 0.0
    for name, longer in reference["stages"].items():
        for symbol, known in longer["species"].items():
            found = summary.stages[name].species[symbol]
            assert found.D_half_width68_cm2_s is not None
            off = found.D_raw_cm2_s - known["D_cm2_s"]
            sigmas = abs(off) / hypot(found.D_half_width68_cm2_s, known["D_stderr_cm2_s"])
            if symbol == "Li":
                worst = max(worst, sigmas)
            print(
                f"{name} {symbol}: {found.D_raw_cm2_s:.2e} against {known['D_cm2_s']:.2e} "
                f"+- {known['D_stderr_cm2_s']:.1e} cm2/s of {longer['duration_ps']:g} ps: "
                f"{sigmas:.1f} sigma"
            )
    print(json.dumps({"benchmark": "demo_reference", "worst_sigma_Li": round(worst, 2)}))
    return int(worst > 2)


if __name__ == "__main__":
    sys.exit(main())
