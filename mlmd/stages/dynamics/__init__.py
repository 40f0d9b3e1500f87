"""What all stages of dynamics do: integrate, guard, record, checkpoint, recover, sum up.

May import `dynamics`, `errors`, `numerics`, `run`, `stages/context`, `stages/stage`,
`trajectory`.
"""
