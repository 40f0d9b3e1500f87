"""A trained model with its columns, units and conventions: fitted, used, saved; the published
equations.

May import `_version`, `arrays`, `bounds`, `checks`, `descriptors`, `errors`, `files`, `findings`,
`model/data`, `model/extra`, `model/fitting`, `model/regressors`, `model/sisso`, `model/tuning`,
`model/validation`, `plain`, `trajectory`.
"""
