"""The run directory: manifest, lock, recorder, checkpoints. Knows nothing of stages.

May import `arrays`, `checks`, `errors`, `files`, `processes`, `structure`, `trajectory`.
"""
