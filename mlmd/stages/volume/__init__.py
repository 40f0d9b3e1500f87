"""The search for the volume of zero pressure: runs at volumes, the equation of state through them,
and when it is believed.

May import `arrays`, `checks`, `digits`, `errors`, `files`, `numerics`, `stages/context`,
`stages/dynamics`, `stages/equilibrate`, `stages/stage`, `trajectory`.
"""
