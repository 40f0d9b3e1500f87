"""CP2K: xyz trajectories, with what stands in the files beside them.

May import `arrays`, `errors`, `numerics`, `trajectory/frame_block`, `trajectory/text`.
"""
