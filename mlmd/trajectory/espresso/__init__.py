"""Quantum ESPRESSO: the output of pw.x.

May import `arrays`, `trajectory/frame_block`, `trajectory/frame_collector`, `trajectory/text`.
"""
