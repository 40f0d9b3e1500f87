"""From blocks of frames to one trajectory: restarts joined, times known, positions unwrapped.

May import `arrays`, `checks`, `errors`, `findings`, `trajectory/frame_block`.
"""
