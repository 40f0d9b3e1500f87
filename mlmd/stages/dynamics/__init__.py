"""What all stages of dynamics do: integrate, guard, record, checkpoint, recover, sum up.

May import `calculators`, `checks`, `dynamics`, `errors`, `files`, `numerics`, `run`,
`stages/context`, `stages/stage`, `structure`, `trajectory`, `yaml_text`.
"""
