"""Inference: asking an engine, and reading its answers."""
