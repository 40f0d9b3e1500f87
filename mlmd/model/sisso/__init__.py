"""SISSO: formulas of features, screened and fitted.

May import `arrays`, `errors`.
"""
