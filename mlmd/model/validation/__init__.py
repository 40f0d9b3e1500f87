"""How well a model does on rows that it was not fitted to, its spread, and what is outside of it.

May import `arrays`, `checks`, `model/data`, `model/fitting`, `model/regressors`, `model/tuning`,
`numerics`, `plain`, `structure`.
"""
