"""From blocks of frames to one trajectory: restarts joined, times known, positions unwrapped.

May import `arrays`, `errors`, `trajectory/frame_block`.
"""
