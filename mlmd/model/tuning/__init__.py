"""Nested tuning of a model's settings with Optuna.

May import `bounds`, `checks`, `errors`, `model/data`, `model/extra`, `model/fitting`,
`model/regressors`.
"""
