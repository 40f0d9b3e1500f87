"""Diffusivities: the mean squared displacement, what drifts, the gate that says whether motion is
diffusive, and the estimators' one door.

May import `analysis/checks`, `analysis/diffusion/estimators`, `arrays`, `checks`, `digits`,
`errors`, `numerics`, `periodic/cell`, `plain`, `trajectory`.
"""
