"""The command line: parse, call one function, print.

May import `_version`, `analysis`, `calculators`, `checks`, `comparison`, `descriptors`, `errors`,
`files`, `model`, `plot`, `protocol`, `report`, `run`, `stages`, `structure`, `studies`,
`trajectory`, `yaml_text`.
"""
