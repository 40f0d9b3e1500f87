"""What the cases of a campaign gave: measured once, kept, pooled over melts, handed on.

May import `_version`, `analysis`, `campaign/archive`, `campaign/plan`, `digits`, `errors`, `files`,
`findings`, `marks`, `numerics`, `plain`, `run`, `trajectory`.
"""
