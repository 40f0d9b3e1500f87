"""Nested tuning of a model's settings with Optuna.

May import `checks`, `errors`, `model/data`, `model/extra`, `model/fitting`, `model/regressors`.
"""
