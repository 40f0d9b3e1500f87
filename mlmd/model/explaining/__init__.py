"""What a model leans on, and what would make it better."""
