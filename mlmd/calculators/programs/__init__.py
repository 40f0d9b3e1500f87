"""Programs of density functional theory: one room each, and what they share beside them.

May import `arrays`, `calculators/known`, `calculators/plain_spec`, `calculators/weights`,
`checks`, `errors`.
"""
