"""One file for each way from displacements to D, most with an error, and the options they take.

May import `analysis/checks`, `analysis/diffusion`, `arrays`, `checks`, `errors`, `numerics`,
`trajectory`.
"""
