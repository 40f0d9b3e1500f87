"""The page of a run.

May import `analysis`, `errors`, `plot`, `report/page`, `run`, `stages`.
"""
