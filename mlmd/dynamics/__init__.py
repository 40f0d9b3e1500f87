"""Thermostats and barostats with exact restart, and guards. Knows nothing of files.

May import `arrays`, `calculators`, `checks`, `errors`, `periodic`, `structure`.
"""
