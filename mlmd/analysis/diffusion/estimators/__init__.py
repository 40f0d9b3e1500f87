"""One file for each way from displacements to D with an error, and the options they take.

May import `analysis/diffusion`, `arrays`, `errors`, `numerics`, `trajectory`.
"""
