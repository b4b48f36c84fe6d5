"""Scoring: models that give numbers, trained and asked."""
