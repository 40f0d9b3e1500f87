"""Relaxing structures to their nearest minimum, and the snapshots that are relaxed.

May import `arrays`, `calculators`, `dynamics`, `errors`, `numerics`, `stages/context`,
`trajectory`.
"""
