"""The model `best`."""
