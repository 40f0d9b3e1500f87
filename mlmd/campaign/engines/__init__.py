"""Where a campaign runs: this machine, jobs of a scheduler, a cluster that is already there.

May import `campaign/plan`, `campaign/pool`, `campaign/work`, `checks`, `errors`, `yaml_text`.
"""
