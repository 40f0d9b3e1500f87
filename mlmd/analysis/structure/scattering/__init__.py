"""The structure factor, from g(r) or directly, and the lengths that atoms scatter with.

May import `analysis/checks`, `analysis/structure`, `arrays`, `checks`, `errors`, `periodic`,
`trajectory`.
"""
