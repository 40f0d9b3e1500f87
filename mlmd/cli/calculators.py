"""``mlmd calculators``: what can be named, and what would have to be installed."""

from __future__ import annotations

import json

from mlmd.cli.options import AsJson


def calculators_command(as_json: AsJson = False) -> None:
    """List the known calculators."""
    from mlmd.calculators.registry import KNOWN, is_installed

    rows = {
        name: {
            "installed": is_installed(name),
            "install": f"pip install 'mlmd[{entry.extra}]'" if entry.extra else None,
            "summary": entry.summary,
        }
        for name, entry in KNOWN.items()
    }
    if as_json:
        print(json.dumps(rows))
        return
    width = max(len(name) for name in rows)
    for name, row in rows.items():
        state = "installed" if row["installed"] else row["install"]
        print(f"{name:<{width}}  {state}  {row['summary']}")
    print(f"{'':<{width}}  and package.module:factory, a function of yours that returns one")
