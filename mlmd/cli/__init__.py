"""The command line: parse, call one function, print.

May import `_version`, `analysis`, `calculators`, `comparison`, `descriptors`, `errors`, `model`,
`plot`, `protocol`, `report`, `run`, `stages`, `structure`, `studies`, `trajectory`.
"""
