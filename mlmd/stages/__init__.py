"""The legs of a protocol: one class, one file, one leg.

May import `errors`, `run`, `stages/dynamics`, `stages/relaxation`, `stages/volume`, `trajectory`.
"""
