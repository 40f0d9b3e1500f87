"""Plots: ``plot_x(result, ax=None) -> Axes``. Matplotlib is imported when one is drawn.

May import `analysis`, `arrays`, `checks`, `comparison`, `digits`, `errors`, `model`, `numerics`,
`screening`, `stages`.
"""

from mlmd.plot.angles import plot_angles
from mlmd.plot.arrhenius import plot_arrhenius
from mlmd.plot.comparison import (
    plot_diffusivity_parity,
    plot_energy_parity,
    plot_force_parity,
    plot_r2_distribution,
    plot_rdf_parity,
)
from mlmd.plot.coordination import plot_coordination
from mlmd.plot.coverage import plot_coverage
from mlmd.plot.equation_of_state import plot_equation_of_state
from mlmd.plot.events import plot_events
from mlmd.plot.feature_parity import plot_feature_differences, plot_feature_parity
from mlmd.plot.importance import plot_importance, plot_shap_values
from mlmd.plot.model_curves import plot_learning_curve, plot_loss_curve
from mlmd.plot.msd import plot_msd
from mlmd.plot.prediction import plot_predictions
from mlmd.plot.prediction_parity import plot_prediction_parity
from mlmd.plot.rdf import plot_rdf
from mlmd.plot.screening import plot_free_volumes, plot_profiles
from mlmd.plot.start_sensitivity import plot_start_sensitivity
from mlmd.plot.structure_factor import plot_structure_factor
from mlmd.plot.vdos import plot_vdos

__all__ = [
    "plot_angles",
    "plot_arrhenius",
    "plot_coordination",
    "plot_coverage",
    "plot_diffusivity_parity",
    "plot_energy_parity",
    "plot_equation_of_state",
    "plot_events",
    "plot_feature_differences",
    "plot_feature_parity",
    "plot_force_parity",
    "plot_free_volumes",
    "plot_importance",
    "plot_learning_curve",
    "plot_loss_curve",
    "plot_msd",
    "plot_prediction_parity",
    "plot_predictions",
    "plot_profiles",
    "plot_r2_distribution",
    "plot_rdf",
    "plot_rdf_parity",
    "plot_shap_values",
    "plot_start_sensitivity",
    "plot_structure_factor",
    "plot_vdos",
]
