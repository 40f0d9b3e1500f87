"""``mlmd status``: how far a run is."""

from __future__ import annotations

import json

from mlmd.cli.options import AsJson, RunDirectory


def status_command(directory: RunDirectory, as_json: AsJson = False) -> None:
    """Show the stages of a run and what they found."""
    from mlmd.run.lock import read_owner
    from mlmd.run.run import Run

    run = Run.open(directory)
    if as_json:
        stages = [
            {key: getattr(entry, key) for key in ("name", "kind", "status", "result", "error")}
            for entry in run.stages
        ]
        print(json.dumps({"directory": str(run.path), "status": run.status, "stages": stages}))
        return
    owner = read_owner(run.path) if run.status == "running" else None
    by = f" (process {owner['pid']} on {owner['host']})" if owner else ""
    print(f"{run.path}: {run.status}{by}")
    width = max(len(entry.name) for entry in run.stages)
    for entry in run.stages:
        print(f"  {entry.name:<{width}}  {entry.status:<8} {_summary(entry.result, entry.error)}")


def _summary(result: dict[str, float | None] | None, error: str | None) -> str:
    if error:
        return error
    if not result:
        return ""
    parts = []
    for key, unit, digits in (
        ("duration_ps", "ps", 2),
        ("temperature_K", "K", 0),
        ("pressure_GPa", "GPa", 2),
        ("max_force_eV_A", "eV/A", 2),
    ):
        value = result.get(key)
        if value is not None:
            parts.append(f"{value:.{digits}f} {unit}")
    return "  ".join(parts)
