"""The ensemble `best`: a structured Gaussian process of ln D over 1/kT, and trees on what it
leaves.

May import `arrays`, `descriptors`, `errors`, `model/data`, `model/extra`.
"""
