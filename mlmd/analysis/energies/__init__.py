"""Formation energies and the hull, from relaxations with the calculator that is given.

May import `calculators`, `checks`, `dynamics`, `errors`, `numerics`, `structure`.
"""
