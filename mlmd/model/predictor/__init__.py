"""A trained model with its columns, units and conventions: fitted, used, saved; the published
equations.

May import `_version`, `arrays`, `descriptors`, `errors`, `model/data`, `model/fitting`,
`model/regressors`, `model/sisso`, `model/tuning`, `model/validation`, `trajectory`.
"""
