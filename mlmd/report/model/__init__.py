"""The page of a trained model.

May import `arrays`, `descriptors`, `digits`, `model`, `numerics`, `plain`, `plot`, `report/page`,
`studies`.
"""
