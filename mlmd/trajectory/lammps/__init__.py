"""LAMMPS: dumps.

May import `arrays`, `errors`, `trajectory/frame_block`, `trajectory/text`.
"""
