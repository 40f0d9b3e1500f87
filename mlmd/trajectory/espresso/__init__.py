"""Quantum ESPRESSO: the output of pw.x.

May import `arrays`, `trajectory/frame_block`, `trajectory/text`.
"""
