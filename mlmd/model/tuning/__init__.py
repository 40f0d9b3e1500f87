"""Settings chosen by folds of the rows to learn from."""
