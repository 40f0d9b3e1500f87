"""Surrogate beside reference: g(r), its distribution over systems, coordination.

May import `analysis`, `arrays`, `comparison/curves`, `comparison/noise`, `comparison/systems`,
`errors`, `numerics`, `periodic`, `trajectory`.
"""
