"""Surrogate beside reference: g(r), its distribution over systems, coordination.

May import `analysis`, `arrays`, `comparison/curves`, `comparison/r_squared`,
`comparison/systems`, `errors`, `periodic`, `trajectory`.
"""
