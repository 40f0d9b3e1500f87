"""LAMMPS: dumps.

May import `arrays`, `trajectory/frame_block`, `trajectory/text`.
"""
