"""Energies of one mobile ion in a rigid crystal: the cell and its symmetry, the grid of each
inequivalent ion, and which of its points a calculator is asked about.

May import `arrays`, `calculators`, `checks`, `errors`, `periodic`, `screening/landscape`.
"""
