"""Protocols: named stages, to and from YAML, and the engine that runs them."""

from mlmd.protocol.protocol import Protocol

__all__ = ["Protocol"]
