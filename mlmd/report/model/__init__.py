"""The page of a trained model.

May import `_version`, `arrays`, `descriptors`, `model`, `numerics`, `plot`, `report/page`,
`studies`.
"""
