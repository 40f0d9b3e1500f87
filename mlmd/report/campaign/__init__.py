"""The page of a campaign.

May import `campaign`, `digits`, `errors`, `files`, `report/page`.
"""
