"""From blocks of frames to one trajectory: restarts joined, times known, positions unwrapped.

May import `arrays`, `checks`, `errors`, `findings`, `periodic/cell`, `trajectory/frame_block`.
"""
