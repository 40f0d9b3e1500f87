"""The run directory: manifest, lock, recorder, checkpoints. Knows nothing of stages."""
