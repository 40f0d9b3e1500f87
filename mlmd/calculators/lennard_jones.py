"""The old place of :class:`~mlmd.calculators.models.lennard_jones.LennardJones`, for scripts."""

from mlmd.calculators.models.lennard_jones import LennardJones

__all__ = ["LennardJones"]
