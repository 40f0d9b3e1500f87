"""Surrogate beside reference: diffusivities, vibrational spectra, the structure factor.

May import `analysis`, `arrays`, `comparison/noise`, `comparison/structure`, `comparison/systems`,
`errors`, `findings`, `numerics`, `trajectory`.
"""
