"""LAMMPS: dumps.

May import `arrays`, `trajectory/frame_block`, `trajectory/frame_collector`, `trajectory/text`.
"""
