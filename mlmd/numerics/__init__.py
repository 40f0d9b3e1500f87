"""Statistics and fits that know no physics: arrays in, frozen dataclass out.

May import `arrays`, `checks`, `errors`.
"""
