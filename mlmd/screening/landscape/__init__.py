"""Energies on a periodic grid as a landscape: basins and the saddles between them, level maps,
percolation, free volumes; arrays in, arrays out.

May import `arrays`, `errors`.
"""
