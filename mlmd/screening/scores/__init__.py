"""How well a descriptor puts good conductors first: scores of rankings against labels.

May import `arrays`, `checks`, `errors`.
"""
