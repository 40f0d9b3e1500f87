"""What `mlmd --help` takes beyond `import numpy, ase`, each in a new process.

Exits 1 if it is more than 0.4 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

TARGET_S = 0.4
COMMANDS = {
    "mlmd --help": ["-m", "mlmd.cli", "--help"],
    "import numpy, ase": ["-c", "import numpy, ase"],
}


def seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for arguments in COMMANDS.values():
        seconds(arguments)  # compiles what is not compiled yet
    for _ in range(repeats):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    s = {name: round(statistics.median(times), 3) for name, times in taken.items()}
    ours, bare = taken.values()
    added_s = statistics.median(a - b for a, b in zip(ours, bare, strict=True))
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    print(", ".join(f"{name}: {time_s} s" for name, time_s in s.items()))
    print(f"added {added_s:.3f} s (target {TARGET_S}), ratio {ratio:.2f}")
    print(
        json.dumps(
            {
                "benchmark": "import_time",
                "s": s,
                "added_s": round(added_s, 3),
                "ratio": round(ratio, 2),
                "target_s": TARGET_S,
            }
        )
    )
    return int(added_s > TARGET_S)


if __name__ == "__main__":
    sys.exit(main())
