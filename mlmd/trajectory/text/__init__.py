"""What readers of text share: sources that may be compressed or cut short, tables, species.

May import `arrays`, `checks`, `errors`, `findings`, `trajectory/frame_block`.
"""
