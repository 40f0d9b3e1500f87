"""From D at several temperatures to an activation energy: Arrhenius and Vogel-Fulcher-Tammann.

May import `analysis/diffusion`, `arrays`, `checks`, `errors`, `numerics`.
"""
