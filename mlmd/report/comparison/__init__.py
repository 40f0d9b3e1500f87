"""The page of a comparison, or of several surrogates side by side.

May import `_version`, `comparison`, `plot`, `report/page`, `report/run`, `studies`.
"""
