"""Batching: encoded rows become batches, padded or laid end to end."""
