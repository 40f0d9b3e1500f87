"""What is learnt from: tables of features and labels, from files and from runs, and how rows are
grouped.

May import `analysis`, `arrays`, `checks`, `descriptors`, `errors`, `plain`, `run`, `stages`,
`structure`.
"""
