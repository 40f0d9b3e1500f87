"""From what was compared to yes, no or inconclusive, by thresholds.

May import `comparison/forces`, `comparison/motion`, `comparison/structure`, `comparison/systems`,
`errors`.
"""
