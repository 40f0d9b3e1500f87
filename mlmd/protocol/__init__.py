"""Protocols: named stages, to and from YAML, and the engine that runs them.

May import `_version`, `analysis/recipe`, `calculators`, `checks`, `errors`, `files`, `plain`,
`processes`, `run`, `stages`, `structure`, `temporary`, `trajectory`, `yaml_text`.
"""

from mlmd.protocol.protocol import Protocol

__all__ = ["Protocol"]
