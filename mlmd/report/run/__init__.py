"""The page of a run.

May import `_version`, `analysis`, `errors`, `plot`, `report/page`, `run`, `stages`.
"""
