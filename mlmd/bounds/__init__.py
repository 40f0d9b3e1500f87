"""Bounds on what is read: the memory that may be used, and helpers that are ended in time.

May import `errors`.
"""
