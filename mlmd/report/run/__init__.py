"""The page of a run.

May import `analysis`, `digits`, `errors`, `files`, `plot`, `report/page`, `run`, `stages`.
"""
