"""Measurements, none of them a test: see README.md."""
