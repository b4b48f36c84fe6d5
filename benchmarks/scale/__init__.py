"""Cost against size."""
