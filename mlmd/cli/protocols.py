"""``mlmd protocols``: the recipes that ship with mlmd."""

from __future__ import annotations

from mlmd.cli.options import AsJson
from mlmd.plain import json_line


def protocols_command(as_json: AsJson = False) -> None:
    """List the protocols that ship with mlmd."""
    from mlmd.analysis.recipe import RecipeAnalysis
    from mlmd.protocol import Protocol
    from mlmd.protocol.recipes import recipe_names

    protocols = {name: Protocol.load(name) for name in recipe_names()}
    if as_json:
        print(json_line({name: protocol.to_dict() for name, protocol in protocols.items()}))
        return
    for name, protocol in protocols.items():
        print(f"{name}: {' '.join(protocol.description.split())}")
        print(f"  reference: {protocol.reference}")
        if protocol.analysis:
            print(f"  measured by {RecipeAnalysis(name, protocol.analysis)}")
        for stage in protocol.stages:
            start = f" from {stage.starts_from}" if stage.starts_from else ""
            print(f"  {stage.name} ({type(stage).__name__}{start})")
