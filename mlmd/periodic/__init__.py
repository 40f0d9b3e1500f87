"""Periodic cells: images, pairs, neighbours, contacts and the histograms of distances; arrays in,
arrays out.

May import `arrays`, `checks`, `errors`.
"""
