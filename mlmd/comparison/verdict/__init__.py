"""From what was compared to yes, no or inconclusive, by thresholds.

May import `checks`, `comparison/checks`, `comparison/forces`, `comparison/motion`,
`comparison/structure`, `comparison/systems`, `digits`, `errors`, `numerics`.
"""
