"""The page of a trained model.

May import `arrays`, `descriptors`, `model`, `numerics`, `plain`, `plot`, `report/page`,
`studies`.
"""
