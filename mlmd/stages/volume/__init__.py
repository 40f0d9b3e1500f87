"""The search for the volume of zero pressure, step by step."""
