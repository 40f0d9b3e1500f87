"""Surrogate beside reference: diffusivities, vibrational spectra, the structure factor.

May import `analysis`, `arrays`, `comparison/r_squared`, `comparison/structure`,
`comparison/systems`, `errors`, `findings`, `numerics`, `trajectory`.
"""
