"""Ranking ionic conductors without dynamics, by the energies of a mobile ion in a rigid framework.

May import `arrays`, `calculators`, `checks`, `dynamics`, `errors`, `files`, `findings`, `plain`,
`screening/landscape`, `screening/scan`, `structure`.
"""
