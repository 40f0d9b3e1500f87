"""The H5MD files that mlmd writes and reads, whatever was done to them meanwhile.

May import `_version`, `arrays`, `bounds`, `errors`, `files`.
"""
