"""One file for each model that computes forces in this process, and what they share of torch.

May import `arrays`, `calculators/plain_spec`, `calculators/spec`, `calculators/weights`,
`checks`, `errors`, `numerics`, `periodic`.
"""
