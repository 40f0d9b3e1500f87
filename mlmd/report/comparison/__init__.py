"""The page of a comparison, or of several surrogates side by side.

May import `comparison`, `digits`, `plot`, `report/page`, `studies`.
"""
