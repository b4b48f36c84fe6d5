"""The catalogue: what is installed, read without importing any of it."""
