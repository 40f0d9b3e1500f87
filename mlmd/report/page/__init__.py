"""What every page is made of: numbers, tables, figures, and the file that they end in.

May import `_version`, `digits`, `errors`, `files`, `plain`.
"""
