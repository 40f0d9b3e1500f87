"""The command line: parse, call one function, print.

May import `_version`, `analysis`, `calculators`, `campaign`, `checks`, `comparison`,
`descriptors`, `digits`, `errors`, `files`, `findings`, `model`, `plain`, `plot`, `protocol`,
`report`, `run`, `screening`, `stages`, `structure`, `studies`, `temporary`, `trajectory`,
`yaml_text`.
"""
