"""The page of a run.

May import `analysis`, `errors`, `files`, `plot`, `report/page`, `run`, `stages`.
"""
