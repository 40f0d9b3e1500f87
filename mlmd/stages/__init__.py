"""The legs of a protocol: one class, one file, one leg.

May import `checks`, `errors`, `files`, `run`, `stages/dynamics`, `stages/relaxation`,
`stages/volume`, `structure`, `trajectory`.
"""
