"""Thermostats with exact restart. Knows nothing of files."""
