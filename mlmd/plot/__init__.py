"""Plots: ``plot_x(result, ax=None) -> Axes``. Matplotlib is imported when one is drawn."""

from mlmd.plot.arrhenius import plot_arrhenius
from mlmd.plot.equation_of_state import plot_equation_of_state
from mlmd.plot.msd import plot_msd
from mlmd.plot.rdf import plot_rdf

__all__ = ["plot_arrhenius", "plot_equation_of_state", "plot_msd", "plot_rdf"]
