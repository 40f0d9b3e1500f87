"""The legs of a protocol: one class, one file, one leg."""
