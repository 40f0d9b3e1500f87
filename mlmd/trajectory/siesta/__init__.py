"""SIESTA: .ANI and .MD, with what stands in the files beside them.

May import `arrays`, `trajectory/frame_block`, `trajectory/text`.
"""
