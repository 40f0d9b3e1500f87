"""VASP: XDATCAR, vasprun.xml, OUTCAR.

May import `arrays`, `errors`, `numerics`, `trajectory/frame_block`, `trajectory/text`.
"""
