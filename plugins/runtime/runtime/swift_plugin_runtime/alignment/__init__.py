"""Alignment: reference log-probabilities and preference pairs."""
