"""SISSO: the few features, or formulas of features, that a linear model needs most."""
