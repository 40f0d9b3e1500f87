"""The run directory: manifest, lock, recorder, checkpoints. Knows nothing of stages.

May import `arrays`, `bounds`, `checks`, `errors`, `files`, `findings`, `processes`, `structure`,
`trajectory`.
"""
