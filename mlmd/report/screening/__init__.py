"""The page of a ranking.

May import `plot`, `report/page`, `screening`.
"""
