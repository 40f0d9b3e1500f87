"""Programs of density functional theory: one room each, and what they share beside them.

May import `arrays`, `calculators/known`, `calculators/spec`, `checks`, `errors`.
"""
